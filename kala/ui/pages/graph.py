"""The graph of jobs that start other jobs: its components, and the jobs around one job."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kala.api import graph_schema
from kala.api.http import Request, Response
from kala.ui.site import Site

# How far around a job, by what the page calls it.
_DEPTHS = {"1": 1, "2": 2, "all": 100}
_COMPONENTS = 100
# With more edges, the layout takes a browser many seconds.
_MOST_DRAWN = 400
# Levels of the list, so that neither a phone's width nor a browser's limit of nested elements is exceeded.
_MOST_INDENTED = 8


class Line(NamedTuple):
    """A line of the indented list. `kind` is that of the edge from `parent`; `is_again` is for a job listed above."""

    node: graph_schema.GraphNode
    level: int
    step: int
    parent: str = ""
    kind: str = ""
    is_again: bool = False


class GraphPage:
    """`/graph`."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def show(self, request: Request) -> Response:
        job = request.query.get("job")
        return self._around(job, request.query.get("depth", "1")) if job else self._components(request)

    def _components(self, request: Request) -> Response:
        found = self._site.backend.read(graph_schema.Components, "listComponents", limit=_COMPONENTS)
        return self._site.page("graph.html", found=found, address=self._site.address(request))

    def _around(self, job: str, depth: str) -> Response:
        graph = self._site.backend.read(graph_schema.Graph, "getGraph", job=job, depth=_DEPTHS.get(depth, depth))
        # Found by its id or, if no job has such an id, by its name.
        focus = min((node for node in graph.nodes if job in (node.id, node.name)), key=lambda node: node.id != job)
        return self._site.page(
            "graph_around.html",
            focus=focus,
            depth=depth,
            depths=list(_DEPTHS),
            reach=_DEPTHS.get(depth, depth),
            jobs=len(graph.nodes),
            has_more=bool(graph.has_more),
            is_drawn=not graph.has_more and len(graph.edges) <= _MOST_DRAWN,
            lines=list(outline(graph.nodes, graph.edges)),
        )


def outline(nodes: Sequence[graph_schema.GraphNode], edges: Sequence[graph_schema.GraphEdge]) -> Iterator[Line]:
    """Yield the graph as an indented list, which has each job once with all that it starts, and each edge once.

    What a job starts is in the order of `nodes`, with the jobs after a failure last.
    """
    by_id = {node.id: node for node in nodes}
    order = {node.id: number for number, node in enumerate(nodes)}
    started = defaultdict[str, list[graph_schema.GraphEdge]](list)
    for edge in sorted(edges, key=lambda edge: (edge.kind == "failure", order[edge.end])):
        started[edge.start].append(edge)
    below = {edge.end for edge in edges}
    seen = set[str]()
    # The last ones are for cycles, which no job begins.
    for root in [*(node for node in nodes if node.id not in below), *nodes]:
        if root.id in seen:
            continue
        waiting = [Line(root, 0, 0)]
        while waiting:
            line = waiting.pop()
            is_again = line.node.id in seen
            yield line._replace(is_again=is_again)
            if is_again:
                continue
            seen.add(line.node.id)
            waiting += [
                Line(by_id[edge.end], min(line.step + 1, _MOST_INDENTED), line.step + 1, edge.start, edge.kind)
                for edge in reversed(started[line.node.id])
            ]
