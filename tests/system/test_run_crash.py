"""Kala is killed while runs wait or print. It continues where it was, and marks as lost what it does not know."""

import re
from contextlib import suppress

import pytest

FAR = "R/2099-01-01T00:00:00Z/PT1H"
ALIVE = ("queued", "running")
ANY = (*ALIVE, "succeeded", "failed", "timed_out", "cancelled", "lost", "skipped")
KILLS = 2
POWERS = [10**exponent for exponent in range(9)]


@pytest.fixture
def evidence(tmp_path):
    """A file that commands append to, independent of Kala's own records."""
    path = tmp_path / "evidence"
    path.touch()
    return path


def power_off_and_on(kala):
    kala.kill()
    kala.start()


def states(kala, job):
    return [run["state"] for run in kala.runs(job, states=ANY)]


def stuck(kala):
    """The runs that have not ended."""
    return kala.query("SELECT * FROM run WHERE state IN ('queued', 'running')")


def test_retries_that_wait_run_once_after_kills(kala, soon, evidence, eventually):
    line = f"echo $KALA_JOB_NAME $KALA_ATTEMPT >> {evidence}; exit 1"
    jobs = [kala.create(name=f"{n}", command=line, retries=1, retry_delay="PT2S") for n in range(20)]
    retries = [kala.runs(job, 1, ("queued",))[0] for job in jobs]
    for _ in range(KILLS):
        power_off_and_on(kala)
    for job, retry in zip(jobs, retries, strict=True):
        first, second = kala.runs(job, 2)
        assert (first["state"], second["state"]) == ("failed", "failed")
        assert second["id"] == retry["id"]
        assert second["started_at"] >= retry["not_before"]
        assert kala.job(job)["error_count"] == 2
    eventually(lambda: not stuck(kala))
    assert sorted(evidence.read_text().splitlines()) == sorted(
        f"{n} {attempt}" for n in range(20) for attempt in (0, 1)
    )


def test_runs_that_wait_for_a_pool_continue_after_kills_and_those_that_ran_are_lost(make, gate, evidence, eventually):
    kala = make("--pool", "web=2").start()
    line = f"echo began $KALA_RUN_ID >> {evidence}; {gate.wait}; echo ended $KALA_RUN_ID >> {evidence}"
    jobs = [kala.create(command=line, pool="web") for _ in range(10)]
    ran = set()
    for number in range(KILLS):
        eventually(lambda number=number: evidence.read_text().count("began") == 2 * (number + 1))
        running = {run["id"] for run in kala.history("state=running")}
        assert len(running) == 2
        assert {run["waiting_for"] for run in kala.history("state=queued")} == {"pool"}
        ran |= running
        power_off_and_on(kala)
        assert {run["id"] for run in kala.history("state=lost")} == ran
    gate.open()
    for job in jobs:
        [run] = kala.runs(job, 1)
        assert run["state"] == ("lost" if run["id"] in ran else "succeeded")
    assert not stuck(kala)
    began = [line for line in evidence.read_text().splitlines() if line.startswith("began")]
    assert len(began) == len(set(began)) == 10


def test_children_that_wait_for_their_parents_run_after_kills(kala, gate, evidence, eventually):
    line = f"echo $KALA_JOB_NAME >> {evidence}"
    done, held = kala.create(name="done", schedule=FAR), kala.create(name="held", command=gate.wait, schedule=FAR)
    both = kala.create(name="both", command=line, parent_jobs=["done", "held"], parents_mode="all")
    either = kala.create(name="either", command=f"{gate.wait}; {line}", parent_jobs=["done", "held"])
    kala.go(done)
    kala.runs(done, 1)
    for number in range(KILLS):
        kala.go(held)
        kala.runs(held, number + 1, ("running", "lost"))
        kala.runs(either, 1, ("running", "lost"))
        power_off_and_on(kala)
        assert states(kala, held) == ["lost"] * (number + 1)
    assert states(kala, either) == ["lost"]
    assert states(kala, both) == []
    gate.open()
    kala.go(held)
    assert [run["state"] for run in kala.runs(both, 1)] == ["succeeded"]
    assert [run["state"] for run in kala.runs(either, 2)] == ["lost", "succeeded"]
    eventually(lambda: not stuck(kala))
    assert evidence.read_text().split().count("both") == 1


def test_a_kill_while_outputs_are_written_loses_no_output_of_a_run_that_had_ended(kala, gate, eventually):
    printing = "echo begin; head -c 50000 /dev/zero; i=0; while :; do echo $i; i=$((i+1)); done"
    loud = [kala.create(command=printing, schedule=FAR) for _ in range(4)]
    kept = {}
    for number in range(KILLS):
        for job in loud:
            kala.go(job)
            kala.runs(job, 1, ("running",))
        quiet = kala.create(command=f"echo begin; {gate.wait}", schedule=FAR)
        kala.go(quiet)
        [silent] = kala.runs(quiet, 1, ("running",))
        eventually(lambda silent=silent: (kala.data / "output/live" / f"{silent['id']}.out").exists())
        for line in (f"echo small {number}", f"seq {number} 20000"):
            [run] = kala.runs(kala.create(command=line), 1)
            kept[run["id"]] = kala.output(run["id"])
        power_off_and_on(kala)
        assert {run: kala.output(run) for run in kept} == kept
        for job in (*loud, quiet):
            for run in kala.runs(job, number + 1 if job in loud else 1):
                assert run["state"] == "lost"
                status, data = kala.output(run["id"])
                assert status == 200
                assert data.startswith(b"begin\n") or (job in loud and not data)
        assert kala.output(silent["id"]) == (200, b"begin\n")
        assert not stuck(kala)
    gate.open()


def test_endless_output_up_to_a_kill_is_in_order_and_only_the_reported_part_is_missing(serve, eventually):
    limit = 100_000
    kala = serve("--output-limit", str(limit))

    def has_an_end_on_disk(run):
        """Return whether output after the limit, which stays in memory for up to a second, is on disk."""
        segments = (kala.data / "output/live").glob(f"{run}.out.*")
        with suppress(FileNotFoundError):  # removed meanwhile
            return any(segment.stat().st_size == limit // 2 for segment in segments)

    jobs = [kala.create(command="seq 100000000", schedule=FAR) for _ in range(4)]
    for number in range(KILLS):
        for job in jobs:
            kala.go(job)
        runs = [kala.runs(job, number + 1, ("running", "lost"))[-1]["id"] for job in jobs]
        eventually(lambda runs=runs: all(has_an_end_on_disk(run) for run in runs))
        power_off_and_on(kala)
        for run in map(kala.run, runs):
            data = kala.output(run["id"])[1]
            assert (run["state"], run["output_cut"], run["output_size"]) == ("lost", True, len(data))
            head, tail = data[: limit // 2], data[-limit // 2 :]
            [cut] = re.fullmatch(rb"\n\[kala: (\d+) bytes omitted here\]\n", data[len(head) : -len(tail)]).groups()
            last = int(tail.split(b"\n")[-2])
            rest = len(tail.split(b"\n")[-1])
            assert head == b"".join(b"%d\n" % n for n in range(1, 12_000))[: len(head)]
            assert tail[: len(tail) - rest].endswith(b"".join(b"%d\n" % n for n in range(last - 5000, last + 1)))
            assert bytes_of_seq(last) + rest == int(cut) + limit
    assert not list((kala.data / "output/live").iterdir())


def bytes_of_seq(last):
    """Return how many bytes `seq` has printed up to this number."""
    return sum((len(str(power)) + 1) * (min(last, power * 10 - 1) - power + 1) for power in POWERS if power <= last)


def test_a_kill_while_runs_are_deleted_leaves_no_run_without_output_and_no_output_without_run(serve, eventually):
    kala = serve("--keep-runs", "20")

    def outputs_are_those_of_the_runs():
        files = {path.name for path in (kala.data / "output").glob("*/*")}
        return files == {f"{run['id']}.out" for run in kala.query("SELECT id FROM run WHERE output_size > 0")}

    for number in range(KILLS * 2):
        jobs = [kala.create(command="head -c 20000 /dev/zero", schedule=FAR, overlap="allow") for _ in range(4)]
        for job in jobs:
            for _ in range(40):
                kala.go(job)
        eventually(lambda job=jobs[-1]: kala.runs(job))
        if number % 2:
            assert kala.delete("/job/all/").status == 204
        power_off_and_on(kala)
        if number % 2:
            assert kala.query("SELECT * FROM job") == []
        for run in kala.history("state=succeeded&limit=1000"):
            status, data = kala.output(run["id"])
            assert data == bytes(20_000) or kala.get(f"/run/{run['id']}/").status == status == 404
    eventually(lambda: not stuck(kala))
    eventually(outputs_are_those_of_the_runs)


def test_acknowledged_changes_of_runs_survive_a_kill(kala, gate):
    job = kala.create(command=gate.wait, schedule=FAR)
    for number in range(KILLS):
        for _ in range(3):
            kala.go(job)
        first, second, third = kala.runs(job, 3, ALIVE)
        assert kala.post(f"/run/{second['id']}/cancel").status == 204
        ended = kala.runs(kala.create(), 1)[0]["id"]
        assert kala.delete(f"/run/{ended}/").status == 204
        kala.kill()
        kala.start()
        assert kala.get(f"/run/{ended}/").status == 404
        assert [kala.run(run["id"])["state"] for run in (first, second)] == ["lost", "cancelled"], number
        kala.runs(job, 1, ("running",))
        assert kala.run(third["id"])["state"] == "running"
        kala.post(f"/run/{third['id']}/cancel")
        kala.runs(job, 3 * (number + 1))
    assert states(kala, job) == ["lost", "cancelled", "cancelled"] * KILLS
