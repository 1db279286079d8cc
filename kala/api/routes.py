"""The table of routes. Each path matches with and without a trailing slash."""

import re
from collections.abc import Callable, Iterable

import msgspec

from kala.api import fields
from kala.api.http import Request, Response
from kala.api.jobs import JobRoutes
from kala.api.runs import RunRoutes
from kala.api.system import SystemRoutes
from kala.core.errors import Invalid


class Route(msgspec.Struct, frozen=True):
    """The handler of a request, and the query parameters and body that it accepts."""

    handler: Callable[[Request], Response]
    parameters: tuple[str, ...] = ()
    has_body: bool = False

    def check_body(self, body: bytes) -> None:
        """Raise Invalid for a body that would have no effect."""
        if not self.has_body and body.strip() not in _EMPTY_BODIES:
            raise Invalid("body: not accepted by this request; remove it")

    def check(self, query: Iterable[str]) -> None:
        """Raise Invalid for an unknown parameter: a misspelt filter would match everything, also in a deletion."""
        for name in query:
            if name not in self.parameters:
                hint = f"use {' or '.join(self.parameters)}" if self.parameters else "this request has none"
                raise Invalid(f"query: {fields.shown(name)} is not a parameter of this request; {hint}")


# The bodies that clients send when they have nothing to send.
_EMPTY_BODIES = (b"", b"{}", b"null")

Table = list[tuple[re.Pattern[str], dict[str, Route]]]

_RUN_FILTERS = ("limit", "before", "state", "cause", "since", "until")


def table(jobs: JobRoutes, runs: RunRoutes, system: SystemRoutes) -> Table:
    """Return the routes, the more specific before the more general."""
    return [
        _route(
            "/api/v1/job",
            GET=Route(jobs.search, ("limit", "after", "q", "owner", "disabled", "done")),
            POST=Route(jobs.create, has_body=True),
        ),
        _route("/api/v1/job/all", DELETE=jobs.delete_all),
        _route(
            "/api/v1/job/{id}",
            GET=jobs.get,
            PUT=Route(jobs.replace, has_body=True),
            PATCH=Route(jobs.patch, has_body=True),
            DELETE=Route(jobs.delete, ("return",)),
        ),
        _route("/api/v1/job/stats/{id}", GET=Route(jobs.stats, ("limit", "before"))),
        _route("/api/v1/job/start/{id}", POST=Route(jobs.start, ("return",))),
        _route("/api/v1/job/disable/{id}", POST=jobs.disable),
        _route("/api/v1/job/enable/{id}", POST=jobs.enable),
        _route("/api/v1/job/{id}/runs", GET=Route(runs.of_job, _RUN_FILTERS)),
        _route("/api/v1/run", GET=Route(runs.search, ("job", *_RUN_FILTERS))),
        _route("/api/v1/run/{id}", GET=runs.get, DELETE=runs.delete),
        _route("/api/v1/run/{id}/output", GET=Route(runs.output, ("follow", "tail"))),
        _route("/api/v1/run/{id}/cancel", POST=runs.cancel),
        _route("/api/v1/schedule/preview", POST=Route(system.preview, has_body=True)),
        _route("/api/v1/graph", GET=Route(system.graph, ("format",))),
        _route("/api/v1/stats", GET=system.stats),
        _route("/api/v1/events", GET=system.events),
    ]


def _route(template: str, **methods: Route | Callable[[Request], Response]) -> tuple[re.Pattern[str], dict[str, Route]]:
    pattern = re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", template)
    routes = {method: to if isinstance(to, Route) else Route(to) for method, to in methods.items()}
    return re.compile(pattern), routes


def find(routes: Table, path: str, method: str) -> tuple[Route | None, dict[str, str], list[str]]:
    """Return the route and the path's parameters. Without a route, return the methods that the path allows."""
    allowed: list[str] = []
    for pattern, methods in routes:
        match = pattern.fullmatch(path.removesuffix("/"))
        if match and method in methods:
            return methods[method], match.groupdict(), []
        if match:
            allowed += methods
    return None, {}, sorted(set(allowed))
