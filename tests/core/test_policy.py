"""What follows from what happened: pure decisions over values."""

from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest

from kala.core import policy
from kala.core.errors import Invalid, Outdated
from kala.core.job import Command, Job, Missed, Overlap, Spec
from kala.core.plan import next_slots
from kala.core.policy import Admission, Follow, MissedSlots
from kala.core.run import Cause, Outcome, Run, State, Waiting

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


class Claim(NamedTuple):
    """What a due job starts, when it is due next, and what becomes of the other slots."""

    slots: tuple[datetime, ...]
    next_due: datetime | None
    missed: MissedSlots | None = None
    skipped: tuple[datetime, ...] = ()


def claimed(due: Job, zone: tzinfo, now: datetime, **how: object) -> Claim:
    move = policy.claim(due, zone, now, **how)
    return Claim(move.slots, move.job.next_due, move.missed, move.skipped)


def run(state: State = State.FAILED, attempt: int = 0, exit_code: int | None = None) -> Run:
    """A run that was due at noon, and was queued much later."""
    return Run(
        job_id="1",
        job_name="backup",
        cause=Cause.SCHEDULE,
        due_at=NOON,
        queued_at=NOON + hours(100),
        attempt=attempt,
        outcome=Outcome(state=state, ended_at=NOON + hours(100), exit_code=exit_code),
    )


class TestWhatAJobMayBe:
    @pytest.mark.parametrize(
        "fields",
        [
            {},
            {"schedule": HOURLY, "epsilon": "PT5M", "retries": 3},
            {"parents": ("2", "3"), "on_failure_job": "4"},
            {"schedule": "R0/2020-01-01T00:00:00Z"},
            {"timeout": "PT1H", "start_deadline": "P1D", "retry_delay": "PT1S", "retry_max_delay": "P1M"},
        ],
    )
    def test_parts_that_fit_together_are_accepted(self, fields):
        policy.check(spec(**fields), UTC)

    @pytest.mark.parametrize(
        ("fields", "complaint"),
        [
            ({"schedule": HOURLY, "parents": ("2",)}, "schedule: a job can have either a schedule or parent_jobs"),
            (
                {"schedule": "hourly"},
                "schedule: must be R[n]/START/INTERVAL, such as R/2030-01-01T08:00:00Z/PT1H, or cron, such as 30 2 * ",
            ),
            (
                {"epsilon": "soon"},
                "epsilon: must be an ISO 8601 duration such as PT10S, PT1H30M, P1D or P1M, not 'soon'",
            ),
            ({"timeout": "5"}, "timeout: must be an ISO 8601 duration such as PT10S, PT1H30M, P1D or P1M, not '5'"),
            (
                {"retry_delay": "PT"},
                "retry_delay: must be an ISO 8601 duration such as PT10S, PT1H30M, P1D or P1M, not 'PT'",
            ),
            (
                {"retry_max_delay": "-PT1S"},
                "retry_max_delay: must be an ISO 8601 duration such as PT10S, PT1H30M, P1D or P1M, not '-PT1S'",
            ),
            (
                {"start_deadline": "1h"},
                "start_deadline: must be an ISO 8601 duration such as PT10S, PT1H30M, P1D or P1M, not '1h'",
            ),
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
    def test_a_start_that_is_not_after_now_is_refused_where_runs_are_counted(self, start):
        with pytest.raises(Invalid) as refusal:
            policy.first_due(spec(schedule=f"R9/{start}/PT1H"), UTC, NOON)
        assert str(refusal.value) == f"schedule: 'R9/{start}/PT1H' starts in the past; use a start time after now"


class TestTheNextSlotsOfAJob:
    @pytest.mark.parametrize(
        ("fields", "hours_of_slots"),
        [
            ({"schedule": HOURLY}, [13, 14, 15]),
            ({"schedule": "R1/2030-01-01T13:00:00Z/PT1H"}, [13, 14]),
            ({"schedule": "R0/2030-01-01T13:00:00Z"}, [13]),
            ({"schedule": HOURLY, "disabled": True}, [13, 14, 15]),
            ({}, [12]),
            ({"parents": ("p",)}, []),
        ],
    )
    def test_begin_with_the_one_that_is_planned_and_end_with_its_repeats(self, fields, hours_of_slots):
        new = policy.new_job("1", spec(**fields), UTC, NOON)
        assert [slot.hour for slot in next_slots(new, UTC, 3)] == hours_of_slots

    def test_do_not_include_repeats_that_were_started(self):
        repeating = job(NOON + hours(5), slots_started=4, schedule="R5/2030-01-01T13:00:00Z/PT1H")
        assert next_slots(repeating, UTC, 9) == [NOON + hours(5), NOON + hours(6)]

    def test_keep_their_time_of_day_in_the_servers_zone(self):
        new = policy.new_job("1", spec(schedule="R/2030-03-30T08:00:00/P1D"), BERLIN, NOON)
        assert [slot.hour for slot in next_slots(new, BERLIN, 2)] == [7, 6]


class TestAClientThatChangesAJob:
    def test_is_told_if_the_job_is_not_as_it_was_read(self):
        read, changed = job(), job(retries=1)
        policy.check_unchanged(read, {read.spec.digest, "other"})
        policy.check_unchanged(changed, None)
        for digests in ({read.spec.digest}, set()):
            with pytest.raises(Outdated, match=r"^job 1 \(backup\) was changed since you read it; read it again$"):
                policy.check_unchanged(changed, digests)

    def test_is_not_told_of_runs(self):
        assert job(slots_started=5).spec.digest == job(None).spec.digest


class TestAChangedJob:
    def test_with_the_same_schedule_keeps_its_plan_and_its_count_of_repeats(self):
        before = job(NOON + hours(2), 5, schedule=HOURLY)
        after = policy.replan(before, spec(schedule=HOURLY, name="other"), UTC, NOON + hours(9)).job
        assert (after.next_due, after.slots_started, after.spec.name) == (NOON + hours(2), 5, "other")

    def test_with_another_schedule_is_planned_anew_and_counts_from_zero(self):
        before = job(NOON + hours(2), 5, schedule=HOURLY)
        after = policy.replan(before, spec(schedule="R/2030-01-02T12:00:00Z/PT1H"), UTC, NOON).job
        assert (after.next_due, after.slots_started) == (NOON + hours(24), 0)

    def test_with_a_schedule_that_starts_in_the_past_is_refused(self):
        with pytest.raises(Invalid, match="starts in the past"):
            policy.replan(job(schedule=HOURLY), spec(schedule="R0/2029-01-01T00:00:00Z"), UTC, NOON)

    def test_that_loses_its_schedule_is_not_due_any_more(self):
        assert policy.replan(job(schedule=HOURLY), spec(), UTC, NOON).job.next_due is None

    def test_that_exchanges_its_schedule_for_parents_waits_for_them(self):
        assert policy.replan(job(schedule=HOURLY), spec(parents=("2",)), UTC, NOON).job.next_due is None

    def test_that_gets_parents_before_its_run_at_creation_waits_for_them(self):
        assert policy.replan(job(), spec(parents=("2",)), UTC, NOON).job.next_due is None

    def test_that_exchanges_its_parents_for_a_schedule_is_due_by_it(self):
        before = job(None, parents=("2",))
        assert policy.replan(before, spec(schedule=HOURLY), UTC, NOON).job.next_due == NOON + hours(1)


class TestAnEnabledJob:
    """A job that wakes: what passed while it was disabled lies before it is watched again."""

    def wake(self, asleep: Job, now: datetime) -> Claim:
        return claimed(asleep, UTC, now, watching_since=now, is_waiting=False)

    def test_still_makes_up_for_the_latest_slot_that_it_missed(self):
        assert self.wake(job(NOON + hours(1), schedule=HOURLY), NOON + hours(5.5)).slots == (NOON + hours(5),)

    def test_waits_for_its_next_slot_where_it_asks_for_that(self):
        asleep = job(NOON + hours(1), schedule=HOURLY, missed=Missed.SKIP)
        claim = self.wake(asleep, NOON + hours(5.5))
        assert (claim.slots, claim.next_due) == ((), NOON + hours(6))

    def test_that_missed_nothing_has_the_slot_that_is_due_as_it_wakes(self):
        asleep = job(NOON + hours(1), schedule=HOURLY, missed=Missed.SKIP)
        assert self.wake(asleep, NOON + hours(1)) == Claim((NOON + hours(1),), NOON + hours(2))

    @pytest.mark.parametrize("missed", Missed)
    def test_without_schedule_still_has_its_run_at_creation(self, missed):
        assert self.wake(job(NOON, missed=missed), NOON + hours(5)) == Claim((NOON,), None)


class TestAJobThatIsDue:
    def claim(self, due: Job, now: datetime, *, zone=UTC, watching_since=LONG_AGO, is_waiting=False) -> Claim:
        return claimed(due, zone, now, watching_since=watching_since, is_waiting=is_waiting)

    def test_runs_for_its_slot_and_moves_on_to_the_next(self):
        due = job(NOON + hours(1), schedule=HOURLY)
        assert self.claim(due, NOON + hours(1.01)) == Claim((NOON + hours(1),), NOON + hours(2))

    def test_without_schedule_runs_for_its_creation_and_never_again(self):
        assert self.claim(job(NOON), NOON) == Claim((NOON,), None)

    def test_that_missed_slots_runs_once_for_the_latest_and_goes_on_with_the_grid(self):
        due = job(NOON + hours(1), schedule=HOURLY)
        now = NOON + hours(5.5)
        missed = MissedSlots(4, NOON + hours(1), NOON + hours(4))
        assert self.claim(due, now, watching_since=now) == Claim((NOON + hours(5),), NOON + hours(6), missed)

    def test_that_missed_slots_waits_for_the_next_where_it_asks_for_that(self):
        due = job(NOON + hours(1), schedule=HOURLY, missed=Missed.SKIP)
        now = NOON + hours(5.5)
        missed = MissedSlots(5, NOON + hours(1), NOON + hours(5))
        assert self.claim(due, now, watching_since=now) == Claim((), NOON + hours(6), missed)

    def test_that_waits_for_the_next_slot_after_a_gap_still_runs_for_a_slot_that_was_not_missed(self):
        due = job(NOON + hours(1), schedule=HOURLY, missed=Missed.SKIP)
        now = NOON + hours(1.01)
        assert self.claim(due, now, watching_since=NOON) == Claim((NOON + hours(1),), NOON + hours(2))

    def test_whose_slot_before_still_waits_starts_nothing_more(self):
        due = job(NOON + hours(1), schedule=HOURLY)
        assert self.claim(due, NOON + hours(1), is_waiting=True) == Claim((), NOON + hours(2))

    @pytest.mark.parametrize(("started", "following"), [(0, NOON + hours(2)), (1, NOON + hours(2)), (2, None)])
    def test_with_two_repeats_runs_three_times(self, started, following):
        due = job(NOON + hours(1), started, schedule=HOURLY.replace("R/", "R2/"))
        assert self.claim(due, NOON + hours(1)) == Claim((NOON + hours(1),), following)

    def test_that_is_due_once_has_no_slot_after(self):
        due = job(NOON + hours(1), schedule="R0/2030-01-01T13:00:00Z")
        assert self.claim(due, NOON + hours(1)) == Claim((NOON + hours(1),), None)

    def test_whose_calendar_ends_has_no_slot_after(self):
        due = job(NOON + hours(1), schedule="R/2030-01-01T13:00:00Z/P9000Y")
        assert self.claim(due, NOON + hours(1)) == Claim((NOON + hours(1),), None)

    @pytest.mark.parametrize("schedule", ["R0/2030-01-01T14:00:00", "R/2030-01-01T14:00:00/P1D"])
    def test_whose_servers_zone_has_changed_is_due_by_the_new_zone(self, schedule):
        planned_in_berlin = policy.first_due(spec(schedule=schedule), BERLIN, NOON)
        due = job(planned_in_berlin, schedule=schedule)
        assert self.claim(due, NOON + hours(1), zone=NEW_YORK) == Claim((), NOON + hours(7))


class TestSlotsThatWereMissed:
    """An hourly job, due at 13, comes back at 18:30: six slots, 13 to 18, have passed."""

    NOW = NOON + hours(6.5)

    @pytest.mark.parametrize(
        ("fields", "taken", "left_out"),
        [
            pytest.param({}, [18], (5, 13, 17), id="once is the default"),
            pytest.param({"missed": Missed.SKIP}, [], (6, 13, 18), id="skip"),
            pytest.param({"missed": Missed.ALL}, [13, 14, 15, 16, 17, 18], None, id="all"),
            pytest.param({"missed": Missed.ALL, "missed_limit": 6}, [13, 14, 15, 16, 17, 18], None, id="all, just"),
            pytest.param({"missed": Missed.ALL, "missed_limit": 2}, [17, 18], (4, 13, 16), id="all, the newest two"),
            pytest.param({"missed": Missed.ALL, "missed_limit": 1}, [18], (5, 13, 17), id="all, the newest"),
            pytest.param({"missed_limit": 3}, [18], (5, 13, 17), id="the limit is for all alone"),
            pytest.param({"start_deadline": "PT30M"}, [18], (5, 13, 17), id="once, just in time"),
            pytest.param({"start_deadline": "PT29M59S"}, [], (6, 13, 18), id="once, too late"),
            pytest.param(
                {"missed": Missed.ALL, "start_deadline": "PT2H30M"}, [16, 17, 18], (3, 13, 15), id="all, late"
            ),
            pytest.param({"missed": Missed.ALL, "start_deadline": "PT1S"}, [], (6, 13, 18), id="all, all too late"),
            pytest.param(
                {"missed": Missed.ALL, "missed_limit": 2, "start_deadline": "PT1H"}, [18], (5, 13, 17), id="limit, late"
            ),
            pytest.param({"missed": Missed.ALL, "start_deadline": "P9999Y"}, [*range(13, 19)], None, id="never late"),
        ],
    )
    def test_are_made_up_for_as_the_job_asks_and_the_others_are_told(self, fields, taken, left_out):
        due = job(NOON + hours(1), schedule=HOURLY, **fields)
        claim = claimed(due, UTC, self.NOW, watching_since=self.NOW, is_waiting=False)
        missed = MissedSlots(left_out[0], *map(self.at, left_out[1:])) if left_out else None
        assert claim == Claim(tuple(map(self.at, taken)), self.at(19), missed)

    def at(self, hour: int) -> datetime:
        return NOON + hours(hour - 12)

    def test_with_skip_leave_the_one_that_comes_due_on_time(self):
        due = job(NOON + hours(1), schedule=HOURLY, missed=Missed.SKIP)
        claim = claimed(due, UTC, NOON + hours(3), watching_since=NOON + hours(2.5), is_waiting=False)
        assert claim == Claim((self.at(15),), self.at(16), MissedSlots(2, self.at(13), self.at(14)))

    @pytest.mark.parametrize("missed", [Missed.ONCE, Missed.SKIP])
    def test_become_part_of_a_slot_that_still_waits(self, missed):
        due = job(NOON + hours(1), schedule=HOURLY, missed=missed)
        assert claimed(due, UTC, self.NOW, watching_since=self.NOW, is_waiting=True) == Claim((), self.at(19))

    def test_with_all_queue_behind_a_slot_that_still_waits(self):
        due = job(NOON + hours(1), schedule=HOURLY, missed=Missed.ALL)
        claim = claimed(due, UTC, self.NOW, watching_since=self.NOW, is_waiting=True)
        assert claim == Claim(tuple(map(self.at, range(13, 19))), self.at(19))

    @pytest.mark.parametrize(
        ("started", "taken", "following"), [(0, [13, 14, 15], None), (2, [13], None), (1, [13, 14], None)]
    )
    def test_with_all_count_as_repeats(self, started, taken, following):
        due = job(NOON + hours(1), started, schedule=HOURLY.replace("R/", "R2/"), missed=Missed.ALL)
        claim = claimed(due, UTC, self.NOW, watching_since=self.NOW, is_waiting=False)
        assert (claim.slots, claim.next_due) == (tuple(map(self.at, taken)), following)

    def test_that_are_left_out_do_not_count_as_repeats(self):
        due = job(NOON + hours(1), schedule=HOURLY.replace("R/", "R2/"), missed=Missed.SKIP)
        claim = claimed(due, UTC, self.NOW, watching_since=self.NOW, is_waiting=False)
        assert (claim.slots, claim.next_due) == ((), self.at(19))

    def test_are_told_by_the_zone_that_the_server_has_now(self):
        due = job(NOON + hours(1), schedule="R/2030-01-01T14:00:00/PT1H", missed=Missed.SKIP)  # 13 in Berlin
        now = NOON + hours(9.5)
        claim = claimed(due, NEW_YORK, now, watching_since=now, is_waiting=False)
        assert claim.missed == MissedSlots(3, self.at(19), self.at(21))

    def test_on_a_day_that_a_zone_left_out_start_one_run(self):
        apia = ZoneInfo("Pacific/Apia")  # had no 30 December in 2011
        slot = datetime(2011, 12, 31, 8, tzinfo=apia).astimezone(UTC)
        due = job(slot, schedule="R/2011-12-29T08:00:00/P1D")
        claim = claimed(due, apia, slot, watching_since=LONG_AGO, is_waiting=False)
        assert (claim.slots, claim.next_due) == ((slot,), slot + timedelta(days=1))


class TestAFinishedRun:
    def test_that_succeeded_starts_the_children(self):
        assert policy.follow(spec(retries=3, on_failure_job="2"), run(State.SUCCEEDED), NOON) == Follow(children=True)

    @pytest.mark.parametrize("state", [State.FAILED, State.TIMED_OUT])
    def test_that_failed_is_tried_again(self, state):
        assert policy.follow(spec(retries=1, on_failure_job="2"), run(state), NOON) == Follow(retry_at=NOON)

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
        retry_at = now if is_tried_again else None
        assert policy.follow(spec(retries=9, epsilon=epsilon), run(), now) == Follow(retry_at=retry_at)


class TestARetry:
    @pytest.mark.parametrize(
        ("fields", "attempt", "delay"),
        [
            pytest.param({}, 0, timedelta(), id="at once where nothing else is said"),
            pytest.param({"retry_backoff": 9.0}, 5, timedelta(), id="no delay does not grow"),
            pytest.param({"retry_delay": "PT0S", "retry_backoff": 2.0}, 5, timedelta(), id="nor does none of it"),
            pytest.param({}, 8, timedelta(), id="at once up to the tenth attempt"),
            pytest.param({}, 9, timedelta(seconds=1), id="a second before the eleventh"),
            pytest.param({}, 999, timedelta(seconds=1), id="and before each further one"),
            pytest.param({"retry_delay": "PT0.1S"}, 9, timedelta(seconds=1), id="in place of less than a second"),
            pytest.param({"retry_delay": "PT2S"}, 9, timedelta(seconds=2), id="a longer delay is as given"),
            pytest.param(
                {"retry_delay": "PT2S", "retry_max_delay": "PT0S"},
                9,
                timedelta(seconds=1),
                id="even where the most is none",
            ),
            pytest.param({"retry_delay": "PT10S"}, 0, timedelta(seconds=10), id="the first"),
            pytest.param({"retry_delay": "PT10S"}, 7, timedelta(seconds=10), id="the same each time"),
            pytest.param(
                {"retry_delay": "PT10S", "retry_backoff": 2.0}, 0, timedelta(seconds=10), id="doubled not yet"
            ),
            pytest.param({"retry_delay": "PT10S", "retry_backoff": 2.0}, 1, timedelta(seconds=20), id="doubled once"),
            pytest.param({"retry_delay": "PT10S", "retry_backoff": 2.0}, 3, timedelta(seconds=80), id="three times"),
            pytest.param({"retry_delay": "PT2S", "retry_backoff": 1.5}, 2, timedelta(seconds=4.5), id="by a half"),
            pytest.param(
                {"retry_delay": "PT10S", "retry_backoff": 2.0, "retry_max_delay": "PT1M"},
                2,
                timedelta(seconds=40),
                id="below the most",
            ),
            pytest.param(
                {"retry_delay": "PT10S", "retry_backoff": 2.0, "retry_max_delay": "PT1M"},
                3,
                timedelta(minutes=1),
                id="at the most",
            ),
            pytest.param(
                {"retry_delay": "PT10S", "retry_max_delay": "PT1S"}, 0, timedelta(seconds=1), id="the most wins"
            ),
            pytest.param({"retry_delay": "P1M"}, 0, timedelta(days=31), id="a month of the calendar"),
            pytest.param({"retry_delay": "PT1S", "retry_backoff": 10.0}, 9, timedelta(days=365), id="a year at most"),
            pytest.param({"retry_delay": "PT1S", "retry_backoff": 1000.0}, 900, timedelta(days=365), id="no overflow"),
            pytest.param({"retry_delay": "P9999Y"}, 0, timedelta(days=365), id="no overflow of the calendar"),
            pytest.param(
                {"retry_delay": "PT1S", "retry_max_delay": "P9999Y"}, 0, timedelta(seconds=1), id="nor of the most"
            ),
        ],
    )
    def test_waits_for_the_delay_grown_by_the_backoff_up_to_the_most(self, fields, attempt, delay):
        followed = policy.follow(spec(retries=1000, **fields), run(attempt=attempt), NOON)
        assert followed == Follow(retry_at=NOON + delay)

    def test_that_would_come_after_the_calendar_comes_at_its_end(self):
        fields = {"retry_delay": "P9999Y", "retry_max_delay": "P9999Y"}
        assert policy.follow(spec(retries=1, **fields), run(), NOON).retry_at.year == 9999

    @pytest.mark.parametrize(
        ("delay", "is_tried_again"),
        [("PT10S", True), ("PT10.000001S", False), ("PT9S", True), ("P1D", False)],
    )
    def test_does_not_come_later_than_epsilon_after_the_run_was_due(self, delay, is_tried_again):
        followed = policy.follow(spec(retries=9, retry_delay=delay, epsilon="PT10S"), run(), NOON)
        assert bool(followed.retry_at) is is_tried_again

    def test_that_would_come_too_late_gives_way_to_the_on_failure_job(self):
        late = spec(retries=9, retry_delay="PT11S", epsilon="PT10S", on_failure_job="2")
        assert policy.follow(late, run(), NOON) == Follow(on_failure=True)

    @pytest.mark.parametrize(
        ("retry_on", "state", "exit_code", "is_tried_again"),
        [
            ((), State.FAILED, 1, True),
            ((), State.FAILED, None, True),
            ((), State.TIMED_OUT, None, True),
            ((75,), State.FAILED, 75, True),
            ((1, 75), State.FAILED, 75, True),
            ((0,), State.FAILED, 0, True),
            ((75,), State.FAILED, 1, False),
            ((75,), State.FAILED, None, False),
            ((75,), State.TIMED_OUT, None, False),
            ((75,), State.CANCELLED, 75, False),
            ((75,), State.LOST, 75, False),
        ],
    )
    def test_follows_only_the_exit_codes_that_the_job_names(self, retry_on, state, exit_code, is_tried_again):
        followed = policy.follow(spec(retries=1, retry_on=retry_on), run(state, exit_code=exit_code), NOON)
        assert followed == Follow(retry_at=NOON if is_tried_again else None)

    def test_does_not_follow_an_exit_code_that_ends_the_attempts(self):
        final = spec(retries=9, retry_on=(75,), on_failure_job="2")
        assert policy.follow(final, run(exit_code=1), NOON) == Follow(on_failure=True)


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


@pytest.mark.parametrize(
    ("some", "others", "order"),
    [
        ([], [], []),
        ([0, 0], [], ["a0", "a0"]),
        ([], [0, 0], ["b0", "b0"]),
        ([0, 0], [0, 0, 0], ["a0", "b0", "a0", "b0", "b0"]),
        ([1, 0, 0], [2, 0], ["b2", "a1", "a0", "b0", "a0"]),
        ([0, -1], [1, 1, 0], ["b1", "b1", "a0", "b0", "a-1"]),
    ],
)
def test_two_queues_take_turns_where_their_priorities_are_equal(some, others, order):
    def queue(name: str, priorities: list[int]) -> list[Run]:
        return [
            Run(job_id=name, job_name=name, cause=Cause.MANUAL, queued_at=NOON, due_at=NOON, priority=priority)
            for priority in priorities
        ]

    taken = policy.take_turns(queue("a", some), queue("b", others))
    assert [f"{run.job_id}{run.priority}" for run in taken] == order


class TestANewRun:
    @pytest.mark.parametrize("overlap", Overlap)
    def test_starts_while_its_job_has_no_other(self, overlap):
        assert policy.admit(spec(overlap=overlap), is_busy=False) is Admission.START

    @pytest.mark.parametrize(
        ("overlap", "admission"),
        [
            (Overlap.WAIT, Admission.WAIT),
            (Overlap.SKIP, Admission.SKIP),
            (Overlap.REPLACE, Admission.REPLACE),
            (Overlap.ALLOW, Admission.START),
        ],
    )
    def test_of_a_busy_job_becomes_what_its_overlap_says(self, overlap, admission):
        assert policy.admit(spec(overlap=overlap), is_busy=True) is admission

    @pytest.mark.parametrize(
        ("overlap", "waiting"),
        [
            (Overlap.WAIT, Waiting.JOB),
            (Overlap.SKIP, Waiting.JOB),
            (Overlap.REPLACE, Waiting.JOB),
            (Overlap.ALLOW, Waiting.WORKER),
        ],
    )
    def test_that_is_a_retry_waits_for_a_busy_job_unless_overlap_is_allowed(self, overlap, waiting):
        assert policy.waiting_for_turn(spec(overlap=overlap), is_busy=True) is waiting


class TestARunThatWasAskedToEnd:
    @pytest.mark.parametrize("state", [State.FAILED, State.TIMED_OUT])
    def test_is_cancelled_although_it_failed_by_itself(self, state):
        outcome = policy.cancelled_if_asked(Outcome(state=state, ended_at=NOON, message="exit status 1"), "by request")
        assert (outcome.state, outcome.message) == (State.CANCELLED, "by request")

    @pytest.mark.parametrize("state", [State.SUCCEEDED, State.CANCELLED, State.LOST])
    def test_keeps_any_other_outcome(self, state):
        outcome = Outcome(state=state, ended_at=NOON)
        assert policy.cancelled_if_asked(outcome, "by request") is outcome
