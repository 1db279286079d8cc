"""One log line when a run starts and one when it ends: a sentence for people, the same facts as fields."""

import logging
from collections.abc import Sequence

from kala.core.job import Job
from kala.core.run import Run, State

logger = logging.getLogger("kala.runs")


def write(starts: Sequence[tuple[Run, Job]], ends: Sequence[Run]) -> None:
    for run in ends:
        _end(run)
    if logger.isEnabledFor(logging.INFO):
        for run, _ in starts:
            _start(run)


def _start(run: Run) -> None:
    logger.info(
        "%s: run %s started (%s)", run.job_name, run.id, run.cause, extra={"fields": _fields("run_started", run)}
    )


def _end(run: Run) -> None:
    assert run.outcome
    outcome = run.outcome
    level = logging.INFO if outcome.state is State.SUCCEEDED else logging.WARNING
    if not logger.isEnabledFor(level):
        return
    fields = _fields("run_ended", run) | {"exit_code": outcome.exit_code, "duration_s": outcome.duration / 1e9}
    reason = f": {outcome.message}" if outcome.message else ""
    facts = (run.job_name, run.id, outcome.state, outcome.duration / 1e9, reason)
    logger.log(level, "%s: run %s %s after %.3f s%s", *facts, extra={"fields": fields})


def _fields(action: str, run: Run) -> dict[str, object]:
    return {
        "action": action,
        "job_id": run.job_id,
        "job_name": run.job_name,
        "run_id": run.id,
        "cause": run.cause,
        "attempt": run.attempt,
        "state": run.state,
    }
