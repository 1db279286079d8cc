"""Every statement of a step uses an index: its cost does not grow with jobs and history."""

import re
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from kala.core.job import Command, Job, Spec
from kala.core.run import Cause, Outcome, Run, State
from kala.core.summary import JobState
from kala.store.answers import Answer
from kala.store.job_filter import JobFilter
from kala.store.job_search import Matches
from kala.store.summaries import Key

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
SPEC = Spec(name="backup", action=Command("true"))
RUN = Run(id=1, job_id="1", job_name="backup", cause=Cause.MANUAL, queued_at=NOON, due_at=NOON)
OUTCOME = Outcome(state=State.SUCCEEDED, ended_at=NOON)
ENDED = replace(RUN, state=State.SUCCEEDED, outcome=OUTCOME)
EACH = Matches(None, frozenset())
JOB = Job(id="1", spec=SPEC, created_at=NOON, next_due=NOON)


def in_state(state: JobState) -> JobFilter:
    return JobFilter(states=frozenset({state}))


@pytest.fixture
def plan_of(store):
    """Returns the query plan of the first statement that a function executes, with its values filled in."""
    connection = store._writing.connection()

    def plan_of(ask, of_owners=()) -> str:
        asked: list[str] = []
        session = store.writer.of_owners(of_owners)
        connection.set_trace_callback(asked.append)
        ask(session)
        connection.set_trace_callback(None)
        statement = next(one for one in asked if not one.startswith(("BEGIN", "COMMIT", "--")))
        return "\n".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}"))

    with store.transaction():
        store.writer.jobs.add(JOB)
        store.writer.runs.add(RUN)
    return plan_of


# What routes read, also for callers with owners.
READING = [
    ("job_due", lambda session: session.jobs.next_due()),
    ("job_due", lambda session: session.coming.jobs(0, 1, 100)),
    ("job_due", lambda session: session.coming.slots(0, 1, 100)),
    ("run_queued", lambda session: session.queued.counts()),
    ("run_held", lambda session: session.queued.counts()),
    ("run_retry", lambda session: session.queued.counts()),
    ("dependency_child", lambda session: session.neighbours.edges(["1"], 9)),
    ("job_on_failure", lambda session: session.neighbours.edges(["1"], 9)),
    ("job_on_failure", lambda session: session.neighbours.positions()),
    ("job_not_ok", lambda session: session.neighbours.failing()),
    ("run_job", lambda session: session.neighbours.last_states(["1"])),
    ("run_job", lambda session: session.history.usual_duration("1")),
    ("run_ended", lambda session: session.retention.first_ended()),
    ("dependency_child", lambda session: session.dependencies.count_parents(["1"])),
    ("run_running", lambda session: session.runs.running()),
    ("run_job", lambda session: session.runs.last_attempts("1", 50)),
    ("run_retried", lambda session: session.runs.last_attempts("1", 50)),
    ("run_job", lambda session: list(session.runs.last_attempts_from(3, "1"))),
    ("run_job", lambda session: session.runs.first_last_attempt("1", 50)),
    ("run_running", lambda session: session.runs.running_of("1")),
    ("job_name", lambda session: session.jobs.ids_by_name("backup")),
    ("run_job", lambda session: session.history.newest(["1"], 20)),
    ("run_caused", lambda session: session.history.caused(1, 9)),
    ("run_job", lambda session: session.endings.per_step(60, 0, 9, "1")),
    ("job_lower_name", lambda session: session.summaries.page(EACH, [Key("name")], limit=9)),
    ("job_due", lambda session: session.summaries.page(EACH, [Key("next")], limit=9)),
    ("job_not_ok", lambda session: session.summaries.page(EACH, [Key("state"), Key("name")], limit=9)),
    ("job_errors", lambda session: session.summaries.page(EACH, [Key("failures", is_descending=True)], limit=9)),
    ("job_owner", lambda session: session.summaries.matches(JobFilter(owner="a"))),
    ("job_not_ok", lambda session: session.summaries.matches(in_state(JobState.FAILING))),
    ("job_not_ok", lambda session: session.summaries.matches(in_state(JobState.OK))),
    ("job_disabled", lambda session: session.summaries.matches(in_state(JobState.DISABLED))),
    ("job_done", lambda session: session.summaries.matches(in_state(JobState.DONE))),
    ("run_running", lambda session: session.summaries.matches(in_state(JobState.RUNNING))),
    ("run_queued", lambda session: session.summaries.matches(in_state(JobState.QUEUED))),
]
# What only the engine reads and writes.
STEPS = [
    ("job_due", lambda session: session.jobs.due(NOON, 500, ["x"])),
    ("job_zone", lambda session: session.jobs.planned_with(["x"], 500)),
    ("job_claimed", lambda session: session.jobs.planned_ahead(NOON, 500, ["x"])),
    ("job_claimed", lambda session: session.jobs.last_claim()),
    ("run_ready", lambda session: session.runs.ready(8)),
    ("run_ready", lambda session: session.runs.has_ready()),
    ("run_ready_led_to", lambda session: session.runs.has_ready()),
    ("run_ready_led_to", lambda session: session.runs.ready(8)),
    ("run_running", lambda session: session.runs.busy(["1"])),
    ("run_queued", lambda session: session.runs.busy(["1"])),
    ("run_queued", lambda session: session.runs.with_slot_waiting(["1"])),
    ("run_queued", lambda session: session.runs.queued("1")),
    ("run_queued", lambda session: session.runs.count_queued()),
    ("run_queued", lambda session: session.runs.count_queued("1")),
    ("run_queued", lambda session: session.runs.is_queued("1", Cause.PARENT)),
    ("run_queued", lambda session: session.runs.jobs_with_queued()),
    ("run_running", lambda session: session.runs.unfinished(["1"])),
    ("run_queued", lambda session: session.runs.unfinished(["1"])),
    ("run_retry", lambda session: session.runs.next_retry()),
    ("run_retry", lambda session: session.runs.due_retries(NOON, 50)),
    ("dependency_child", lambda session: session.dependencies.have_all_succeeded("1")),
    ("run_job", lambda session: session.runs.is_latest(1, "1")),
    ("run_queued", lambda session: session.runs.shorten_retries(NOON, NOON)),
    ("job_on_failure", lambda session: session.jobs.forget_on_failure(["1"], 9)),
    ("run_queued", lambda session: session.runs.release(["1"])),
    ("run_queued", lambda session: session.runs.cancel_queued_of(["1"], NOON, "", 9)),
    ("run_queued", lambda session: session.runs.hold("1")),
    ("run_running", lambda session: session.runs.release(["1"])),
    ("run_pool", lambda session: session.runs.release_pool("gpu")),
    ("run_pool", lambda session: session.runs.release_pool()),
    ("job_tag_seq", lambda session: session.jobs._tags.remove(["1"])),
    ("dependency_child", lambda session: session.dependencies.forget_successes("1")),
    ("dependency_succeeded", lambda session: session.dependencies.outdate_successes("1")),
    ("answer_age", lambda session: session.answers.delete_older(NOON, 9)),
    ("dependency_child", lambda session: session.dependencies.unlink(["1"])),
]


@pytest.mark.parametrize(("index", "ask"), [*READING, *STEPS])
def test_a_statement_uses_its_index(plan_of, index, ask):
    assert re.search(rf"USING (COVERING )?INDEX {index}\b", plan_of(ask))


@pytest.mark.parametrize(("index", "ask"), READING)
def test_a_statement_uses_its_index_for_callers_with_owners(plan_of, index, ask):
    assert re.search(rf"USING (COVERING )?INDEX {index}\b", plan_of(ask, of_owners=["*"]))


@pytest.mark.parametrize(
    "ask",
    [
        lambda session: session.jobs.get("1"),
        lambda session: session.jobs.due(NOON, 500, ["x"]),
        lambda session: session.dependencies.children(["1"]),
        lambda session: session.jobs.planned_with(["x"], 500),
        lambda session: session.jobs.planned_ahead(NOON, 500, ["x"]),
        lambda session: session.jobs.plan([JOB]),
        lambda session: session.counts.count_ends([(ENDED, True)]),
        lambda session: session.jobs.get_many(["1"]),
        lambda session: session.counts.count_attempts(["1"], NOON),
        lambda session: session.jobs.set_done(["1"], is_done=True),
        lambda session: session.runs.get(1),
        lambda session: session.runs.start([RUN], NOON),
        lambda session: session.runs.finish([(RUN, OUTCOME)]),
        lambda session: session.runs.busy(["1"]),
        lambda session: session.runs.release(["1"]),
        lambda session: session.runs.cancel_queued(RUN, NOON, ""),
        lambda session: session.runs.wait_for_pool(RUN),
        lambda session: session.runs.end_retry_wait(RUN, ""),
        lambda session: session.runs.output(1),
        lambda session: session.runs.delete([1, 2]),
        lambda session: session.dependencies.remember_success("1", "2"),
        lambda session: session.history.causes(1, 9),
        lambda session: session.answers.get("a", NOON),
        lambda session: session.answers.keep("a", Answer("", 200, {}, b""), NOON),
        lambda session: session.endings.per_step(60, 0, 9),
        lambda session: session.endings.delete_before(9, 9),
        lambda session: session.history.caused(1, 9),
        lambda session: session.runs.last_attempts("1", 50),
        lambda session: list(session.jobs.search(JobFilter(tags=("a", "b"), limit=9))),
        lambda session: session.jobs.revision(64, 128),
        lambda session: session.jobs.next_seq(64),
        lambda session: session.summaries.matches(in_state(JobState.FAILING)),
    ],
)
def test_no_statement_scans_a_table(plan_of, ask):
    assert not re.search(r"^SCAN (job|run|dependency|child|job_tag|answer|ended)$", plan_of(ask), re.MULTILINE)


@pytest.mark.parametrize(
    "ask",
    [
        lambda session: session.jobs.due(NOON, 500, ["x"]),
        lambda session: session.runs.ready(8),
        lambda session: session.runs.last_attempts("1", 50),
        lambda session: list(session.runs.last_attempts_from(3, "1")),
        lambda session: session.runs.first_last_attempt("1", 50),
        lambda session: list(session.jobs.nodes(0, 50)),
        lambda session: session.runs.due_retries(NOON, 50),
        lambda session: session.runs.release_pool("gpu"),
        lambda session: list(session.jobs.search(JobFilter(tags=("a", "b"), limit=9))),
    ],
)
def test_no_statement_with_a_limit_sorts(plan_of, ask):
    assert not re.search(r"^USE TEMP B-TREE", plan_of(ask).split("CORRELATED")[0], re.MULTILINE)
