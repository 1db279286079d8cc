"""Each slot of a plan is accounted for: by its run, by a skipped run, or by a queued run into which it collapses.

The zone changes, the clock is set forward and back, jobs are disabled, enabled and given other schedules, Kala crashes,
and a backup is restored. A calendar slot is identified by its number, which no zone changes, and a slot of elapsed time
by its instant.
"""

import re
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from copy import deepcopy
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import count, takewhile
from zoneinfo import ZoneInfo

from effort import effort
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from kala.core.job import Missed, Overlap
from kala.core.run import Run

# The clocks of Berlin and of Lord Howe change within the days after; Apia is a day away from Honolulu.
BEGIN = datetime(2030, 3, 29, 20, tzinfo=UTC)
NAMES = ("Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia", "Pacific/Honolulu")
ZONES = [UTC, *map(ZoneInfo, NAMES)]
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
MISSED = re.compile(r"(\d+) missed slots? skipped, from (\S+) to (\S+Z)")
JOBS = 2

instants = st.integers(0, 3 * 24 * 60).map(lambda minutes: minutes * MINUTE)
plans = st.fixed_dictionaries(
    {
        "ahead": instants,
        "every": st.sampled_from([DAY, DAY, 2 * DAY, HOUR, 90 * MINUTE]),
        "repeats": st.sampled_from([None, None, None, 0, 1, 4]),
        "is_local": st.sampled_from([True, True, False]),
    }
)


class Plan:
    """A slow, obvious model of a schedule."""

    def __init__(self, now: datetime, zone: tzinfo, *, ahead: timedelta, every, repeats, is_local: bool) -> None:
        self.is_local = is_local
        self.every = None if repeats == 0 else every
        self.is_elapsed = self.every is not None and self.every < DAY
        self.most = None if repeats is None else repeats + 1
        local = now.astimezone(zone if is_local else UTC) + MINUTE + ahead
        self.start = local.replace(tzinfo=None, fold=0)
        if self.slot(0, zone) <= now:  # a clock change lies in between
            self.start += 2 * DAY
        interval = f"/PT{every // MINUTE}M" if self.is_elapsed else f"/P{every.days}D" if self.every else ""
        repeat = "" if repeats is None else repeats
        self.text = f"R{repeat}/{self.start.isoformat()}{'' if is_local else 'Z'}{interval}"

    def slot(self, number: int, zone: tzinfo) -> datetime:
        where = zone if self.is_local else UTC
        if self.is_elapsed:
            return self.start.replace(tzinfo=where).astimezone(UTC) + number * self.every
        return (self.start + number * (self.every or DAY)).replace(tzinfo=where).astimezone(UTC)

    def slots(self, zone: tzinfo, until: datetime) -> list[tuple[int | datetime, datetime]]:
        """Return each slot until an instant after what identifies it: its number or its instant."""
        numbers = range(1) if self.every is None else count()
        found = takewhile(lambda pair: pair[1] <= until, ((number, self.slot(number, zone)) for number in numbers))
        return [(slot if self.is_elapsed else number, slot) for number, slot in found]


class Account:
    """What has become of the slots of one job."""

    def __init__(self, plan: Plan, now: datetime, *, is_enabled: bool) -> None:
        self.plan = plan
        self.is_enabled = is_enabled
        self.known: set[int | datetime] = set()
        self.ran: set[int | datetime] = set()
        self.started = self.entries = 0
        self.settled = now  # slots of elapsed time until then need no entry any more

    @property
    def is_over(self) -> bool:
        return self.plan.most is not None and self.started >= self.plan.most

    def record(self, run: Run, zone: tzinfo, now: datetime) -> None:
        self.entries += 1
        slots = self.plan.slots(zone, now)
        missed = MISSED.match(run.outcome.message) if run.outcome else None
        if missed:
            first, last = map(datetime.fromisoformat, missed.groups()[1:])
            names = [name for name, slot in slots if first <= slot <= last]
            assert len(names) == int(missed[1]), run
            self.known.update(names)
            return
        names = [name for name, slot in slots if slot == run.slot]
        assert names, f"{run} is for no slot"
        self.known.update(names)
        if run.state != "skipped":
            self.started += 1
            assert self.plan.is_elapsed or not self.ran.intersection(names), f"{run} has run before"
            self.ran.update(names)

    def unknown(self, zone: tzinfo, now: datetime) -> list[datetime]:
        """Return the slots that have passed and are not accounted for."""
        slots = self.plan.slots(zone, now)
        if self.plan.is_elapsed:
            slots = [(name, slot) for name, slot in slots if slot > self.settled]
        return [slot for name, slot in slots if name not in self.known]

    def cover(self, zone: tzinfo, now: datetime) -> None:
        """Account for all slots that have passed: a queued run stands for them."""
        self.known.update(name for name, _ in self.plan.slots(zone, now))

    def clock_set_back(self, by: timedelta, zones: set[tzinfo], now: datetime, *, was_down: bool) -> None:
        """Forget the slots that come again: those that have passed neither in the old zone nor in the new one."""
        self.settled = min(self.settled, now)
        if self.plan.is_elapsed:
            self.known = {slot for slot in self.known if slot <= now + MINUTE}
        elif by > 3 * HOUR:
            # After a restart, Kala knows only until when slots were claimed, and can take the step for a smaller one.
            self.ran = set()
            if not was_down:
                self.known &= {name for zone in zones for name, _ in self.plan.slots(zone, now)}


class Machine(RuleBasedStateMachine):
    """Kala, and an account of each of its jobs."""

    def __init__(self, new_kala: Callable) -> None:
        super().__init__()
        self._stack = ExitStack()
        self.kala = self._stack.enter_context(new_kala(workers=1000))
        self.kala.now = self.latest = BEGIN
        self.kala.step()
        self.zone_before: tzinfo = UTC
        self.accounts: dict[str, Account] = {}
        self.seen = 0
        self.backup: tuple | None = None

    def teardown(self) -> None:
        self._stack.close()

    @property
    def zone(self) -> tzinfo:
        return self.kala.zone

    def account(self, job: str) -> Account:
        return self.accounts[job]

    def look(self, waited: set[str] = frozenset(), *, was_down: bool = False) -> None:
        """Record what a step has written; `waited` are the jobs that had a queued slot before the step."""
        now = self.kala.now
        if self.latest - now > MINUTE:
            for account in self.accounts.values():
                account.clock_set_back(self.latest - now, {self.zone_before, self.zone}, now, was_down=was_down)
            self.latest = now
        self.latest, self.zone_before = max(self.latest, now), self.zone
        for run in self.kala.runs():
            if run.id > self.seen and run.cause == "schedule" and run.job_id in self.accounts:
                self.account(run.job_id).record(run, self.zone, now)
                self.seen = run.id
        for job in waited | self.waiting():
            if self.account(job).is_enabled:
                self.account(job).cover(self.zone, now)

    def waiting(self) -> set[str]:
        """Return the jobs with a queued slot, into which further slots collapse."""
        runs = [run for run in self.kala.runs() if run.state == "queued" and run.cause == "schedule"]
        return {run.job_id for run in runs if self.kala.job(run.job_id).spec.overlap is Overlap.WAIT}

    @invariant()
    def each_passed_slot_is_accounted_for(self):
        for account in self.accounts.values():
            if account.is_enabled and not account.is_over:
                assert account.unknown(self.zone, self.kala.now) == [], account.plan.text
                account.settled = max(account.settled, self.kala.now)

    @invariant()
    def a_job_that_is_done_left_an_entry_in_the_history(self):
        for job, account in self.accounts.items():
            if self.kala.job(job).is_done:
                assert account.entries, account.plan.text

    @invariant()
    def no_more_runs_were_started_than_the_schedule_has(self):
        for account in self.accounts.values():
            assert account.plan.most is None or account.started <= account.plan.most

    @invariant()
    def the_next_slot_is_on_the_plan(self):
        for job, account in self.accounts.items():
            due = self.kala.job(job).next_due
            if due is not None:
                assert due in [slot for _, slot in account.plan.slots(self.zone, due)], account.plan.text
                assert due > self.kala.now or not account.is_enabled

    @precondition(lambda self: len(self.accounts) < JOBS)
    @rule(
        plan=plans,
        is_enabled=st.sampled_from([True, True, False]),
        rules=st.fixed_dictionaries(
            {
                "overlap": st.sampled_from(Overlap),
                "missed": st.sampled_from(Missed),
                "missed_limit": st.integers(1, 4),
                "start_deadline": st.sampled_from(["", "", "PT1H", "P1D"]),
            }
        ),
    )
    def create(self, plan, is_enabled, rules):
        made = Plan(self.kala.now, self.zone, **plan)
        job = self.kala.create(schedule=made.text, disabled=not is_enabled, **rules)
        self.accounts[job] = Account(made, self.kala.now, is_enabled=is_enabled)

    @precondition(lambda self: self.accounts)
    @rule(data=st.data(), plan=plans)
    def give_another_schedule(self, data, plan):
        job = data.draw(st.sampled_from(list(self.accounts)))
        waited, before = self.waiting(), self.account(job)
        made = Plan(self.kala.now, self.zone, **plan)
        self.kala.update(job, schedule=made.text)
        self.look(waited)
        assert before.is_over or job in waited or before.unknown(self.zone, self.kala.now) == []
        self.accounts[job] = Account(made, self.kala.now, is_enabled=before.is_enabled)

    @precondition(lambda self: self.accounts)
    @rule(data=st.data(), is_enabled=st.booleans())
    def disable_or_enable(self, data, is_enabled):
        job = data.draw(st.sampled_from(list(self.accounts)))
        waited = self.waiting()
        self.account(job).is_enabled = is_enabled
        self.kala.update(job, disabled=not is_enabled)
        self.look(waited)

    @precondition(lambda self: self.accounts)
    @rule(data=st.data())
    def start(self, data):
        job = data.draw(st.sampled_from(list(self.accounts)))
        if self.account(job).is_enabled:
            self.kala.start(job)

    @rule(data=st.data())
    def a_run_ends(self, data):
        running = [run.id for run in self.kala.runs() if run.state == "running"]
        if running:
            waited = self.waiting()
            self.kala.step(self.kala.end_of(data.draw(st.sampled_from(running))))
            self.look(waited)

    def passes(self, by: timedelta, *, is_down: bool, zone: tzinfo | None = None) -> None:
        waited = self.waiting()
        self.kala.zone = zone or self.zone
        if is_down:
            self.kala.restart(seconds=by.total_seconds())
        else:
            self.kala.passes(seconds=by.total_seconds())
        self.look(waited, was_down=is_down)

    @rule(by=st.sampled_from([MINUTE / 2, MINUTE, 10 * MINUTE, HOUR, 5 * HOUR, DAY, 3 * DAY]), is_down=st.booleans())
    def time_passes_or_the_clock_is_set_forward(self, by, is_down):
        self.passes(by, is_down=is_down)

    @rule(by=st.sampled_from([MINUTE / 2, MINUTE, 10 * MINUTE, 2 * HOUR, 4 * HOUR, DAY]), is_down=st.booleans())
    def the_clock_is_set_back(self, by, is_down):
        self.passes(-by, is_down=is_down)

    @rule(
        zone=st.sampled_from(ZONES),
        by=st.sampled_from([timedelta(), timedelta(), HOUR, DAY, -2 * HOUR, -DAY]),
        is_down=st.booleans(),
    )
    def the_zone_changes(self, zone, by, is_down):
        self.passes(by, is_down=is_down, zone=zone)

    @rule()
    def a_backup_is_made(self):
        self.kala.close()
        saved = self.kala._folder.with_name(f"{self.kala._folder.name}-backup")
        shutil.rmtree(saved, ignore_errors=True)
        shutil.copytree(self.kala._folder, saved)
        self._stack.callback(shutil.rmtree, saved, ignore_errors=True)
        self.backup = saved, deepcopy((self.accounts, self.seen, self.latest)), self.zone
        self.kala.boot()
        waited = self.waiting()
        self.kala.step()
        self.look(waited, was_down=True)

    @precondition(lambda self: self.backup)
    @rule()
    def a_backup_is_restored(self):
        saved, account, self.zone_before = self.backup
        self.kala.close()
        shutil.rmtree(self.kala._folder)
        shutil.copytree(saved, self.kala._folder)
        self.accounts, self.seen, self.latest = deepcopy(account)
        self.kala.boot()
        waited = self.waiting()
        self.kala.step()
        self.look(waited, was_down=True)


def test_every_slot_is_accounted_for(kala_per_example):
    run_state_machine_as_test(lambda: Machine(kala_per_example), settings=effort(25, stateful_step_count=30))
