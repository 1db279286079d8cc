"""What is around a run in the store, for the sentence that explains the run."""

from collections.abc import Mapping, Sequence

from kala.core.explain import Surroundings, explain
from kala.core.run import Run, State, Waiting
from kala.store.run_search import RunFilter
from kala.store.store import Session

# More runs than the sentence names.
_LIMIT = 10


def explanation(session: Session, run: Run, pools: Mapping[str, int], workers: int) -> str:
    """Return the sentence that says why a run waits, or how it ended and what follows."""
    around = Surroundings(
        job=session.jobs.get(run.job_id),
        in_the_way=_in_the_way(session, run) if run.state is State.QUEUED else (),
        pool_size=pools.get(run.pool),
        workers=workers,
        caused=session.history.search(RunFilter(limit=_LIMIT, cause_run=run.id))[::-1] if run.outcome else (),
    )
    return explain(run, around)


def _in_the_way(session: Session, run: Run) -> Sequence[Run]:
    if run.waiting is Waiting.POOL:
        return [other for other in session.runs.running() if other.pool == run.pool]
    if run.waiting is not Waiting.JOB:
        return ()
    queued = session.history.search(
        RunFilter(limit=_LIMIT, job_id=run.job_id, states=frozenset({State.QUEUED}), before=run.id)
    )
    return [*session.runs.running_of(run.job_id), *queued[::-1]]
