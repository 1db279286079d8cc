"""The graph of jobs that start other jobs, as JSON and as DOT for Graphviz."""

from collections.abc import Iterator

import msgspec

from kala.api import schema
from kala.api.paging import Read, pages
from kala.store.jobs import Edges, Node
from kala.store.store import Session, Store

_encode = msgspec.json.Encoder().encode
_STYLES = {False: "", True: ", style=dotted"}
_DASHES = {"success": "", "failure": " [style=dashed]"}


def as_json(store: Store) -> Iterator[bytes]:
    """Yield nodes and edges. The kind of an edge is `success` for a child and `failure` for an on-failure job."""
    nodes, edges = _readers(store)
    yield b'{"nodes":['
    yield from pages(store, nodes, _json_nodes)
    yield b'],"edges":['
    yield from pages(store, edges, _json_edges)
    yield b"]}"


def as_dot(store: Store) -> Iterator[bytes]:
    """Yield the graph in the DOT language. Edges to on-failure jobs are dashed, disabled jobs dotted."""
    nodes, edges = _readers(store)
    yield b"digraph kala {\n"
    yield from pages(store, nodes, _dot_nodes, b"")
    yield from pages(store, edges, _dot_edges, b"")
    yield b"}\n"


def _readers(store: Store) -> tuple[Read[Node], Read[Edges]]:
    """Read only the jobs that exist now: one created between the two passes would have an edge, but no node."""
    with store.reading() as session:
        last = session.jobs.last_seq()

    def nodes(session: Session, before: Node | None, _: int) -> Iterator[Node]:
        return session.jobs.nodes(before.seq if before else 0, last)

    def edges(session: Session, before: Edges | None, _: int) -> Iterator[Edges]:
        return session.jobs.edges(before.seq if before else 0, last)

    return nodes, edges


def _json_nodes(nodes: list[Node]) -> bytes:
    return _encode([schema.GraphNode(node.id, node.name, node.is_disabled) for node in nodes])[1:-1]


def _json_edges(edges: list[Edges]) -> bytes:
    return _encode([schema.GraphEdge(*ends) for ends in _ends(edges)])[1:-1]


def _dot_nodes(nodes: list[Node]) -> bytes:
    lines = [f"  {_quoted(node.id)} [label={_quoted(node.name)}{_STYLES[node.is_disabled]}];\n" for node in nodes]
    return "".join(lines).encode()


def _dot_edges(edges: list[Edges]) -> bytes:
    lines = [f"  {_quoted(start)} -> {_quoted(end)}{_DASHES[kind]};\n" for start, end, kind in _ends(edges)]
    return "".join(lines).encode()


def _ends(found: list[Edges]) -> Iterator[tuple[str, str, str]]:
    for edges in found:
        yield from ((edges.id, child, "success") for child in edges.children)
        if edges.on_failure_job:
            yield edges.id, edges.on_failure_job, "failure"


def _quoted(text: str) -> str:
    # A JSON string is also a quoted string of DOT: names of jobs have no control characters to be escaped.
    return _encode(text).decode()
