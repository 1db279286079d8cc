"""Which job starts which, for programs and for Graphviz."""

from collections.abc import Iterator

import msgspec

from kala.api.paging import Read, listed, pages
from kala.store.jobs import Edges, Node
from kala.store.store import Session, Store

_encode = msgspec.json.Encoder().encode
_DASHES = {"success": "", "failure": " [style=dashed]"}


def as_json(store: Store) -> Iterator[bytes]:
    """Nodes and edges, in parts. An edge's kind is `success` to a child, `failure` to an on-failure job."""
    nodes, edges = _readers(store)
    yield b'{"nodes":['
    yield from listed(pages(store, nodes, _json_node))
    yield b'],"edges":['
    yield from listed(pages(store, edges, _json_edges))
    yield b"]}"


def as_dot(store: Store) -> Iterator[bytes]:
    """The graph in the DOT language, in parts; the edges of failure are dashed, disabled jobs dotted."""
    nodes, edges = _readers(store)
    yield b"digraph kala {\n"
    yield from listed(pages(store, nodes, _dot_node), b"")
    yield from listed(pages(store, edges, _dot_edges), b"")
    yield b"}\n"


def _readers(store: Store) -> tuple[Read[Node], Read[Edges]]:
    """Read the jobs that are there now: one that is made meanwhile would be the end of an edge, and no node."""
    with store.reading() as session:
        last = session.jobs.last_seq()

    def nodes(session: Session, before: Node | None, _: int) -> Iterator[Node]:
        return session.jobs.nodes(before.seq if before else 0, last)

    def edges(session: Session, before: Edges | None, _: int) -> Iterator[Edges]:
        return session.jobs.edges(before.seq if before else 0, last)

    return nodes, edges


def _json_node(node: Node) -> bytes:
    return _encode({"id": node.id, "name": node.name, "disabled": node.is_disabled})


def _json_edges(edges: Edges) -> bytes:
    return b",".join(_encode({"from": edges.id, "to": end, "kind": kind}) for end, kind in _ends(edges))


def _dot_node(node: Node) -> bytes:
    style = ", style=dotted" if node.is_disabled else ""
    return f"  {_quoted(node.id)} [label={_quoted(node.name)}{style}];\n".encode()


def _dot_edges(edges: Edges) -> bytes:
    lines = [f"  {_quoted(edges.id)} -> {_quoted(end)}{_DASHES[kind]};\n" for end, kind in _ends(edges)]
    return "".join(lines).encode()


def _ends(edges: Edges) -> Iterator[tuple[str, str]]:
    yield from ((child, "success") for child in edges.children)
    if edges.on_failure_job:
        yield edges.on_failure_job, "failure"


def _quoted(text: str) -> str:
    # A JSON string is a quoted string of DOT as well, as its names have no control characters.
    return _encode(text).decode()
