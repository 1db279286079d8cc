"""Jobs, runs and totals in the JSON of API v1, without HTTP."""

import json
from datetime import UTC, datetime

import msgspec
import pytest
from samples import NEVER

from kala.api import views
from kala.api.job_input import parse
from kala.core.job import Counts, Job, Spec
from kala.core.run import Cause, Outcome, Run, State
from kala.store.jobs import Totals

NOON = datetime(2030, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
MINIMAL = {"name": "a", "command": "true"}


def shown(spec: Spec) -> dict:
    """Return the JSON of a job with this spec, as a client reads it."""
    job = Job(id="1", spec=spec, created_at=NOON, next_due=None)
    return json.loads(msgspec.json.encode(views.job_view(job)))


def parsed(**given: object) -> Spec:
    return parse(MINIMAL | given)


class TestShowingAJob:
    def test_counts_and_times_are_at_the_top_level_and_in_the_metadata(self):
        counts = Counts(5, 4, 3, NOON, None, NOON)
        job = Job(id="1", spec=parse(MINIMAL), created_at=NOON, next_due=NOON, counts=counts)
        found = json.loads(msgspec.json.encode(views.job_view(job)))
        common = {
            "success_count": 5,
            "last_success": "2030-01-01T12:00:00.123456Z",
            "error_count": 4,
            "last_error": NEVER,
            "last_attempted_run": "2030-01-01T12:00:00.123456Z",
        }
        assert found["metadata"] == common | {"number_of_finished_runs": 3}
        assert {name: found[name] for name in common} == common
        assert "number_of_finished_runs" not in found

    @pytest.mark.parametrize(
        ("disabled", "next_due", "shown_at"),
        [(False, NOON, "2030-01-01T12:00:00.123456Z"), (False, None, NEVER), (True, NOON, NEVER), (True, None, NEVER)],
    )
    def test_the_next_run_of_a_disabled_job_or_one_that_is_not_due_is_never(self, disabled, next_due, shown_at):
        job = Job(id="1", spec=parsed(disabled=disabled), created_at=NOON, next_due=next_due)
        assert json.loads(msgspec.json.encode(views.job_view(job)))["next_run_at"] == shown_at

    def test_empty_lists_are_null(self):
        job = Job(id="1", spec=parsed(parent_jobs=["p"]), created_at=NOON, next_due=None, children=("c",))
        found = shown(parsed())
        assert [found[name] for name in ("parent_jobs", "dependent_jobs", "stats")] == [None] * 3
        found = json.loads(msgspec.json.encode(views.job_view(job, [])))
        assert [found[name] for name in ("parent_jobs", "dependent_jobs", "stats")] == [["p"], ["c"], None]


class TestShowingRuns:
    RUN = Run(
        id=7, job_id="1", job_name="a", cause=Cause.RETRY, queued_at=NOON, due_at=NOON, attempt=2, started_at=NOON
    )

    @pytest.mark.parametrize("state", [state for state in State if state not in (State.QUEUED, State.RUNNING)])
    def test_only_a_succeeded_run_is_a_success(self, state):
        outcome = Outcome(state=state, ended_at=NOON, duration=1_500_000_000)
        run = msgspec.structs.replace(self.RUN, state=state, outcome=outcome)
        assert json.loads(msgspec.json.encode(views.stat_view(run))) == {
            "job_id": "1",
            "ran_at": "2030-01-01T12:00:00.123456Z",
            "number_of_retries": 2,
            "success": state is State.SUCCEEDED,
            "execution_duration": 1_500_000_000,
            "run_id": 7,
        }

    def test_a_run_that_never_started_has_no_start_and_no_duration(self):
        found = json.loads(msgspec.json.encode(views.stat_view(msgspec.structs.replace(self.RUN, started_at=None))))
        assert (found["ran_at"], found["execution_duration"]) == (NEVER, 0)


def test_the_totals_count_active_jobs_and_show_missing_times_as_never():
    totals = Totals(jobs=5, disabled=2, successes=3, errors=4, last_attempt=None, next_due=NOON)
    assert json.loads(msgspec.json.encode(views.totals_view(totals, NOON))) == {
        "active_jobs": 3,
        "disabled_jobs": 2,
        "jobs": 5,
        "error_count": 4,
        "success_count": 3,
        "next_run_at": "2030-01-01T12:00:00.123456Z",
        "last_attempted_run": NEVER,
        "created": "2030-01-01T12:00:00.123456Z",
    }
