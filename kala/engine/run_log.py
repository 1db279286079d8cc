"""One log line when a run starts and one when it ends: a sentence for people, the same facts as fields."""

import logging
from collections.abc import Sequence

from kala.core.job import Job
from kala.core.masking import masked_message
from kala.core.run import Run, State
from kala.engine import log_lines
from kala.engine.log_lines import Line

logger = logging.getLogger("kala.runs")


def write(starts: Sequence[tuple[Run, Job]], ends: Sequence[Run]) -> None:
    """Write the lines of a step."""
    lines = [_ended(run) for run in ends if logger.isEnabledFor(_level(run))]
    if logger.isEnabledFor(logging.INFO):
        lines += [_started(run) for run, _ in starts]
    log_lines.write(logger, lines)


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
