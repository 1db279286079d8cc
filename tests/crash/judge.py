"""Compares the data on disk after each life with the responses, what commands recorded, and the life before.

The cost of each check grows with the lives on the same data, of which there are few. Each output is read once.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from client import INTERVAL, POOL, POOL_SIZE, Client, Note, Spec
from process import ENDED, PATIENCE, Kala
from snapshot import FAILURES, Fact, Job, Snapshot, fact_of_json, fact_of_row, micros
from work import Evidence

from kala.core.run import MOVES

_STEP = INTERVAL.seconds * 1_000_000
_FAR = datetime(2090, 1, 1, tzinfo=UTC).timestamp() * 1e6
_LED_TO_BY = {"parent": ("succeeded",), "failure": FAILURES, "retry": FAILURES}


class Case:
    """What is known after one life: the data on disk, and the runs that were deleted before."""

    def __init__(
        self, now: Snapshot, notes: Iterable[Note], deleted: Iterable[Fact], steps_back: list[tuple[int, int]]
    ) -> None:
        """Prepare a case. `steps_back` has, for each time that the clock was set back, the runs before and after."""
        self.now = now
        self.steps_back = steps_back
        self.notes = {note.id: note for note in notes if note.id}
        self.there = [(note, now.jobs[note.id]) for note in self.notes.values() if note.is_there]
        self.history = {fact.id: fact for fact in deleted} | {i: fact_of_row(row) for i, row in now.rows.items()}

    @cached_property
    def of_job(self) -> dict[str, list[Fact]]:
        found: dict[str, list[Fact]] = {job_id: [] for job_id in self.notes}
        for fact in self.history.values():
            assert fact.job_id in found, f"run {fact.id} belongs to a job that nobody asked for"
            found[fact.job_id].append(fact)
        return found

    @cached_property
    def led_to(self) -> Counter[tuple[str, int | None, str]]:
        """The number of runs by their cause, the run that caused them, and their job."""
        return Counter((fact.cause, fact.cause_run, fact.job_id) for fact in self.history.values())

    def count(self, note: Note, *causes: str, states: tuple[str, ...] = ()) -> int:
        return sum(
            fact.cause in (causes or (fact.cause,)) and fact.state in (states or (fact.state,))
            for fact in self.of_job[note.id]
        )


class Judge:
    """Raises AssertionError for a broken promise. `look` checks a Kala that has ended, `greet` one that answers."""

    def __init__(self, kala: Kala, clients: list[Client], evidence: Evidence) -> None:
        self._kala = kala
        self._clients = clients
        self._evidence = evidence
        self._before: Snapshot | None = None
        self._outputs: dict[int, bytes] = {}
        self._deleted: dict[int, Fact] = {}
        # The last run before the clock was set back, and the first one after, which is known at the end of the life.
        self._steps_back: list[tuple[int, int]] = []
        self._new_steps_back = 0

    # While Kala runs

    def greet(self) -> None:
        """Check what must be true as soon as Kala answers."""
        jobs = self._kala.get("/job/").body["jobs"]
        for note in self._notes():
            if note.is_there:
                _equal(note, jobs.pop(note.id, None))
        assert not jobs, f"there are jobs that were not there before: {list(jobs)}"
        if self._before:
            left = self._before.in_state("running")
            alive = {row["id"] for row in self._kala.query("SELECT id FROM run WHERE state = 'running'")}
            assert not left & alive, f"runs of a life before are running: {left & alive}"

    def clock_was_set_back(self) -> None:
        self._new_steps_back += 1

    def is_quiet(self) -> bool:
        """Whether nothing runs, is due, or is queued except for a disabled job."""
        return not self._kala.query(
            "SELECT 1 FROM run WHERE state = 'running' UNION ALL"
            " SELECT 1 FROM run JOIN job ON job.id = job_id WHERE state = 'queued' AND NOT disabled UNION ALL"
            " SELECT 1 FROM job WHERE NOT disabled AND next_due < ?",
            _FAR,
        )

    def _notes(self) -> Iterator[Note]:
        return (note for client in self._clients for note in client.notes)

    # After its life

    def look(self) -> Case:
        """Check what must be true on disk whenever Kala ended."""
        for client in self._clients:
            assert client.has_ended(PATIENCE), f"client {client.number} waits for an answer"
            assert not client.problem, client.problem
        now = Snapshot(self._kala)
        for client in self._clients:
            self._settle(client, now)
        self._evidence.read()
        last = max(self._before.rows, default=0) if self._before else 0
        self._steps_back += [(last, max(now.rows, default=0) + 1)] * self._new_steps_back
        self._new_steps_back = 0
        case = Case(now, self._notes(), self._deleted.values(), self._steps_back)
        for check in (
            self._no_run_changed_its_past,
            self._clients_saw_the_truth,
            self._the_commands_agree,
            _jobs_are_whole,
            _nothing_ran_twice,
            _followers_are_there,
            _slots_are_accounted_for,
            _counts_are_the_history,
            _limits_hold,
            self._outputs_are_whole,
        ):
            check(case)
        self._before = now
        return case

    def _settle(self, client: Client, now: Snapshot) -> None:
        """Find out whether the change without a response was made. All else must be as acknowledged."""
        named = {job["name"]: job for job in now.jobs.values() if job["name"].split("-")[1] == str(client.number)}
        pending = client.pending
        self._take_ids(client, named)
        asked = {note: note.spec for note in client.notes} | pending.jobs
        if pending.jobs:
            has_happened = all(_is_as(note, spec, named) for note, spec in pending.jobs.items())
        elif pending.deletes:
            has_happened = pending.deletes not in now.rows
        elif pending.start:
            has_happened = self._manual_runs(pending.start, now, client) > pending.start.starts
        else:
            has_happened = False
        client.it_happened(has_happened=has_happened)
        for note in client.notes:
            assert _is_as(note, note.spec, named), (
                f"{note.name} should be {note.spec}"
                f"{f', or perhaps {asked[note]}' if note in pending.jobs else ''}"
                f", but is {named[note.name].values if note.name in named else 'not there'}"
            )
        self._deleted |= {run_id: fact_of_json(client.seen[run_id]) for run_id in client.deleted}

    def _take_ids(self, client: Client, named: dict[str, Job]) -> None:
        asked = {note.name: note for note in client.notes}
        assert named.keys() <= asked.keys(), f"there are jobs that nobody asked for: {named.keys() - asked.keys()}"
        for name, job in named.items():
            note = asked[name]
            assert note.id == job["id"] or note in client.pending.jobs, f"{name} was not created but is there"
            note.id = job["id"]

    def _manual_runs(self, note: Note, now: Snapshot, client: Client) -> int:
        known = {run_id: row["cause"] for run_id, row in now.rows.items() if row["job_id"] == note.id}
        known |= {i: client.seen[i]["cause"] for i in client.deleted if client.seen[i]["job_id"] == note.id}
        return sum(cause == "manual" for cause in known.values())

    def _no_run_changed_its_past(self, case: Case) -> None:
        """Check that ended runs do not change, others only move forward, and none vanishes."""
        for run_id, row in (self._before.rows if self._before else {}).items():
            after = case.now.rows.get(run_id)
            if after is None:
                assert run_id in self._deleted, f"run {run_id} has vanished"
            elif row["state"] in ENDED:
                assert tuple(after) == tuple(row), f"run {run_id} had ended, and was changed: {[*row]} to {[*after]}"
            else:
                moves = {row["state"], *MOVES[row["state"]], *(MOVES["running"] if row["state"] == "queued" else ())}
                assert after["state"] in moves, f"run {run_id} went from {row['state']} to {after['state']}"
        for run_id in self._before.in_state("running") if self._before else ():
            state = case.now.rows[run_id]["state"] if run_id in case.now.rows else "lost"
            assert state in ("lost", "running"), f"run {run_id} ran when Kala was ended, and is {state} now"
        back = self._deleted.keys() & case.now.rows.keys()
        assert not back, f"runs were deleted and are there: {back}"

    def _clients_saw_the_truth(self, case: Case) -> None:
        for client in self._clients:
            for run_id, run in client.seen.items():
                assert case.history[run_id] == fact_of_json(run), f"run {run_id} is not as a client saw it: {run}"
            for run_id in client.cancelled:
                state = case.history[run_id].state
                assert state != "queued", f"run {run_id} was cancelled and is {state}"

    def _the_commands_agree(self, case: Case) -> None:
        assert not self._evidence.twice, f"runs were started twice: {self._evidence.twice}"
        for run_id, start in self._evidence.starts.items():
            fact = case.history.get(run_id)
            assert fact, f"a command ran as run {run_id}, of which nothing is known"
            assert fact.started_at, f"a command ran as run {run_id}, which is {fact.state} and was never started"
            slot = None if start.slot == "-" else micros(start.slot)
            known = (fact.attempt, fact.cause, fact.slot)
            assert known == (start.attempt, start.cause, slot), f"run {run_id}: {known}, and for its command {start}"
        for fact in case.history.values():
            if fact.state in ("succeeded", "failed"):
                assert fact.id in self._evidence.ends, f"run {fact.id} {fact.state}, but its command did not end"

    def _outputs_are_whole(self, case: Case) -> None:
        for run_id in case.now.in_state(*ENDED) - self._outputs.keys():
            self._outputs[run_id] = _checked_output(case, run_id)

    # When Kala is idle

    def close(self) -> Case:
        """Check what must be true after an idle Kala was stopped cleanly."""
        case = self.look()
        for client in self._clients:
            assert client.acknowledged, f"client {client.number} was never answered"
        for run_id, output in self._outputs.items():
            if run_id in case.now.rows:
                assert case.now.output(run_id) == output, f"the output of run {run_id} has changed"
        assert not case.now.in_state("running")
        for note, job in case.there:
            _came_to_its_end(case, note, job)
        return case

    def files_are_those_of_runs(self) -> bool:
        """Whether outputs without a run are gone. After a start, the pruner needs a moment for that."""
        files = {path.name for path in (self._kala.data / "output").glob("*/*.out*")}
        rows = self._kala.query("SELECT id, output_size FROM run WHERE id NOT IN (SELECT run_id FROM output)")
        # A lost run may have an empty output: Kala was killed between creating the file and writing the first byte.
        needed, possible = ({f"{row['id']}.out" for row in rows if row["output_size"] >= size} for size in (1, 0))
        return needed <= files <= possible


def _equal(note: Note, job: dict[str, Any] | None) -> None:
    assert job, f"{note.name} is on disk, and is not shown"
    wanted = {"disabled": False, **(note.spec or {})}
    shown = {name: job[name] for name in wanted}
    assert shown == wanted, f"{note.name} should be {wanted}, and is shown as {shown}"


def _is_as(note: Note, spec: Spec | None, named: dict[str, Job]) -> bool:
    job = named.get(note.name)
    return (spec is None) if job is None else (spec is not None and job.is_as(spec))


def _jobs_are_whole(case: Case) -> None:
    jobs = case.now.jobs
    assert all(job.is_whole for job in jobs.values()), "a column of a job is not as its spec"
    wanted = {(parent, job_id) for job_id, job in jobs.items() for parent in job.spec["parents"]}
    links = {link[:2] for link in case.now.links}
    assert links == wanted, f"the dependencies are {links}, and the jobs name {wanted}"
    queued = {case.history[run_id].job_id for run_id in case.now.in_state("queued")}
    assert queued <= jobs.keys(), f"runs of deleted jobs are queued: {queued - jobs.keys()}"


def _nothing_ran_twice(case: Case) -> None:
    last: dict[tuple[str, int | None], int] = {}
    for run_id, fact in sorted(case.history.items()):
        if fact.cause in ("schedule", "creation") and fact.state != "skipped":
            before = last.get((fact.job_id, fact.slot))
            assert before is None or _came_again(case, before, run_id), f"a slot has two runs: {before} and {run_id}"
            last[fact.job_id, fact.slot] = run_id
    for (cause, cause_run, job_id), count in case.led_to.items():
        if cause in _LED_TO_BY:
            assert count == 1, f"run {cause_run} led {count} times to a run of {case.notes[job_id].name}"
            state = case.history[cause_run].state
            assert state in _LED_TO_BY[cause], f"run {cause_run} is {state} and led to a {cause} run"
    for note in case.notes.values():
        count = case.count(note, "manual")
        assert count == note.starts, f"{note.name} was started {note.starts} times by hand, and has {count} such runs"


def _came_again(case: Case, before: int, after: int) -> bool:
    """Whether the clock was set back between two runs, so that slots of elapsed time came again."""
    return any(after > low and before < high for low, high in case.steps_back)


def _followers_are_there(case: Case) -> None:
    """Check that the follow-ups of a run are on disk together with its end."""
    for note, job in case.there:
        for fact in case.of_job[note.id]:
            if fact.state in FAILURES:
                _failure_is_followed(case, note, fact)
            elif fact.state == "succeeded":
                _success_is_followed(case, note, fact)
        if job.spec["parents_mode"] == "all" and not note.was_changed:
            _reunion_is_as_often_as_it_should(case, note)


def _failure_is_followed(case: Case, note: Note, fact: Fact) -> None:
    if note.was_disabled or note.was_changed:
        return
    is_last = fact.attempt >= note.spec.get("retries", 0)
    retries = case.led_to["retry", fact.id, note.id]
    assert retries == (not is_last), f"attempt {fact.attempt} of {note.name}, run {fact.id}, has {retries} retries"
    reporter = case.notes.get(note.spec.get("on_failure_job", ""))
    if reporter and not reporter.was_disabled:
        told = case.led_to["failure", fact.id, reporter.id]
        assert told <= is_last, f"{reporter.name} ran {told} times for run {fact.id}"
        assert told == is_last or _one_was_waiting(case, reporter, fact), (
            f"{reporter.name} did not run for run {fact.id}"
        )


def _success_is_followed(case: Case, note: Note, fact: Fact) -> None:
    for child, _ in case.there:
        is_any = note.id in child.parents and child.spec.get("parents_mode") != "all"
        if is_any and not child.was_disabled:
            count = case.led_to["parent", fact.id, child.id]
            assert count <= 1, f"{child.name} ran {count} times after run {fact.id} of {note.name}"
            assert count or _one_was_waiting(case, child, fact), f"{child.name} did not run after run {fact.id}"


def _one_was_waiting(case: Case, note: Note, led_by: Fact) -> bool:
    """Whether a run with the same cause was still waiting when a run ended, so that one follow-up is for both.

    A run that seems to have started before it was queued was waiting, too: the clock was set back in between.
    """
    cause = "parent" if led_by.state == "succeeded" else "failure"
    alike = [fact for fact in case.of_job[note.id] if fact.cause == cause]
    starts = [(fact.queued_at, fact.started_at or fact.ended_at or _FAR) for fact in alike]
    return any(start >= led_by.ended_at or start < queued_at for queued_at, start in starts)


def _reunion_is_as_often_as_it_should(case: Case, note: Note) -> None:
    """Check a job whose parent was deleted: it waits for a success of the others, as no deletion starts a run."""
    assert not all(link[2] for link in case.now.links if link[1] == note.id), (
        f"all parents of {note.name} have succeeded, and it did not run"
    )
    least = min(case.count(case.notes[parent], states=("succeeded",)) for parent in note.parents)
    count = case.count(note, "parent")
    assert count <= least, f"{note.name} ran {count} times, and one of its parents succeeded {least} times"


def _slots_are_accounted_for(case: Case) -> None:
    for note, job in case.there:
        if not note.parents and "schedule" not in note.spec:
            count = case.count(note, "creation") + (job["next_due"] is not None)
            assert count == 1, f"{note.name} has {count} runs for its creation, made or due"
        if note.name.startswith("scheduled") and not note.was_replanned:
            _grid_is_accounted_for(case, note, job)


def _grid_is_accounted_for(case: Case, note: Note, job: Job) -> None:
    """Check that each past slot has a run or is recorded as missed. If slots can share a run, none has two runs."""
    facts = [fact for fact in case.of_job[note.id] if fact.cause == "schedule"]
    made = [fact for fact in facts if fact.state != "skipped"]
    start = micros(note.spec["schedule"].split("/")[1])
    assert all((fact.slot - start) % _STEP == 0 for fact in facts), f"{note.name} ran beside its grid"
    if note.overlap != "skip":
        assert job["slots_started"] == len(made), f"{note.name} started {job['slots_started']} slots, not {len(made)}"
    assert len(made) <= _wanted_runs(note), f"{note.name} ran for {len(made)} slots, more than it asks for"
    if note.overlap == "allow":
        end = job["next_due"] or max((fact.slot for fact in facts), default=start) + _STEP
        told = len(made) + sum(fact.missed for fact in facts)
        passed = (end - start) // _STEP
        is_right = told >= passed if case.steps_back else told == passed
        assert is_right, f"{note.name}: {passed} slots have passed, and the runs tell of {told}"


def _wanted_runs(note: Note) -> int:
    return int(note.spec["schedule"].split("/")[0][1:]) + 1


def _counts_are_the_history(case: Case) -> None:
    now = case.now
    for note, job in case.there:
        successes, errors = case.count(note, states=("succeeded",)), case.count(note, states=FAILURES)
        finished = successes + errors - case.count(note, "retry")
        counted = (job["successes"], job["errors"], job["finished"])
        assert counted == (successes, errors, finished), (
            f"{note.name} counts {counted}, and its runs are {(successes, errors, finished)}"
        )
    sums = {name: sum(job[name] for job in now.jobs.values()) for name in ("disabled", "successes", "errors")}
    sums |= {"jobs": len(now.jobs), "output_bytes": sum(row["output_size"] for row in now.rows.values())}
    for totals in now.totals:
        assert sums.items() <= totals.items(), f"the totals are {totals}, and the sums {sums}"


def _limits_hold(case: Case) -> None:
    rows = [case.now.rows[run_id] for run_id in case.now.in_state("running")]
    assert sum(row["pool"] == POOL for row in rows) <= POOL_SIZE, "more runs are running than their pool has room for"
    beside = Counter(row["job_id"] for row in rows if case.notes[row["job_id"]].overlap != "allow")
    twice = [case.notes[job_id].name for job_id, count in beside.items() if count > 1]
    assert not twice, f"jobs run beside themselves: {twice}"


def _checked_output(case: Case, run_id: int) -> bytes:
    row, output = case.now.rows[run_id], case.now.output(run_id)
    work = case.notes[row["job_id"]].work
    size = row["output_size"]
    assert len(output) == size, f"run {run_id} is {row['state']}; {len(output)} bytes of its output are there of {size}"
    if row["state"] in ("succeeded", "failed"):
        assert output == work.kept(run_id), f"run {run_id} {row['state']}, and its output is not what it printed"
    elif not row["output_cut"]:
        assert work.printed(run_id).startswith(output), f"the output of run {run_id} is not the beginning of all"
    return output


def _came_to_its_end(case: Case, note: Note, job: Job) -> None:
    """Check that no run is pending, so all that was due has happened."""
    queued = [fact for fact in case.of_job[note.id] if fact.state == "queued"]
    assert not queued or job["disabled"], f"{note.name} is enabled, and a run of it waits for ever"
    comes_again = job["next_due"] is not None or bool(note.parents)
    assert job["is_done"] == (not comes_again and not queued), f"is_done of {note.name} is {job['is_done']}"
    if note.name.startswith("local") and not job["disabled"]:
        facts = [fact for fact in case.of_job[note.id] if fact.cause == "schedule"]
        assert facts, f"{note.name} came to its end without a run and without a word"
    is_plain_plan = note.name.startswith("scheduled") and not note.was_replanned and not job["disabled"]
    if is_plain_plan and note.spec["missed"] != "skip" and note.overlap != "skip":
        made = case.count(note, "schedule") - case.count(note, "schedule", states=("skipped",))
        assert made == _wanted_runs(note), f"{note.name} ran for {made} slots, and wants {_wanted_runs(note)}"
