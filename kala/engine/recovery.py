"""What the last Kala left when it stopped: runs whose ends are unknown, and what they had printed."""

import logging
from datetime import datetime
from pathlib import Path

from kala.core.run import Outcome, Run, RunEnded, State
from kala.runner.spool import Spool, path_of

logger = logging.getLogger("kala.engine")

_LOST = "Kala stopped while this run was running; its outcome is unknown"


def lost(runs: list[Run], outputs: Path, now: datetime) -> list[RunEnded]:
    """Return the ends of runs that were running when the last Kala stopped. They do not run again."""
    return [_lost(run, outputs, now) for run in runs]


def _lost(run: Run, outputs: Path, now: datetime) -> RunEnded:
    logger.warning("run %s of %s is lost: %s", run.id, run.job_name, _LOST)
    size, is_cut = _finish_output(run, outputs)
    outcome = Outcome(state=State.LOST, ended_at=now, message=_LOST, output_size=size, output_cut=is_cut)
    return RunEnded(run, outcome)


def _finish_output(run: Run, outputs: Path) -> tuple[int, bool]:
    """Move the output of a lost run to its final file; return its size, and whether a part is missing."""
    path = path_of(outputs, run.id)
    try:
        spool = Spool.found(outputs, run.id)
        if spool:
            spool.finish(path)
        # Without a spool, Kala may have died between moving the output to its place and recording the end of the run.
        return path.stat().st_size if path.exists() else 0, spool is not None and spool.is_cut
    except OSError as error:
        logger.warning("cannot store the output of run %s of %s: %s", run.id, run.job_name, error)
        return 0, False
