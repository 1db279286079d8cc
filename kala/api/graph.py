"""Which job starts which, for programs and for Graphviz."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from kala.core.job import Job


def as_json(jobs: Iterable[Job]) -> dict[str, Any]:
    """Nodes and edges. An edge's kind is `success` to a child, `failure` to an on-failure job."""
    jobs = list(jobs)
    return {
        "nodes": [{"id": job.id, "name": job.spec.name, "disabled": job.spec.disabled} for job in jobs],
        "edges": [{"from": start, "to": end, "kind": kind} for start, end, kind in _edges(jobs)],
    }


def as_dot(jobs: Iterable[Job]) -> str:
    """The graph in the DOT language; the edges of failure are dashed, disabled jobs dotted."""
    jobs = list(jobs)
    nodes = [f"  {_quoted(job.id)} [label={_quoted(job.spec.name)}{_style(job)}];" for job in jobs]
    edges = [f"  {_quoted(start)} -> {_quoted(end)}{_DASHES[kind]};" for start, end, kind in _edges(jobs)]
    return "\n".join(["digraph kala {", *nodes, *edges, "}", ""])


_DASHES = {"success": "", "failure": " [style=dashed]"}


def _edges(jobs: Iterable[Job]) -> Iterator[tuple[str, str, str]]:
    for job in jobs:
        yield from ((job.id, child, "success") for child in job.children)
        if job.spec.on_failure_job:
            yield job.id, job.spec.on_failure_job, "failure"


def _style(job: Job) -> str:
    return ", style=dotted" if job.spec.disabled else ""


def _quoted(text: str) -> str:
    # A JSON string is a quoted string of DOT as well, as its names have no control characters.
    return msgspec.json.encode(text).decode()
