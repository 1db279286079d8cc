"""One log line when a run starts and one when it ends: a sentence for people, the same facts as fields."""

import logging
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kala.core.job import Job
from kala.core.masking import masked_message
from kala.core.run import Run, State

logger = logging.getLogger("kala.runs")


class Line(NamedTuple):
    """A line of the log, one of several in a record, which has them as its `lines`."""

    level: int
    message: str
    fields: dict[str, object]


def write(starts: Sequence[tuple[Run, Job]], ends: Sequence[Run]) -> None:
    """Write the lines of a step, in one record where all handlers of the log accept that: each record has a price."""
    lines = [_ended(run) for run in ends if logger.isEnabledFor(_level(run))]
    if logger.isEnabledFor(logging.INFO):
        lines += [_started(run) for run, _ in starts]
    if not lines:
        return
    if _accept_lines():
        level = max(line.level for line in lines)
        logger.handle(logger.makeRecord(logger.name, level, "", 0, "", (), None, extra={"lines": lines}))
    else:
        for line in lines:
            logger.log(line.level, "%s", line.message, extra={"fields": line.fields})


def _accept_lines() -> bool:
    """Return whether each handler of the log has a filter that says it accepts records with lines."""
    handlers = list(_handlers())
    return bool(handlers) and all(
        any(getattr(one, "accepts_lines", False) for one in handler.filters) for handler in handlers
    )


def _handlers() -> Iterator[logging.Handler]:
    place: logging.Logger | None = logger
    while place:
        yield from place.handlers
        place = place.parent if place.propagate else None


def _started(run: Run) -> Line:
    message = f"{run.job_name}: run {run.id} started ({run.cause})"
    return Line(logging.INFO, message, _fields("run_started", run))


def _ended(run: Run) -> Line:
    assert run.outcome
    outcome, seconds = run.outcome, run.outcome.duration / 1e9
    reason = f": {masked_message(outcome.message)}" if outcome.message else ""
    message = f"{run.job_name}: run {run.id} {outcome.state} after {seconds:.3f} s{reason}"
    fields = _fields("run_ended", run)
    fields["exit_code"], fields["duration_s"] = outcome.exit_code, seconds
    return Line(_level(run), message, fields)


def _level(run: Run) -> int:
    return logging.INFO if run.outcome and run.outcome.state is State.SUCCEEDED else logging.WARNING


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
