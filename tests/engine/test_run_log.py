"""What the log says about runs, at each level."""

import logging

import pytest

from kala.core.run import State
from kala.engine import run_log


@pytest.mark.parametrize(
    ("level", "state", "actions"),
    [
        (logging.INFO, State.SUCCEEDED, ["run_started", "run_ended"]),
        (logging.INFO, State.FAILED, ["run_started", "run_ended"]),
        (logging.WARNING, State.SUCCEEDED, []),
        (logging.WARNING, State.FAILED, ["run_ended"]),
        (logging.WARNING, State.TIMED_OUT, ["run_ended"]),
        (logging.ERROR, State.FAILED, []),
    ],
)
def test_a_run_that_failed_is_logged_as_a_warning(kala, caplog, level, state, actions):
    caplog.set_level(level, run_log.logger.name)
    job = kala.create()
    kala.step(kala.done(job, state))
    assert [record.fields["action"] for record in caplog.records if record.name == run_log.logger.name] == actions
