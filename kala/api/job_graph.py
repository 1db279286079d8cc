"""The graph of jobs that start other jobs, as JSON and as DOT for Graphviz."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from heapq import nsmallest

import msgspec

from kala.api.graph_schema import Component, Components, Graph, GraphComponent, GraphEdge, GraphNode
from kala.api.http import Response, json
from kala.api.paging import Read, Reading, long_response, pages
from kala.core import graph
from kala.core.errors import Invalid
from kala.core.graph import KindedEdge
from kala.store.jobs import Edges, Node
from kala.store.store import Session

_encode = msgspec.json.Encoder().encode
_STYLES = {False: "", True: ", style=dotted"}
_DASHES = {"success": "", "failure": " [style=dashed]"}
_DOT = {"Content-Type": "text/vnd.graphviz; charset=utf-8"}
# How many jobs the part of the graph around a job has at most, and how many edges are read for each distance.
_MOST_JOBS = 300
_MOST_EDGES = 2_000


def response(reading: Reading, *, is_dot: bool, job: str | None, depth: int | None, with_components: bool) -> Response:
    """Return the whole graph, the part around a job, or the whole graph with its connected components."""
    if depth is not None and job is None:
        raise Invalid("depth: needs a job; add job=ID")
    if with_components and (is_dot or job is not None):
        raise Invalid("components: cannot be combined with format=dot or job; remove one of them")
    if job is not None:
        return _around(reading, job, 1 if depth is None else depth, is_dot=is_dot)
    if with_components:
        return long_response(_with_components(reading))
    return long_response(as_dot(reading), _DOT) if is_dot else long_response(as_json(reading))


def _around(reading: Reading, job: str, depth: int, *, is_dot: bool) -> Response:
    is_cut = False

    with reading() as session:

        def edges_at(job_ids: Collection[str]) -> list[KindedEdge]:
            nonlocal is_cut
            found = session.neighbours.edges(job_ids, _MOST_EDGES + 1)
            is_cut = is_cut or len(found) > _MOST_EDGES
            return found[:_MOST_EDGES]

        ids, edges, has_more = graph.around(session.jobs.id_of(job, "job"), edges_at, depth, _MOST_JOBS)
        nodes = session.neighbours.nodes(ids)
        states = session.neighbours.last_states(ids)
    there = {node.id for node in nodes}
    edges = [edge for edge in edges if there.issuperset(edge[:2])]
    if is_dot:
        lines = b"".join(map(_dot_edge, edges))
        return Response(body=b"digraph kala {\n" + _dot_nodes(nodes) + lines + b"}\n", headers=_DOT)
    around = [GraphNode(node.id, node.name, node.is_disabled, states.get(node.id)) for node in nodes]
    return json(Graph(around, [GraphEdge(*edge) for edge in edges], has_more=has_more or is_cut))


def _with_components(reading: Reading) -> Iterator[bytes]:
    """Yield the graph with the component of each node, which is the id of the oldest job in it."""
    with reading() as session:
        firsts = graph.components(session.neighbours.positions())
        sizes = Counter(firsts.values())
        oldest = session.neighbours.at(sizes)
    nodes, edges = _readers(reading)
    yield b'{"nodes":['
    yield from pages(reading, nodes, partial(_nodes_in_components, reading, firsts, oldest))
    yield b'],"edges":['
    yield from pages(reading, edges, _json_edges)
    yield b'],"components":'
    yield _encode([GraphComponent(oldest[first].id, oldest[first].name, jobs) for first, jobs in sizes.items()])
    yield b"}"


def _nodes_in_components(
    reading: Reading, firsts: Mapping[int, int], oldest: Mapping[int, Node], nodes: list[Node]
) -> bytes:
    with reading() as session:
        states = session.neighbours.last_states([node.id for node in nodes])
    shown = [
        GraphNode(
            node.id,
            node.name,
            node.is_disabled,
            states.get(node.id),
            oldest[firsts[node.seq]].id if node.seq in firsts else node.id,
        )
        for node in nodes
    ]
    return _encode(shown)[1:-1]


def components(reading: Reading, limit: int) -> Components:
    """Return the largest components of two or more jobs, and how many jobs are in none of them.

    Jobs that stand alone, which most jobs do, are not read.
    """
    with reading() as session:
        firsts = graph.components(session.neighbours.positions())
        sizes = Counter(firsts.values())
        failures = Counter(firsts[job] for job in session.neighbours.failing() if job in firsts)
        shown = nsmallest(limit, sizes, key=lambda first: (-sizes[first], first))  # of a size, the oldest first
        oldest = session.neighbours.at(shown)
        alone = session.jobs.totals().jobs - len(firsts)
    found = [Component(oldest[job].id, oldest[job].name, sizes[job], failures[job]) for job in shown]
    return Components(found, len(sizes), alone)


def as_json(reading: Reading) -> Iterator[bytes]:
    """Yield nodes and edges. The kind of an edge is `success` for a child and `failure` for an on-failure job."""
    nodes, edges = _readers(reading)
    yield b'{"nodes":['
    yield from pages(reading, nodes, _json_nodes)
    yield b'],"edges":['
    yield from pages(reading, edges, _json_edges)
    yield b"]}"


def as_dot(reading: Reading) -> Iterator[bytes]:
    """Yield the graph in the DOT language. Edges to on-failure jobs are dashed, disabled jobs dotted."""
    nodes, edges = _readers(reading)
    yield b"digraph kala {\n"
    yield from pages(reading, nodes, _dot_nodes, b"")
    yield from pages(reading, edges, _dot_edges, b"")
    yield b"}\n"


def _readers(reading: Reading) -> tuple[Read[Node], Read[Edges]]:
    """Read only the jobs that exist now: one created between the two passes would have an edge, but no node."""
    with reading() as session:
        last = session.jobs.last_seq()

    def nodes(session: Session, before: Node | None, _: int) -> Iterator[Node]:
        return session.jobs.nodes(before.seq if before else 0, last)

    def edges(session: Session, before: Edges | None, _: int) -> Iterator[Edges]:
        return session.jobs.edges(before.seq if before else 0, last)

    return nodes, edges


def _json_nodes(nodes: list[Node]) -> bytes:
    return _encode([GraphNode(node.id, node.name, node.is_disabled) for node in nodes])[1:-1]


def _json_edges(edges: list[Edges]) -> bytes:
    return _encode([GraphEdge(*ends) for ends in _ends(edges)])[1:-1]


def _dot_nodes(nodes: list[Node]) -> bytes:
    lines = [f"  {_quoted(node.id)} [label={_quoted(node.name)}{_STYLES[node.is_disabled]}];\n" for node in nodes]
    return "".join(lines).encode()


def _dot_edges(edges: list[Edges]) -> bytes:
    return b"".join(map(_dot_edge, _ends(edges)))


def _dot_edge(edge: KindedEdge) -> bytes:
    start, end, kind = edge
    return f"  {_quoted(start)} -> {_quoted(end)}{_DASHES[kind]};\n".encode()


def _ends(found: list[Edges]) -> Iterator[KindedEdge]:
    for edges in found:
        yield from ((edges.id, child, "success") for child in edges.children)
        if edges.on_failure_job:
            yield edges.id, edges.on_failure_job, "failure"


def _quoted(text: str) -> str:
    # A JSON string is also a quoted string of DOT: names of jobs have no control characters to be escaped.
    return _encode(text).decode()
