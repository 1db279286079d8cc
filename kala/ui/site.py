"""What all pages share: templates and their filters, the headers of a page, and the answers to forms."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import kala
from kala.api import schema
from kala.api.http import Request, Response
from kala.api.system_schema import Health
from kala.core import figures
from kala.core.errors import KalaError
from kala.core.foreign import presentable
from kala.core.instants import rfc3339
from kala.ui import sentences, svg
from kala.ui.assets import Assets
from kala.ui.backend import Backend

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


class Site:
    """Renders pages. Shared by all HTTP threads; nothing in it changes but the compiled templates."""

    def __init__(self, backend: Backend, zone: Callable[[], tzinfo], base_path: str) -> None:
        """`zone` is the server's. `base_path` precedes the path of each link."""
        self.backend = backend
        self.assets = Assets()
        self._base_path = base_path
        self._zone = zone
        self._compiling = Lock()

    def page(self, template: str, *, status: int = 200, headers: Mapping[str, str] = {}, **values: Any) -> Response:
        """Return a page. Each template gets `values`, and what base.html shows on every page."""
        now = datetime.now(UTC)
        common = {"now": now, "summary": self._summary(), "troubles": self._troubles(), "zone": self._zone()}
        # One thread compiles a template, rather than each that wants its first page.
        with self._compiling:
            compiled = self._environment.get_template(template)
        content = compiled.render(common | values)
        return Response(status, content.encode(), {**_HEADERS, **headers})

    def _summary(self) -> schema.Overview | None:
        """Return what the title of each page tells; None while the database cannot be read."""
        try:
            return self.backend.read(schema.OneOverview, "getSummary").summary
        except KalaError:
            return None

    def _troubles(self) -> list[str]:
        """Return why Kala does not run jobs or accept changes, which each page tells; usually nothing."""
        return self.backend.read(Health, "getReadiness").reasons

    def error_page(self, status: int, sentence: str, headers: Mapping[str, str] = {}) -> Response:
        """Return the page for a request that failed."""
        return self.page(
            "error.html",
            status=status,
            headers=headers,
            title=HTTPStatus(status).phrase,
            sentence=presentable(sentence),
        )

    def url(self, *parts: object, **query: object) -> str:
        """Return the URL of a page, such as `/runs/12?tail=10` for ("runs", 12, tail=10). None is left out."""
        return self._base_path + path(*parts, **query)

    @property
    def zone(self) -> tzinfo:
        """The server's time zone."""
        return self._zone()

    def address(self, request: Request) -> str:
        """Return where this client reaches Kala, for commands that people copy. Only a proxy knows of https."""
        scheme = "https" if request.headers.get("X-Forwarded-Proto") == "https" else "http"
        return f"{scheme}://{request.headers.get('Host', 'localhost')}{self._base_path}"

    @cached_property
    def _environment(self) -> "Environment":
        # Here, as importing Jinja and compiling templates would make each start of Kala slower.
        from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415  imported late

        environment = Environment(
            loader=FileSystemLoader(_TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        environment.filters.update(
            lasting=figures.length, bytes=figures.size, rfc3339=rfc3339, count=lambda number: f"{number:,}"
        )
        environment.globals.update(
            url=self.url,
            static=lambda name: self._base_path + self.assets.path(name),
            base_path=self._base_path,
            assets=self.assets.digest,
            relative=figures.relative,
            local=self._local,
            cause_words=sentences.cause,
            svg=svg,
            version=kala.__version__,
        )
        return environment

    def _local(self, instant: datetime) -> str:
        """Return an instant on the server's clock, such as `2030-01-31 08:00:00 +01:00`."""
        try:
            local = instant.astimezone(self._zone())
        except OverflowError:  # beyond the year 9999 there
            local = instant
        return local.isoformat(" ", "seconds").replace("+", " +")


def path(*parts: object, **query: object) -> str:
    """Return the path of a page and its query, as `Site.url` does, without the base path."""
    given = {name.removesuffix("_"): value for name, value in query.items() if value not in (None, "")}
    return "/" + "/".join(quote(str(part), safe="") for part in parts) + (f"?{urlencode(given)}" if given else "")


def see_other(path: str) -> Response:
    """Return the answer to a form that was carried out: the browser gets another page (RFC 9110, 15.4.4).

    The application puts the base path before `path`.
    """
    return Response(303, headers={"Location": path, "Cache-Control": "no-store"})
