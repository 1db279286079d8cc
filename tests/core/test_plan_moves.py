"""How a plan moves: in one place, and only together with what becomes of the slots that it passes."""

import ast
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

import kala
from kala.core import policy
from kala.core.clock import rules_of
from kala.core.job import Command, Job, Spec

SOURCES = Path(kala.__file__).parent
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
BERLIN, KOLKATA = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kolkata")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def calls() -> list[tuple[str, ast.Call]]:
    """Each call in Kala's sources, with the function that it stands in."""
    found = []
    for path in SOURCES.rglob("*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef):
                where = f"{path.relative_to(SOURCES)}: {function.name}"
                found += [(where, node) for node in ast.walk(function) if isinstance(node, ast.Call)]
    return found


def name_of(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def test_one_function_alone_says_when_a_job_is_due_next():
    setting = {
        where
        for where, call in calls()
        if name_of(call) == "replace" and any(keyword.arg == "next_due" for keyword in call.keywords)
    }
    assert setting == {"core/policy.py: _delayed"}


def test_one_function_alone_writes_plans_and_it_writes_what_becomes_of_their_slots():
    writing = {where for where, call in calls() if name_of(call) == "plan"}
    assert writing == {"engine/plans.py: move"}


def test_policy_alone_makes_moves():
    making = {where.partition(":")[0] for where, call in calls() if name_of(call) == "Move"}
    assert making == {"core/policy.py"}


def job(schedule: str, zone=UTC, **fields: object) -> Job:
    made = policy.new_job("1", Spec(name="backup", action=Command("true"), schedule=schedule, **fields), zone, NOON)
    assert made.next_due
    return made


class TestANewSchedule:
    def test_leaves_an_entry_for_the_slots_of_the_old_one_that_have_passed(self):
        before = job("R/2030-01-01T13:00:00Z/PT1H")
        other = Spec(name="backup", action=Command("true"), schedule="R/2030-01-02T00:00:00Z/P1D")
        missed = policy.replan(before, other, UTC, NOON + 3.5 * HOUR).missed
        assert (missed.count, missed.first, missed.last) == (3, NOON + HOUR, NOON + 3 * HOUR)
        assert missed.why == "the schedule was changed"

    def test_leaves_none_where_no_slot_has_passed(self):
        before = job("R/2030-01-01T13:00:00Z/PT1H")
        other = Spec(name="backup", action=Command("true"), schedule="R/2030-01-02T00:00:00Z/P1D")
        assert policy.replan(before, other, UTC, NOON + HOUR / 2).missed is None


class TestWhatAPlanIsReckonedFrom:
    def test_is_the_zone_and_the_wall_clock_for_a_calendar_schedule_without_offset(self):
        made = job("R/2030-01-01T14:00:00/P1D", BERLIN)
        assert (made.next_due, made.next_wall) == (NOON + HOUR, NOON + 2 * HOUR)
        assert (made.claimed_until, made.zone_rules) == (NOON, rules_of(BERLIN))

    def test_is_the_zone_alone_where_it_is_counted_in_elapsed_time(self):
        made = job("R/2030-01-01T14:00:00/PT1H", BERLIN)
        assert (made.next_wall, made.claimed_until, made.zone_rules) == (None, NOON, rules_of(BERLIN))

    def test_is_no_zone_where_the_start_has_an_offset(self):
        made = job("R/2030-01-01T14:00:00+01:00/P1D", BERLIN)
        assert (made.next_wall, made.claimed_until, made.zone_rules) == (None, NOON, None)

    def test_goes_when_no_slot_is_left(self):
        due = job("R0/2030-01-01T14:00:00", BERLIN)
        after = policy.claim(due, BERLIN, NOON + HOUR, watching_since=NOON, is_waiting=False).job
        assert (after.next_due, after.next_wall, after.claimed_until, after.zone_rules) == (None, None, None, None)
        assert (after.slots_started, after.last_wall) == (1, NOON + 2 * HOUR)


class TestAStalePlan:
    def test_is_one_of_other_rules_where_start_follows_the_zone(self):
        local, fixed = job("R/2030-01-01T14:00:00/P1D", BERLIN), job("R/2030-01-01T14:00:00Z/P1D")
        assert policy.is_of_other_zone(local, KOLKATA)
        assert not policy.is_of_other_zone(local, BERLIN)
        assert not policy.is_of_other_zone(fixed, KOLKATA)

    @pytest.mark.parametrize("set_back", [timedelta(), HOUR, DAY])
    def test_is_never_moved_past_a_slot(self, set_back):
        for schedule in ("R0/2030-01-01T14:00:00", "R/2030-01-01T14:00:00/P1D", "R/2030-01-01T14:00:00/PT1H"):
            overdue = job(schedule, BERLIN)
            now = NOON + 5 * HOUR - set_back
            after = policy.correct(overdue, KOLKATA, now, set_back)
            assert (after.slots, after.skipped, after.missed) == ((), (), None)
            first_of_the_new_plan = NOON - 3.5 * HOUR if "PT" not in schedule else NOON + HOUR / 2
            assert after.job.next_due <= first_of_the_new_plan
            assert set_back == DAY or after.job.next_due == first_of_the_new_plan
