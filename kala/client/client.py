"""The client: one object for all requests."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any

import msgspec

from . import events
from .address import Address, find
from .errors import ServerError
from .jobs import Jobs
from .runs import Runs
from .schedule import Slots, Upcoming
from .transport import Response, Transport, path_of, query_of

if TYPE_CHECKING:
    from typing_extensions import Self

_MAKING = Lock()


class Client:
    """A client of one server, for any number of threads.

    Without a `url`, it is that of KALA_URL, of ~/.config/kala/cli.toml, of the first Unix socket of a Kala on this
    machine that you may use, or http://127.0.0.1:8000. The `token` is that of KALA_TOKEN or of the file KALA_TOKEN_FILE
    if it is not given. `timeout` is how many seconds the server may be silent within a request; `retries` is how many
    times a request is repeated that can be.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        server: str | None = None,
        timeout: float = 60.0,
        retries: int = 2,
        agent: str = "kala-client",
        environ: Mapping[str, str] | None = None,
    ) -> None:
        address = find(url, token, server=server, environ=os.environ if environ is None else environ)
        self._transport = Transport(address, timeout=timeout, retries=retries, agent=agent)
        self.runs = Runs(self._transport, self._call)
        self.jobs = Jobs(self._call, self.runs)

    @property
    def address(self) -> Address:
        """Where the server is."""
        return self._transport.address

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def preview(
        self,
        schedule: str,
        *,
        timezone: str | None = None,
        jitter: str | None = None,
        name: str | None = None,
        count: int | None = None,
        after: str | None = None,
    ) -> Slots:
        """Return what a schedule means, in words and slots."""
        body: dict[str, object] = {"schedule": schedule, "timezone": timezone, "jitter": jitter, "name": name}
        body |= {"count": count, "after": after}
        given = {key: value for key, value in body.items() if value is not None}
        slots: Slots = self._call("POST", path_of("schedule", "preview"), given, type=Slots)
        return slots

    def upcoming(self, *, limit: int | None = None, per_job: int | None = None, until: str | None = None) -> Upcoming:
        """Return the jobs that are due next."""
        query = query_of({"limit": limit, "per_job": per_job, "until": until})
        upcoming: Upcoming = self._call("GET", path_of("upcoming") + query, type=Upcoming)
        return upcoming

    def events(self, *, job: str | None = None, run: int | None = None) -> Iterator[events.Event]:
        """Yield changes from now on, without an end; an event `refetch` says that some were missed."""
        return events.follow(self._transport, {"job": job, "run": run})

    def summary(self) -> dict[str, Any]:
        """Return a few numbers about all jobs, as the API has them."""
        found: dict[str, Any] = self._call("GET", path_of("summary"), type=dict[str, Any])["summary"]
        return found

    def system(self) -> dict[str, Any]:
        """Return how the server itself stands, as the API has it."""
        found: dict[str, Any] = self._call("GET", path_of("system"), type=dict[str, Any])
        return found

    def config(self) -> list[dict[str, Any]]:
        """Return the settings in effect, as the API has them."""
        found: list[dict[str, Any]] = self._call("GET", path_of("config"), type=dict[str, Any])["settings"]
        return found

    def graph(
        self, *, job: str | None = None, depth: int | None = None, components: bool | None = None
    ) -> dict[str, Any]:
        """Return which job starts which, as the API has it."""
        query = query_of({"job": job, "depth": depth, "components": components})
        found: dict[str, Any] = self._call("GET", path_of("graph") + query, type=dict[str, Any])
        return found

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        """Make any request; the path begins with a slash. Only GET, PUT and DELETE are repeated."""
        is_repeatable = method in ("GET", "HEAD", "PUT", "DELETE")
        return self._transport.request(method, path, body, headers or {}, is_repeatable=is_repeatable)

    def stream(self, path: str) -> Iterator[bytes]:
        """Yield the response to a GET request as it comes; it may take as long as it likes."""
        return self._transport.stream(path, has_timeout=False).chunks()

    def _call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
        has_key: bool = False,
        is_repeatable: bool = True,
        type: Any = None,  # noqa: A002  as msgspec has it
        with_headers: bool = False,
    ) -> Any:
        """Make a request with a JSON body, and return the response as `type`, perhaps with its headers.

        With `has_key`, the server carries the request out once, however often it gets it.
        """
        given = dict(headers or {})
        if has_key:
            given["Idempotency-Key"] = os.urandom(16).hex()
        content = None if body is None else msgspec.json.encode(body)
        response = self._transport.request(method, path, content, given, is_repeatable=is_repeatable)
        if type is None:
            return None
        try:
            decoded = _decoder(type).decode(response.body)
        except msgspec.MsgspecError as error:
            raise ServerError(f"{self.address.url} does not respond as Kala does: {error}") from error
        return (decoded, response.headers) if with_headers else decoded


def _decoder(type: Any) -> msgspec.json.Decoder[Any]:  # noqa: A002  as msgspec has it
    """Return the decoder of a type. One thread makes it: msgspec crashes if two meet a type for the first time."""
    with _MAKING:
        return _made(type)


@cache
def _made(type: Any) -> msgspec.json.Decoder[Any]:  # noqa: A002
    return msgspec.json.Decoder(type)
