"""What follows from what happened: pure decisions over values."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from kala.core import policy
from kala.core.errors import Invalid
from kala.core.job import Command, Job, Spec
from kala.core.policy import Claim, Follow
from kala.core.run import Cause, Outcome, Run, State

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
LONG_AGO = NOON - timedelta(days=1)
HOURLY = "R/2030-01-01T13:00:00Z/PT1H"
BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")


def hours(number: float) -> timedelta:
    return timedelta(hours=number)


def spec(**fields: object) -> Spec:
    return Spec(**{"name": "backup", "action": Command("true")} | fields)


def job(next_due: datetime | None = NOON, slots_started: int = 0, **fields: object) -> Job:
    return Job(id="1", spec=spec(**fields), created_at=NOON, next_due=next_due, slots_started=slots_started)


def run(state: State = State.FAILED, attempt: int = 0) -> Run:
    """A run that was due at noon, and was queued much later."""
    return Run(
        job_id="1",
        job_name="backup",
        cause=Cause.SCHEDULE,
        due_at=NOON,
        queued_at=NOON + hours(100),
        attempt=attempt,
        outcome=Outcome(state=state, ended_at=NOON + hours(100)),
    )


class TestWhatAJobMayBe:
    @pytest.mark.parametrize(
        "fields",
        [
            {},
            {"schedule": HOURLY, "epsilon": "PT5M", "retries": 3},
            {"parents": ("2", "3"), "on_failure_job": "4"},
            {"schedule": "R0/2020-01-01T00:00:00Z"},
        ],
    )
    def test_parts_that_fit_together_are_accepted(self, fields):
        policy.check(spec(**fields), UTC)

    @pytest.mark.parametrize(
        ("fields", "complaint"),
        [
            ({"schedule": HOURLY, "parents": ("2",)}, "schedule: a job runs by its schedule or after its parents"),
            ({"schedule": "hourly"}, "schedule: 'hourly' is not R[n]/START/INTERVAL"),
            ({"epsilon": "soon"}, "epsilon: 'soon' is not an ISO 8601 duration"),
        ],
    )
    def test_parts_that_contradict_each_other_or_mean_nothing_are_refused(self, fields, complaint):
        with pytest.raises(Invalid) as refusal:
            policy.check(spec(**fields), UTC)
        assert str(refusal.value).startswith(complaint)


class TestWhenANewJobIsDue:
    def test_by_its_schedule_it_is_due_at_the_start(self):
        assert policy.first_due(spec(schedule=HOURLY), UTC, NOON) == NOON + hours(1)

    def test_without_an_offset_the_start_is_in_the_servers_zone(self):
        assert policy.first_due(spec(schedule="R/2030-01-01T14:00:00/PT1H"), BERLIN, NOON) == NOON + hours(1)

    def test_without_schedule_and_parents_it_is_due_now(self):
        assert policy.first_due(spec(), UTC, NOON) == NOON

    def test_with_parents_it_waits_for_them(self):
        assert policy.first_due(spec(parents=("2",)), UTC, NOON) is None

    @pytest.mark.parametrize("start", ["2030-01-01T11:59:59Z", "2030-01-01T12:00:00Z"])
    def test_a_start_that_is_not_after_now_is_refused(self, start):
        with pytest.raises(Invalid) as refusal:
            policy.first_due(spec(schedule=f"R/{start}/PT1H"), UTC, NOON)
        assert str(refusal.value) == f"schedule: 'R/{start}/PT1H' starts in the past; give a start after now"


class TestAChangedJob:
    def test_with_the_same_schedule_keeps_its_plan_and_its_count_of_repeats(self):
        before = job(NOON + hours(2), 5, schedule=HOURLY)
        after = policy.replan(before, spec(schedule=HOURLY, name="other"), UTC, NOON + hours(9))
        assert (after.next_due, after.slots_started, after.spec.name) == (NOON + hours(2), 5, "other")

    def test_with_another_schedule_is_planned_anew_and_counts_from_zero(self):
        before = job(NOON + hours(2), 5, schedule=HOURLY)
        after = policy.replan(before, spec(schedule="R/2030-01-02T12:00:00Z/PT1H"), UTC, NOON)
        assert (after.next_due, after.slots_started) == (NOON + hours(24), 0)

    def test_with_a_schedule_that_starts_in_the_past_is_refused(self):
        with pytest.raises(Invalid, match="starts in the past"):
            policy.replan(job(schedule=HOURLY), spec(schedule="R/2029-01-01T00:00:00Z/PT1H"), UTC, NOON)

    def test_that_loses_its_schedule_is_not_due_any_more(self):
        assert policy.replan(job(schedule=HOURLY), spec(), UTC, NOON).next_due is None

    def test_that_exchanges_its_schedule_for_parents_waits_for_them(self):
        assert policy.replan(job(schedule=HOURLY), spec(parents=("2",)), UTC, NOON).next_due is None

    def test_that_gets_parents_before_its_run_at_creation_waits_for_them(self):
        assert policy.replan(job(), spec(parents=("2",)), UTC, NOON).next_due is None

    def test_that_exchanges_its_parents_for_a_schedule_is_due_by_it(self):
        before = job(None, parents=("2",))
        assert policy.replan(before, spec(schedule=HOURLY), UTC, NOON).next_due == NOON + hours(1)


class TestAnEnabledJob:
    def test_still_has_the_slot_that_it_missed(self):
        woken = policy.enable(job(NOON, schedule=HOURLY), UTC, NOON + hours(5))
        assert woken.next_due == NOON

    def test_waits_for_its_next_slot_where_it_asks_for_that(self):
        asleep = job(NOON + hours(1), schedule=HOURLY, resume_at_next_scheduled_time=True)
        assert policy.enable(asleep, UTC, NOON + hours(5.5)).next_due == NOON + hours(6)

    def test_that_missed_nothing_keeps_its_slot(self):
        asleep = job(NOON + hours(1), schedule=HOURLY, resume_at_next_scheduled_time=True)
        assert policy.enable(asleep, UTC, NOON).next_due == NOON + hours(1)

    def test_without_schedule_still_has_its_run_at_creation(self):
        asleep = job(NOON, resume_at_next_scheduled_time=True)
        assert policy.enable(asleep, UTC, NOON + hours(5)).next_due == NOON


class TestAJobThatIsDue:
    def claim(self, due: Job, now: datetime, *, zone=UTC, watching_since=LONG_AGO, is_waiting=False) -> Claim:
        return policy.claim(due, zone, now, watching_since=watching_since, is_waiting=is_waiting)

    def test_runs_for_its_slot_and_moves_on_to_the_next(self):
        due = job(NOON + hours(1), schedule=HOURLY)
        assert self.claim(due, NOON + hours(1.01)) == Claim(NOON + hours(1), NOON + hours(2))

    def test_without_schedule_runs_for_its_creation_and_never_again(self):
        assert self.claim(job(NOON), NOON) == Claim(NOON, None)

    def test_that_missed_slots_runs_once_for_the_latest_and_goes_on_with_the_grid(self):
        due = job(NOON + hours(1), schedule=HOURLY)
        now = NOON + hours(5.5)
        assert self.claim(due, now, watching_since=now) == Claim(NOON + hours(5), NOON + hours(6))

    def test_that_missed_slots_waits_for_the_next_where_it_asks_for_that(self):
        due = job(NOON + hours(1), schedule=HOURLY, resume_at_next_scheduled_time=True)
        now = NOON + hours(5.5)
        assert self.claim(due, now, watching_since=now) == Claim(None, NOON + hours(6))

    def test_that_waits_for_the_next_slot_after_a_gap_still_runs_for_a_slot_that_was_not_missed(self):
        due = job(NOON + hours(1), schedule=HOURLY, resume_at_next_scheduled_time=True)
        now = NOON + hours(1.01)
        assert self.claim(due, now, watching_since=NOON) == Claim(NOON + hours(1), NOON + hours(2))

    def test_whose_slot_before_still_waits_starts_nothing_more(self):
        due = job(NOON + hours(1), schedule=HOURLY)
        assert self.claim(due, NOON + hours(1), is_waiting=True) == Claim(None, NOON + hours(2))

    @pytest.mark.parametrize(("started", "following"), [(0, NOON + hours(2)), (1, NOON + hours(2)), (2, None)])
    def test_with_two_repeats_runs_three_times(self, started, following):
        due = job(NOON + hours(1), started, schedule=HOURLY.replace("R/", "R2/"))
        assert self.claim(due, NOON + hours(1)) == Claim(NOON + hours(1), following)

    def test_that_is_due_once_has_no_slot_after(self):
        due = job(NOON + hours(1), schedule="R0/2030-01-01T13:00:00Z")
        assert self.claim(due, NOON + hours(1)) == Claim(NOON + hours(1), None)

    def test_whose_calendar_ends_has_no_slot_after(self):
        due = job(NOON + hours(1), schedule="R/2030-01-01T13:00:00Z/P9000Y")
        assert self.claim(due, NOON + hours(1)) == Claim(NOON + hours(1), None)

    @pytest.mark.parametrize("schedule", ["R0/2030-01-01T14:00:00", "R/2030-01-01T14:00:00/P1D"])
    def test_whose_servers_zone_has_changed_is_due_by_the_new_zone(self, schedule):
        planned_in_berlin = policy.first_due(spec(schedule=schedule), BERLIN, NOON)
        due = job(planned_in_berlin, schedule=schedule)
        assert self.claim(due, NOON + hours(1), zone=NEW_YORK) == Claim(None, NOON + hours(7))


class TestAFinishedRun:
    def test_that_succeeded_starts_the_children(self):
        assert policy.follow(spec(retries=3, on_failure_job="2"), run(State.SUCCEEDED), NOON) == Follow(children=True)

    @pytest.mark.parametrize("state", [State.FAILED, State.TIMED_OUT])
    def test_that_failed_is_tried_again(self, state):
        assert policy.follow(spec(retries=1, on_failure_job="2"), run(state), NOON) == Follow(retry=True)

    @pytest.mark.parametrize("state", [State.CANCELLED, State.LOST])
    def test_that_was_cancelled_or_lost_leads_to_nothing(self, state):
        assert policy.follow(spec(retries=3, on_failure_job="2"), run(state), NOON) == Follow()

    def test_that_failed_for_the_last_time_starts_the_on_failure_job(self):
        assert policy.follow(spec(retries=2, on_failure_job="2"), run(attempt=2), NOON) == Follow(on_failure=True)

    def test_that_failed_for_the_last_time_leads_to_nothing_without_an_on_failure_job(self):
        assert policy.follow(spec(), run(), NOON) == Follow()

    def test_of_a_job_that_was_disabled_is_not_tried_again(self):
        assert policy.follow(spec(retries=3, disabled=True), run(), NOON) == Follow()

    @pytest.mark.parametrize(
        ("epsilon", "now", "is_tried_again"),
        [
            ("PT10S", NOON + timedelta(seconds=10), True),
            ("PT10S", NOON + timedelta(seconds=10, microseconds=1), False),
            ("P1M", NOON + timedelta(days=31), True),
            ("P1M", NOON + timedelta(days=31, microseconds=1), False),
            ("P0D", NOON, True),
            ("P0D", NOON + timedelta(microseconds=1), False),
            ("", NOON + timedelta(days=9999), True),
            ("P9999Y", NOON + timedelta(days=9999), True),
        ],
    )
    def test_is_tried_again_until_epsilon_after_it_was_due(self, epsilon, now, is_tried_again):
        assert policy.follow(spec(retries=9, epsilon=epsilon), run(), now).retry is is_tried_again


@pytest.mark.parametrize(
    ("resting", "answer"),
    [
        pytest.param(job(NOON, schedule=HOURLY), True, id="a slot is to come"),
        pytest.param(job(None, schedule=HOURLY), False, id="no slot is to come"),
        pytest.param(job(None, parents=("2",)), True, id="its parents may run"),
        pytest.param(job(None), False, id="it ran at its creation"),
        pytest.param(job(NOON, schedule=HOURLY, disabled=True), True, id="it may be enabled"),
    ],
)
def test_a_job_comes_again_where_a_slot_or_a_parent_may_start_it(resting, answer):
    assert policy.comes_again(resting) is answer
