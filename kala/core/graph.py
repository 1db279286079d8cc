"""Rules of dependencies. The edges come from outside, as functions from a job's id to the ids that lie next to it."""

from collections import deque
from collections.abc import Callable, Iterable

Neighbours = Callable[[str], Iterable[str]]


def path(start: str, goal: str, follow: Neighbours) -> list[str] | None:
    """The ids on a shortest way from `start` to `goal` along `follow`, both included, or None where there is none."""
    came_from: dict[str, str | None] = {start: None}
    queue = deque([start])
    while queue:
        here = queue.popleft()
        if here == goal:
            return _way_to(here, came_from)
        for there in follow(here):
            if there not in came_from:
                came_from[there] = here
                queue.append(there)
    return None


def _way_to(end: str, came_from: dict[str, str | None]) -> list[str]:
    way: list[str] = []
    step: str | None = end
    while step is not None:
        way.append(step)
        step = came_from[step]
    return way[::-1]


def doomed_by(job_id: str, children: Neighbours, parents: Neighbours) -> list[str]:
    """The jobs that go when `job_id` is deleted: itself, and each descendant that is left without any parent."""
    doomed = {job_id: None}
    queue = deque([job_id])
    while queue:
        for child in children(queue.popleft()):
            if child not in doomed and all(parent in doomed for parent in parents(child)):
                doomed[child] = None
                queue.append(child)
    return list(doomed)
