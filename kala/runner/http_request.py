"""The requests of an HTTP call: the first as the job says, each further one as a redirect says (RFC 9110, 15.4)."""

import base64
from typing import Self

import msgspec
from msgspec.structs import replace

import kala
from kala.core.job import JOB_HEADER, OWN_HEADERS, HttpCall
from kala.core.url import Url

FOLLOWED = frozenset({301, 302, 303, 307, 308})

_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
# Headers that may be sent to another origin. Everything else that the job sets can be a secret.
_SAFE_HEADERS = frozenset(
    "accept accept-encoding accept-language content-encoding content-language content-type user-agent".split()
)
# Headers that describe a body, in addition to all that begin with Content- (RFC 9110, section 15.4).
_BODY_HEADERS = frozenset({"digest", "last-modified"})


class Request(msgspec.Struct, frozen=True):
    """One request, without the headers that belong to its connection."""

    method: str
    url: Url
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def has(self, name: str) -> bool:
        return any(given.lower() == name for given, _ in self.headers)

    def with_headers(self, headers: dict[str, str]) -> Self:
        return replace(self, headers=(*self.headers, *headers.items()))

    def redirected(self, status: int, location: str) -> Self:
        """Return the request that follows a redirect. Raise ValueError if `location` cannot be followed.

        A login in `location` is an error: it does not come from the job (RFC 9110, section 4.2.4).
        """
        url = self.url.join(location)
        if url.login:
            raise ValueError(location)
        next_request = self if self._keeps_method(status) else self._as_get()
        headers = next_request.headers
        if url.origin != self.url.origin:
            headers = tuple(header for header in headers if header[0].lower() in _SAFE_HEADERS)
        return replace(next_request, url=url, headers=headers)

    def _keeps_method(self, status: int) -> bool:
        if status == 303:
            return self.method in ("GET", "HEAD")
        return self.method != "POST" or status not in (301, 302)

    def _as_get(self) -> Self:
        headers = tuple(header for header in self.headers if not _describes_body(header[0].lower()))
        return replace(self, method="GET", headers=headers, body=b"")

    def all_headers(self, job_id: str) -> list[tuple[str, str]]:
        """Return the headers to send, with those for the connection and the job."""
        headers = list(self.headers)
        if not self.has("host"):
            headers.append(("Host", self.url.authority))
        if self.body or self.method in _WITH_BODY:
            headers.append(("Content-Length", str(len(self.body))))
        if not self.has("connection"):
            headers.append(("Connection", "close"))
        return [*headers, (JOB_HEADER, job_id)]


def _describes_body(name: str) -> bool:
    return name.startswith("content-") or name in _BODY_HEADERS


def first_request(call: HttpCall) -> Request:
    """Return the request that the job describes. Raise ValueError if its URL is incomplete once it is rendered."""
    try:
        url = Url.parse(call.url)
    except ValueError:
        raise ValueError("must be a complete http or https URL once its template is rendered") from None
    headers = {
        name: ("; " if name.lower() == "cookie" else ", ").join(values)
        for name, values in call.headers
        if values and name.lower() not in OWN_HEADERS
    }
    given = frozenset(map(str.lower, headers))
    body = call.body.encode()
    defaults = {name: value for name, value in _defaults(url, body).items() if name.lower() not in given}
    return Request(call.method, url, tuple((defaults | headers).items()), body)


def _defaults(url: Url, body: bytes) -> dict[str, str]:
    headers = {"User-Agent": f"Kala/{kala.__version__}", "Accept": "*/*", "Accept-Encoding": "identity"}
    if body:
        headers["Content-Type"] = "application/json"  # as in Go's Kala, whose users send JSON
    if url.login:
        headers["Authorization"] = basic(url.login)
    return headers


def basic(login: bytes) -> str:
    """Return the credentials for a login (RFC 7617)."""
    return f"Basic {base64.b64encode(login).decode()}"
