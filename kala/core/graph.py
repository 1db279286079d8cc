"""Rules of dependencies. The caller loads the edges, one level at a time, so a walk needs few queries for many jobs."""

from collections.abc import Callable, Collection, Iterable, Mapping

Edges = Callable[[Collection[str]], Iterable[tuple[str, str]]]
"""Returns all edges that begin at one of the given jobs, each as the ids of its two ends."""

KindedEdge = tuple[str, str, str]
"""An edge as the ids of its two ends, and its kind."""

_SHOWN = 3


def find_cycle(start: str, edges: Edges) -> list[str] | None:
    """Return the ids on a shortest cycle through `start`, with `start` at both ends, or None if there is no cycle."""
    came_from: dict[str, str] = {}
    level = [start]
    while level and start not in came_from:
        found = {after: before for before, after in edges(level) if after not in came_from}
        came_from |= found
        level = list(found)
    return _path_back(start, came_from) if start in came_from else None


def _path_back(start: str, came_from: Mapping[str, str]) -> list[str]:
    path = [start, came_from[start]]
    while path[-1] != start:
        path.append(came_from[path[-1]])
    return path[::-1]


def format_path(path: list[str]) -> str:
    """Format a path of ids; of a long path only the beginning and the end."""
    if len(path) > 2 * _SHOWN + 1:
        path = [*path[:_SHOWN], f"({len(path) - 2 * _SHOWN} more)", *path[-_SHOWN:]]
    return " -> ".join(path)


def around(
    start: str, edges: Callable[[Collection[str]], Iterable[KindedEdge]], depth: int, most: int
) -> tuple[dict[str, None], list[KindedEdge], bool]:
    """Return the jobs at most `depth` edges from `start`, in either direction, and all edges between these jobs.

    `edges` returns those that begin or end at one of the given jobs. Return at most `most` jobs, the nearest first, and
    whether there are more.
    """
    seen, between, has_more = {start: None}, dict[KindedEdge, None](), False
    level = [start]
    for distance in range(depth + 1):
        found = list(edges(level)) if level else []
        between |= dict.fromkeys(found)
        level = []
        for end in (end for edge in found for end in edge[:2] if end not in seen):
            if distance == depth:
                break
            if len(seen) >= most:
                has_more = True
                break
            if end not in seen:
                seen[end] = None
                level.append(end)
    return seen, [edge for edge in between if edge[0] in seen and edge[1] in seen], has_more


def components(edges: Iterable[tuple[int, int]]) -> dict[int, int]:
    """Return for each job with an edge the oldest job that it is connected with, each as its position."""
    above: dict[int, int] = {}

    def root(job: int) -> int:
        while (parent := above.setdefault(job, job)) != job:
            above[job] = above[parent]  # halve the path, so that later walks are short
            job = parent
        return job

    for start, end in edges:
        above[root(start)] = root(end)
    firsts: dict[int, int] = {}
    return {job: firsts.setdefault(root(job), job) for job in sorted(above)}


def doomed_by(job_id: str, children: Edges, count_parents: Callable[[Collection[str]], Mapping[str, int]]) -> list[str]:
    """Return the jobs that are deleted with `job_id`: itself, and each descendant that is left without any parent."""
    doomed = [job_id]
    parents_left: dict[str, int] = {}
    level = doomed
    while level:
        below = [child for _, child in children(level)]
        parents_left |= count_parents(set(below).difference(parents_left))
        level = []
        for child in below:
            parents_left[child] -= 1
            if not parents_left[child]:
                level.append(child)
        doomed += level
    return doomed
