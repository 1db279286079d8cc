"""Rules of dependencies. The edges come from outside, level by level, so that a walk asks once for many jobs."""

from collections.abc import Callable, Collection, Iterable, Mapping

Edges = Callable[[Collection[str]], Iterable[tuple[str, str]]]
"""All edges that begin at any of some jobs, each as the ids of its two ends."""

_SHOWN = 3


def circle(start: str, edges: Edges) -> list[str] | None:
    """The ids on a shortest way from a job back to itself, with the job at both ends; None where there is none."""
    came_from: dict[str, str] = {}
    level = [start]
    while level and start not in came_from:
        found = {after: before for before, after in edges(level) if after not in came_from}
        came_from |= found
        level = list(found)
    return _way_back(start, came_from) if start in came_from else None


def _way_back(start: str, came_from: Mapping[str, str]) -> list[str]:
    way = [start, came_from[start]]
    while way[-1] != start:
        way.append(came_from[way[-1]])
    return way[::-1]


def shown(way: list[str]) -> str:
    """A way as text; of a long one its beginning and its end."""
    if len(way) > 2 * _SHOWN + 1:
        way = [*way[:_SHOWN], f"({len(way) - 2 * _SHOWN} more)", *way[-_SHOWN:]]
    return " -> ".join(way)


def doomed_by(job_id: str, children: Edges, count_parents: Callable[[Collection[str]], Mapping[str, int]]) -> list[str]:
    """The jobs that go when `job_id` is deleted: itself, and each descendant that is left without any parent."""
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
