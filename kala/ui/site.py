"""What all pages share: templates and their filters, the headers of a page, and the answers to forms."""

from collections.abc import Callable, Container, Mapping
from datetime import UTC, datetime, tzinfo
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import kala
from kala.access.passwords import LONGEST, SHORTEST
from kala.api import schema
from kala.api.application import headers_of, status_of
from kala.api.http import Failure, Request, Response
from kala.api.system_schema import Health
from kala.core import figures
from kala.core.caller import Caller
from kala.core.errors import KalaError
from kala.core.foreign import presentable
from kala.core.instants import rfc3339
from kala.ui import sentences, svg
from kala.ui.assets import Assets
from kala.ui.backend import Backend, Calls
from kala.ui.forms import wrong_field
from kala.ui.login_cookie import LoginCookie

if TYPE_CHECKING:
    from jinja2 import Environment

_TEMPLATES = Path(__file__).parent / "templates"
# Scripts, styles and pictures come from Kala alone, and nothing inline counts, so that no text of a job can act.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Renderer:
    """Makes pages from templates. Shared by all HTTP threads; nothing in it changes but the compiled templates."""

    def __init__(self, calls: Calls, zone: Callable[[], tzinfo], base_path: str, login_cookie: LoginCookie) -> None:
        """`zone` is the server's. `base_path` precedes the path of each link."""
        self.calls = calls
        self.login_cookie = login_cookie
        self.assets = Assets()
        self.base_path = base_path
        self.zone = zone
        self._making = Lock()

    def render(self, template: str, values: Mapping[str, Any]) -> bytes:
        with self._making:
            environment = self._environment
        return environment.get_template(template).render(values).encode()

    def error_page(self, failure: Failure) -> Response:
        """Return the page for a request that failed."""
        return Site(self, failure.caller).error_page(failure)

    @cached_property
    def _environment(self) -> "Environment":
        # Here, as importing Jinja and compiling templates would make each start of Kala slower.
        from jinja2 import Environment, StrictUndefined  # noqa: PLC0415  imported late

        from kala.ui.templates_once import TemplatesOnce  # noqa: PLC0415  imports Jinja

        environment = Environment(
            loader=TemplatesOnce(_TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        environment.filters.update(
            lasting=figures.length,
            bytes=figures.size,
            rfc3339=rfc3339,
            capital=_capital,
            count=lambda number: f"{number:,}",
        )
        environment.globals.update(
            url=lambda *parts, **query: self.base_path + path(*parts, **query),
            static=lambda name: self.base_path + self.assets.path(name),
            base_path=self.base_path,
            assets=self.assets.digest,
            relative=figures.relative,
            local=self._local,
            cause_words=sentences.cause,
            who=sentences.who,
            program=sentences.program,
            role_words=sentences.ROLES,
            password_lengths=(SHORTEST, LONGEST),
            svg=svg,
            version=kala.__version__,
        )
        return environment

    def _local(self, instant: datetime) -> str:
        """Return an instant on the server's clock, such as `2030-01-31 08:00:00 +01:00`."""
        try:
            local = instant.astimezone(self.zone())
        except OverflowError:  # beyond the year 9999 there
            local = instant
        return local.isoformat(" ", "seconds").replace("+", " +")


class Site:
    """The web UI as one caller sees it, for one request."""

    def __init__(self, renderer: Renderer, caller: Caller) -> None:
        self.backend = Backend(renderer.calls, caller)
        self.login_cookie = renderer.login_cookie
        self._caller = caller
        self._renderer = renderer

    def page(self, template: str, *, status: int = 200, headers: Mapping[str, str] = {}, **values: Any) -> Response:
        """Return a page. Each template gets `values`, and what base.html shows on every page."""
        common = {
            "now": datetime.now(UTC),
            "summary": self._summary(),
            "troubles": self._troubles(),
            "zone": self.zone,
            "caller": self._caller,
            "allows": self.backend.allows,
        }
        return Response(status, self._renderer.render(template, common | values), {**_HEADERS, **headers})

    def form_page(self, template: str, error: KalaError | None, fields: Container[str], **values: Any) -> Response:
        """Return a page with a form and, after an error, its sentence and the field of the form that it is about."""
        sentence = presentable(str(error)) if error else ""
        status, headers = (status_of(error), headers_of(error)) if error else (200, {})
        wrong = wrong_field(sentence, fields)
        return self.page(template, status=status, headers=headers, error=sentence, wrong=wrong, **values)

    def _summary(self) -> schema.Overview | None:
        """Return what the title of each page tells; None while it cannot be read, or may not be."""
        try:
            return self.backend.read(schema.OneOverview, "getSummary").summary
        except KalaError:
            return None

    def _troubles(self) -> list[str]:
        """Return why Kala does not run jobs or accept changes, which each page tells; usually nothing."""
        return self.backend.read(Health, "getReadiness").reasons

    def error_page(self, failure: Failure) -> Response:
        """Return the page for a request that failed; who has to log in for a page gets to the page for that."""
        if failure.status == 401 and not failure.target:
            return self.page("not_logged_in.html", status=401, headers=failure.headers)
        # The page for logging in fails so only where a program has sent a wrong token.
        if failure.status == 401 and not failure.target.startswith("/login"):
            return see_other(path("login", next="" if failure.target == "/" else failure.target))
        return self.page(
            "error.html",
            status=failure.status,
            headers=failure.headers,
            title="Not allowed" if failure.status == 403 else HTTPStatus(failure.status).phrase,
            code=failure.status,
            sentence=presentable(failure.sentence),
        )

    def url(self, *parts: object, **query: object) -> str:
        """Return the URL of a page, such as `/runs/12?tail=10` for ("runs", 12, tail=10). None is left out."""
        return self._renderer.base_path + path(*parts, **query)

    @property
    def zone(self) -> tzinfo:
        """The server's time zone."""
        return self._renderer.zone()

    def address(self, request: Request) -> str:
        """Return where this client reaches Kala, for commands that people copy."""
        scheme = "https" if request.is_https else "http"
        return f"{scheme}://{request.headers.get('Host', 'localhost')}{self._renderer.base_path}"


def path(*parts: object, **query: object) -> str:
    """Return the path of a page and its query, as `Site.url` does, without the base path."""
    given = {name.removesuffix("_"): value for name, value in query.items() if value not in (None, "")}
    return "/" + "/".join(quote(str(part), safe="") for part in parts) + (f"?{urlencode(given)}" if given else "")


def see_other(path: str, headers: Mapping[str, str] = {}) -> Response:
    """Return the answer to a form that was carried out: the browser gets another page (RFC 9110, 15.4.4).

    The application puts the base path before `path`.
    """
    return Response(303, headers={"Location": path, "Cache-Control": "no-store", **headers})


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
