"""Which function answers which path. Each path is known with and without its last slash."""

import re
from collections.abc import Callable

from kala.api.exchange import Answer, Call
from kala.api.jobs import JobRoutes
from kala.api.runs import RunRoutes
from kala.api.system import SystemRoutes

Route = Callable[[Call], Answer]
Table = list[tuple[re.Pattern[str], dict[str, Route]]]


def table(jobs: JobRoutes, runs: RunRoutes, system: SystemRoutes) -> Table:
    """The routes, the more special before the more general."""
    return [
        _route("/api/v1/job", GET=jobs.search, POST=jobs.create),
        _route("/api/v1/job/all", DELETE=jobs.delete_all),
        _route("/api/v1/job/{id}", GET=jobs.get, PUT=jobs.replace, PATCH=jobs.patch, DELETE=jobs.delete),
        _route("/api/v1/job/stats/{id}", GET=jobs.stats),
        _route("/api/v1/job/start/{id}", POST=jobs.start),
        _route("/api/v1/job/disable/{id}", POST=jobs.disable),
        _route("/api/v1/job/enable/{id}", POST=jobs.enable),
        _route("/api/v1/job/{id}/runs", GET=runs.of_job),
        _route("/api/v1/run", GET=runs.search),
        _route("/api/v1/run/{id}", GET=runs.get, DELETE=runs.delete),
        _route("/api/v1/run/{id}/output", GET=runs.output),
        _route("/api/v1/run/{id}/cancel", POST=runs.cancel),
        _route("/api/v1/schedule/preview", POST=system.preview),
        _route("/api/v1/graph", GET=system.graph),
        _route("/api/v1/stats", GET=system.stats),
        _route("/api/v1/events", GET=system.events),
    ]


def _route(template: str, **methods: Route) -> tuple[re.Pattern[str], dict[str, Route]]:
    pattern = re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", template)
    return re.compile(pattern), methods


def find(routes: Table, path: str, method: str) -> tuple[Route | None, dict[str, str], list[str]]:
    """The function for a request and what its path names; or, where there is none, the methods that the path knows."""
    allowed: list[str] = []
    for pattern, methods in routes:
        match = pattern.fullmatch(path.removesuffix("/"))
        if match and method in methods:
            return methods[method], match.groupdict(), []
        if match:
            allowed += methods
    return None, {}, sorted(set(allowed))
