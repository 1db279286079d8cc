"""Power cuts while clients are at work. What Kala acknowledged is on the disk, and so is the output of ended runs.

After the cut, the machine may have another clock or time zone.

`CUTS=100` in the environment sets the number of cuts, `SEED=7` the seed.
"""

import os
import random
import sqlite3
import threading
import time
from contextlib import closing
from datetime import datetime
from http.client import HTTPException

import pytest
from clock import STEPS, ZONES, Clock, library
from disk import disk, lay_out, layer, state_of
from process import api, eventually, make

from kala.core.clock import rules_of
from kala.zone import ServerZone

__all__ = ("api", "disk", "layer", "library", "make")

CUTS = int(os.environ.get("CUTS") or 10)
SEED = int(os.environ.get("SEED") or 1)
CLIENTS = 3
# The number of other possible states of the disk that are checked after each cut, without starting Kala.
DISKS = 10
FAR = "R/2099-01-01T00:00:00Z/PT1H"
LOCAL = datetime(2099, 1, 1, 2, 30)  # noqa: DTZ001  in Kala's zone
DAILY = f"R/{LOCAL.isoformat()}/P1D"
LIMIT = 100_000


class Kind:
    """A job with known output."""

    def __init__(self, command: str, output: bytes) -> None:
        self.command = command
        self.output = output


def numbers(last: int) -> bytes:
    return b"".join(b"%d\n" % n for n in range(1, last + 1))


def cut_out(data: bytes) -> bytes:
    """The stored part of an output that is larger than the limit."""
    line = b"\n[kala: %d bytes omitted here]\n" % (len(data) - LIMIT)
    return data[: LIMIT // 2] + line + data[-LIMIT // 2 :]


KINDS = {
    "silent": Kind("true", b""),
    "small": Kind("echo hallo", b"hallo\n"),
    "slow": Kind("echo hallo; sleep 1.2; echo again", b"hallo\nagain\n"),
    "large": Kind("seq 10000", numbers(10_000)),
    "cut": Kind("seq 40000", cut_out(numbers(40_000))),
}


class Client(threading.Thread):
    """Creates, starts, disables, enables and deletes jobs until the power cut; `jobs` has what was acknowledged."""

    def __init__(self, api, seed: float) -> None:
        super().__init__(daemon=True)
        self.api = api
        self.chance = random.Random(seed)
        # By id: whether the job is disabled; None after a request without a response.
        self.jobs: dict[str, bool | None] = {}
        self.deleted: set[str] = set()
        self.maybe_deleted: set[str] = set()
        self.started: dict[str, int] = {}
        self.acknowledged = 0
        self.problem = ""

    def run(self) -> None:
        try:
            with closing(self.api):
                while not self.problem:
                    self.step()
        except (OSError, HTTPException):
            return  # the power went
        except BaseException as error:
            self.problem = repr(error)
            raise

    def ask(self, wanted: int, method: str, path: str, body=None):
        status, answer = self.api.request(method, path, body)
        if status != wanted:
            self.problem = f"{method} {path} answered {status}: {answer}"
        self.acknowledged += 1
        return answer

    def step(self) -> None:
        usable = [job for job in self.jobs if job not in self.maybe_deleted]
        action = self.chance.choices((self.create, self.go, self.toggle, self.delete), (4, 4, 2, 1))[0]
        if action == self.create or not usable:
            self.create()
        else:
            action(self.chance.choice(usable[-5:]))

    def create(self) -> None:
        name = self.chance.choice(list(KINDS))
        schedule = self.chance.choice(("", FAR, DAILY))
        job = {"name": name, "command": KINDS[name].command, "schedule": schedule}
        self.jobs[self.ask(201, "POST", "/job/", job)["id"]] = False

    def go(self, job: str) -> None:
        if not self.jobs[job]:
            self.ask(204, "POST", f"/job/start/{job}/")
            self.started[job] = self.started.get(job, 0) + 1

    def toggle(self, job: str) -> None:
        wanted = not self.jobs[job]
        self.jobs[job] = None
        self.ask(204, "POST", f"/job/{'disable' if wanted else 'enable'}/{job}/")
        self.jobs[job] = wanted

    def delete(self, job: str) -> None:
        self.maybe_deleted.add(job)
        self.ask(204, "DELETE", f"/job/{job}/")
        self.deleted.add(job)


class Judge:
    """Compares a database with the responses that clients got."""

    def __init__(self, clients, where: str) -> None:
        self.clients = clients
        self.where = where

    def says(self, what: object) -> str:
        return f"{self.where}: {what}"

    def judge(self, folder, ended) -> None:
        with closing(sqlite3.connect(folder / "kala.db")) as database:
            database.execute("PRAGMA synchronous = off")  # reading needs no durability, and this is much faster
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)], self.says("it is damaged")
            self.jobs_are_as_acknowledged(database)
            self.nothing_is_twice(database)
            self.counts_are_the_history(database)
            self.ended_runs_are_there(database, ended)
            self.outputs_are_whole(database, folder)

    def jobs_are_as_acknowledged(self, database) -> None:
        found = dict(database.execute("SELECT id, disabled FROM job"))
        starts = dict(database.execute("SELECT job_id, count(*) FROM run WHERE cause = 'manual' GROUP BY job_id"))
        for client in self.clients:
            for job, is_disabled in client.jobs.items():
                assert job in found or job in client.maybe_deleted, self.says(f"the job {job} is gone")
                assert job not in found or job not in client.deleted, self.says(f"the job {job} is back")
                wrong = is_disabled is not None and job in found and bool(found[job]) != is_disabled
                assert not wrong, self.says(f"the job {job} should be {'disabled' if is_disabled else 'enabled'}")
            for job, count in client.started.items():
                assert starts.get(job, 0) >= count, self.says(f"{count} starts of {job}, {starts.get(job)} are there")

    def nothing_is_twice(self, database) -> None:
        twice = database.execute(
            "SELECT job_id, slot FROM run WHERE cause IN ('schedule', 'creation') AND attempt = 0"
            " GROUP BY job_id, slot HAVING count(*) > 1"
        ).fetchall()
        assert not twice, self.says(twice)

    def counts_are_the_history(self, database) -> None:
        wrong = database.execute(
            "SELECT name, successes, errors FROM job WHERE"
            " successes != (SELECT count(*) FROM run WHERE job_id = job.id AND state = 'succeeded')"
            " OR errors != (SELECT count(*) FROM run WHERE job_id = job.id AND state IN ('failed', 'timed_out'))"
        ).fetchall()
        assert not wrong, self.says(wrong)

    def ended_runs_are_there(self, database, ended) -> None:
        """Check the runs that a client saw before the cut: what the API showed must be on disk."""
        found = {row[0] for row in database.execute("SELECT id FROM run WHERE ended_at IS NOT NULL")}
        assert not ended - found, self.says(f"ended runs are gone: {ended - found}")

    def outputs_are_whole(self, database, folder) -> None:
        rows = database.execute(
            "SELECT id, job_name, output_size, data FROM run LEFT JOIN output ON run_id = id WHERE state = 'succeeded'"
        )
        for run, name, size, data in rows:
            path = folder / "output" / str(run // 1000) / f"{run}.out"
            content = data or (path.read_bytes() if path.exists() else b"")
            assert content == KINDS[name].output, self.says(f"run {run} ({name}): {len(content)} bytes, told: {size}")


def ended(kala) -> set[int]:
    """Return the runs that have ended, as the API shows them."""
    return {run["id"] for run in kala.history("limit=1000") if run["ended_at"] is not None}


def look_at_others(judge, replay, chance, folder, shown) -> None:
    for _ in range(DISKS):
        lay_out(replay.after_cut(chance), folder)
        judge.judge(folder, shown)


def creates(kala, count: int) -> list[str]:
    return [kala.create(name=f"{n}", schedule=FAR) for n in range(count)]


def jobs_after_cuts(replay, folder) -> list[set[str]]:
    """Return the jobs on each of many possible disks."""
    found = []
    for seed in range(50):
        lay_out(replay.after_cut(random.Random(seed)), folder)
        with closing(sqlite3.connect(folder / "kala.db")) as database:
            database.execute("PRAGMA synchronous = off")
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)], seed
            found.append({row[0] for row in database.execute("SELECT id FROM job")})
    return found


@pytest.mark.parametrize("durability", ["full", "normal"])
def test_acknowledged_changes_can_be_lost_only_if_the_settings_allow_it(make, disk, tmp_path, durability):
    """A later change without an earlier one is not allowed. The test also shows that the disk loses data."""
    kala = make(environ=disk.environ)
    kala.config.write_text(f'durability = "{durability}"')
    kala.start()
    jobs = creates(kala, 20)
    found = jobs_after_cuts(disk.cut(kala, random.Random(SEED)), tmp_path / "other")
    kept = [len(jobs_found) for jobs_found in found]
    assert all(jobs_found == set(jobs[:count]) for jobs_found, count in zip(found, kept, strict=True))
    if durability == "full":
        assert set(kept) == {20}
    else:
        assert min(kept) < 20
    kala.start()


def test_the_layer_logs_everything_that_kala_writes(make, disk):
    kala = make("--output-limit", str(LIMIT), environ=disk.environ).start()
    jobs = [kala.create(name=name, command=kind.command) for name, kind in KINDS.items()]
    runs = [kala.runs(job, 1)[0]["id"] for job in jobs]
    assert kala.delete(f"/run/{runs[-1]}/").status == 204
    assert kala.stop() == 0
    assert disk.replay().before_cut() == state_of(disk.folder)


@pytest.mark.timeout(60 + 10 * CUTS)
def test_what_was_acknowledged_and_the_output_of_ended_runs_survive_power_cuts(make, api, disk, library, tmp_path):
    print(f"SEED={SEED} CUTS={CUTS}")
    chance = random.Random(SEED)
    clock = Clock(tmp_path / "clock")
    both = f"{library}:{disk.environ['LD_PRELOAD']}"
    kala = make("--output-limit", str(LIMIT), environ=clock.environ(library) | disk.environ | {"LD_PRELOAD": both})
    clients: list[Client] = []
    shown: set[int] = set()
    for cut in range(CUTS):
        judge = Judge(clients, f"SEED={SEED}, cut {cut + 1}")
        kala.environ["TZ"] = chance.choice(ZONES)
        clock.set(chance.choice(STEPS))
        kala.start()
        crew = [Client(api(kala.address), chance.random()) for _ in range(CLIENTS)]
        clients += crew
        for client in crew:
            client.start()
        time.sleep(chance.uniform(0.05, 1.5))
        shown |= ended(kala)
        time.sleep(chance.uniform(0, 0.2))
        replay = disk.cut(kala, chance)
        for client in crew:
            client.join(30)
            assert not client.is_alive(), judge.says("a client waits")
            assert not client.problem, judge.says(client.problem)
        look_at_others(judge, replay, chance, tmp_path / "other", shown)
        assert "Traceback" not in kala.log, judge.says(kala.log)
    kala.start()
    eventually(lambda: kala.query("SELECT 1 FROM job WHERE zone_rules != ?", rules(kala)) == [])
    wanted = LOCAL.replace(tzinfo=ServerZone(kala.environ).current).timestamp() * 1e6
    assert {job["next_due"] for job in kala.query("SELECT * FROM job WHERE zone_rules != ''")} == {wanted}
    assert shown <= ended_in(kala)
    assert kala.stop() == 0
    judge.judge(kala.data, shown)
    acknowledged = sum(client.acknowledged for client in clients)
    states = dict(map(tuple, kala.query("SELECT state, count(*) FROM run GROUP BY state")))
    print(
        f"{CUTS} cuts, {CUTS * DISKS} other disks, {acknowledged} acknowledged, {len(shown)} ends shown, runs: {states}"
    )
    assert states["lost"] > 0, "no cut met a run; the test proves nothing"
    assert states["succeeded"] > 5 * CUTS


def rules(kala) -> str:
    return rules_of(ServerZone(kala.environ).current)


def ended_in(kala) -> set[int]:
    return {row["id"] for row in kala.query("SELECT id FROM run WHERE ended_at IS NOT NULL")}
