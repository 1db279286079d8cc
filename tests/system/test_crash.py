"""Kala is killed at any moment, again and again, while clients are at work. What it acknowledged stays true.

Three clients note what was acknowledged to them; each works on jobs of its own, so that it knows in which order things
happened. After each kill Kala starts again, and a reader compares its database with the notes, with what the commands
themselves wrote down, and with what the database said before.
"""

import json
import random
import threading
import time
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.client import HTTPException

import pytest

KILLS = 10
CLIENTS = 3
FINISHED = "('succeeded', 'failed', 'timed_out', 'cancelled', 'lost', 'skipped')"
KINDS = ("plain", "failing", "scheduled", "disabled", "chain")


class Note:
    """What a client knows of a job. `parent` is the note of its only parent.

    What was asked for and not acknowledged may have happened, or not: that is in `maybe_*`.
    """

    def __init__(self, name, spec, parent=None):
        self.name = name
        self.spec = spec
        self.parent = parent
        self.id = ""
        self.is_disabled = spec.get("disabled", False)
        self.was_disabled = self.is_disabled
        self.is_deleted = False
        self.maybe_toggled = False
        self.maybe_deleted = False
        self.maybe_created = True

    @property
    def is_usable(self):
        return bool(self.id) and not self.maybe_deleted


class Client(threading.Thread):
    """Asks for one thing after the other until Kala is gone."""

    def __init__(self, number, seed, evidence):
        super().__init__(daemon=True)
        self.name = f"client {number}"
        self.number = number
        self.chance = random.Random(seed)
        self.evidence = evidence
        self.notes: list[Note] = []
        self.acknowledged = 0
        self.problem = ""

    def work(self, api):
        """Begin, on a connection that lasts as long as Kala does."""
        threading.Thread.__init__(self, daemon=True)
        self.api = api
        self.start()

    def run(self):
        try:
            with closing(self.api):
                while not self.problem:
                    self.step()
        except (OSError, HTTPException):
            return  # Kala was killed
        except BaseException as error:
            self.problem = repr(error)
            raise

    def step(self):
        usable = [note for note in self.notes if note.is_usable]
        action = self.chance.choices((self.create, self.start_job, self.toggle, self.delete), (5, 4, 2, 1))[0]
        if action == self.create or not usable:
            self.create()
        else:
            # Mostly the newest ones: they are about to run.
            action(self.chance.choice(usable[-8:]))

    def ask(self, wanted, method, path, body=None):
        """The body of the answer; only these two statuses, the second for what could not be, are as they should be."""
        status, body = self.api.request(method, path, body)
        if status not in wanted:
            self.problem = f"{method} {path} answered {status}: {body}"
        self.acknowledged += 1
        return status == wanted[0], body

    def create(self):
        kind = self.chance.choice(KINDS)
        note = self.new(kind)
        if kind == "chain" and note.id:
            for _ in range(self.chance.randint(1, 3)):
                note = self.new("child", note)

    def new(self, kind, parent=None):
        name = f"{kind}-{self.number}-{len(self.notes)}"
        note = Note(name, {"name": name, "command": self.command(name, kind), **self.fields(kind, parent)}, parent)
        self.notes.append(note)
        # A slow machine may be past the start of a schedule.
        wanted = (201, 400) if kind == "scheduled" else (201,)
        done, body = self.ask(wanted, "POST", "/job/", note.spec)
        note.maybe_created = False
        if done:
            note.id = body["id"]
        return note

    def command(self, name, kind):
        pause = self.chance.choice(("", "", "sleep 0.05; ", "sleep 0.5; "))
        return f"{pause}echo {name} $$ >> {self.evidence}{'; exit 1' if kind == 'failing' else ''}"

    def fields(self, kind, parent):
        start = (datetime.now(UTC) + timedelta(seconds=self.chance.uniform(0.1, 1))).isoformat()
        return {
            "scheduled": {"schedule": f"R5/{start}/PT1S"},
            "chain": {"schedule": "R/2099-01-01T00:00:00Z/PT1H"},
            "disabled": {"disabled": True},
            "failing": {"retries": self.chance.randint(0, 2)},
            "child": {"parent_jobs": [parent.id] if parent else []},
        }.get(kind, {})

    def start_job(self, note):
        self.ask((204, 409) if note.is_disabled else (204,), "POST", f"/job/start/{note.id}/")

    def toggle(self, note):
        wanted = not note.is_disabled
        note.maybe_toggled = note.was_disabled = True
        self.ask((204,), "POST", f"/job/{'disable' if wanted else 'enable'}/{note.id}/")
        note.is_disabled, note.maybe_toggled = wanted, False

    def delete(self, note):
        doomed = [other for other in self.notes if other.id and is_below(other, note)]
        for other in doomed:
            other.maybe_deleted = True
        self.ask((204,), "DELETE", f"/job/{note.id}/")
        for other in doomed:
            other.is_deleted = True


def is_below(note, ancestor):
    return note is ancestor or (note.parent is not None and is_below(note.parent, ancestor))


class Judge:
    """Compares what Kala says with what clients and commands know. Its complaints begin with the seed."""

    def __init__(self, kala, clients, evidence, seed):
        self.kala = kala
        self.clients = clients
        self.evidence = evidence
        self.where = f"seed {seed}, start"
        self.kills = 0

    def says(self, what):
        return f"{self.where}, {self.kills} kills: {what}"

    @property
    def notes(self):
        return [note for client in self.clients for note in client.notes]

    def clients_were_served(self):
        for client in self.clients:
            client.join(30)
            assert not client.is_alive(), self.says("a client waits")
            assert not client.problem, self.says(client.problem)

    def finished(self):
        """All runs that have ended."""
        return {row["id"]: tuple(row) for row in self.kala.query(f"SELECT * FROM run WHERE state IN {FINISHED}")}

    def running(self):
        return {row["id"] for row in self.kala.query("SELECT id FROM run WHERE state = 'running'")}

    def jobs_are_what_was_acknowledged(self):
        jobs = {job["name"]: job for job in self.kala.get("/job/").body["jobs"].values()}
        notes = {note.name: note for note in self.notes}
        assert not jobs.keys() - notes.keys(), self.says("there are jobs that nobody asked for")
        for note in notes.values():
            self.job_is_as_noted(note, jobs.get(note.name))

    def job_is_as_noted(self, note, job):
        if job is None:
            assert not note.id or note.maybe_deleted, self.says(f"{note.name} was acknowledged and is not there")
            note.is_deleted = note.maybe_deleted = True
            note.maybe_created = False
            return
        assert note.id == job["id"] or note.maybe_created, self.says(f"{note.name} was not created but is there")
        assert not note.is_deleted, self.says(f"{note.name} was deleted and is there")
        assert note.spec.items() <= (job | {"disabled": note.spec.get("disabled", False)}).items(), self.says(note.name)
        if not note.maybe_toggled:
            assert job["disabled"] == note.is_disabled, self.says(f"{note.name} was disabled or enabled, and is not")
        # What was not acknowledged is known from here on.
        note.id = job["id"]
        note.maybe_created = note.maybe_deleted = note.maybe_toggled = False
        note.is_disabled = job["disabled"]

    def runs_that_were_running_are_lost(self, running):
        marks = ",".join("?" * len(running))
        rows = self.kala.query(f"SELECT id, state, started_at FROM run WHERE id IN ({marks})", *running)
        assert {row["id"] for row in rows} == running, self.says("runs have gone")
        assert {row["state"] for row in rows} <= {"lost"}, self.says("a run that was running is not lost")
        assert all(row["started_at"] for row in rows)

    def finished_runs_did_not_change(self, finished):
        now = self.finished()
        changed = [run_id for run_id in finished if finished[run_id] != now.get(run_id)]
        assert not changed, self.says(f"finished runs changed: {changed}")

    def nothing_ran_twice(self):
        lines = Counter(line.split()[0] for line in self.evidence.read_text().splitlines())
        started = self.counted("SELECT job_name, count(*) FROM run WHERE started_at IS NOT NULL GROUP BY job_name")
        for name, count in lines.items():
            assert count <= started[name], self.says(f"{name} ran {count} times, and Kala knows of {started[name]}")
        twice = self.kala.query(
            "SELECT job_name, slot FROM run WHERE cause IN ('schedule', 'creation') AND attempt = 0"
            " GROUP BY job_id, slot HAVING count(*) > 1"
        )
        assert not twice, self.says([tuple(row) for row in twice])
        beside = self.kala.query("SELECT job_name FROM run WHERE state = 'running' GROUP BY job_id HAVING count(*) > 1")
        assert not beside, self.says([tuple(row) for row in beside])
        slots = self.counted("SELECT job_name, count(*) FROM run WHERE cause = 'schedule' GROUP BY job_name")
        assert not slots or max(slots.values()) <= 6, self.says("more scheduled runs than R5 asks for")
        births = self.counted("SELECT job_name, count(*) FROM run WHERE cause = 'creation' GROUP BY job_name")
        assert not births or max(births.values()) == 1, self.says("more than one run at creation")

    def what_succeeded_was_done(self):
        succeeded = self.counted("SELECT job_name, count(*) FROM run WHERE state = 'succeeded' GROUP BY job_name")
        lines = Counter(line.split()[0] for line in self.evidence.read_text().splitlines())
        for name, count in succeeded.items():
            assert lines[name] >= count, self.says(f"{name} succeeded {count} times, and ran {lines[name]} times")

    def counts_are_the_history(self):
        wrong = self.kala.query(
            "SELECT name, successes, errors FROM job WHERE"
            " successes != (SELECT count(*) FROM run WHERE job_id = job.id AND state = 'succeeded')"
            " OR errors != (SELECT count(*) FROM run WHERE job_id = job.id AND state IN ('failed', 'timed_out'))"
        )
        assert not wrong, self.says([tuple(row) for row in wrong])
        [sums] = self.kala.query(
            "SELECT totals.jobs - (SELECT count(*) FROM job), totals.disabled - (SELECT sum(disabled) FROM job),"
            " totals.successes - (SELECT sum(successes) FROM job), totals.errors - (SELECT sum(errors) FROM job)"
            " FROM totals WHERE jobs > 0 UNION ALL SELECT 0, 0, 0, 0 FROM totals WHERE jobs = 0"
        )
        assert tuple(sums) == (0, 0, 0, 0), self.says("the sums are not those of the jobs")

    def counted(self, sql):
        return Counter(dict(map(tuple, self.kala.query(sql))))

    def all_that_was_due_has_run(self):
        """A job without a schedule ran once for its creation, and R5 six times, whatever happened in between."""
        births = self.counted("SELECT job_name, count(*) FROM run WHERE cause = 'creation' GROUP BY job_name")
        slots = self.counted("SELECT job_name, count(*) FROM run WHERE cause = 'schedule' GROUP BY job_name")
        for note in self.notes:
            if note.is_usable and not note.was_disabled:
                is_plain = "schedule" not in note.spec and not note.parent
                is_scheduled = note.spec.get("schedule", "").startswith("R5")
                assert births[note.name] == is_plain, self.says(f"{note.name}: {births[note.name]} runs at creation")
                assert slots[note.name] == 6 * is_scheduled, self.says(f"{note.name}: {slots[note.name]} slots")

    def is_quiet(self):
        """Whether no job that is enabled runs, waits, or is due within the hour."""
        return not self.kala.query(
            "SELECT 1 FROM run WHERE state = 'running' UNION ALL"
            " SELECT 1 FROM run JOIN job ON job.id = job_id WHERE state = 'queued' AND NOT disabled UNION ALL"
            " SELECT 1 FROM job WHERE NOT disabled AND next_due < ?",
            (time.time() + 3600) * 1e6,
        )


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_was_acknowledged_survives_kills_and_nothing_runs_twice(make, api, eventually, tmp_path, seed):
    chance = random.Random(seed)
    evidence = tmp_path / "evidence"
    evidence.touch()
    kala = make()
    clients = [Client(number, chance.random(), evidence) for number in range(CLIENTS)]
    judge = Judge(kala, clients, evidence, seed)
    running, finished = set(), {}
    while judge.kills < KILLS:
        kala.launch()
        if judge.kills % 5 == 4:
            time.sleep(chance.uniform(0, 0.3))  # while it starts
        else:
            kala.answers()
            judge.runs_that_were_running_are_lost(running)
            judge.finished_runs_did_not_change(finished)
            judge.jobs_are_what_was_acknowledged()
            judge.nothing_ran_twice()
            for client in clients:
                client.work(api(kala.address))
            time.sleep(chance.uniform(0.05, 0.7))
        kala.kill()
        judge.kills += 1
        judge.clients_were_served()
        running, finished = judge.running(), judge.finished()
        judge.counts_are_the_history()
        judge.what_succeeded_was_done()
    kala.start()
    judge.runs_that_were_running_are_lost(running)
    judge.jobs_are_what_was_acknowledged()
    eventually(judge.is_quiet)
    judge.nothing_ran_twice()
    judge.what_succeeded_was_done()
    judge.counts_are_the_history()
    judge.all_that_was_due_has_run()
    assert kala.stop() == 0
    states = judge.counted("SELECT state, count(*) FROM run GROUP BY state")
    acknowledged = sum(client.acknowledged for client in clients)
    print(f"{acknowledged} acknowledged requests, {len(judge.notes)} jobs, runs: {json.dumps(states)}")
    assert states["lost"] > 0, "no kill met a run; the test proves nothing"
    assert states["succeeded"] > 100
    assert "running" not in states
    assert "Traceback" not in kala.log
