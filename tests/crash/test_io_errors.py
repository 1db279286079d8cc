"""Temporary I/O errors: Kala logs them, loses nothing that it acknowledged, and recovers by itself."""

import errno
import json
import random
import time

import pytest
from disk import disk, layer
from process import gate, make, wait

__all__ = ("disk", "gate", "layer", "make", "wait")

FAR = "R/2099-01-01T00:00:00Z/PT1H"
EIO, ENOSPC, EROFS = errno.EIO, errno.ENOSPC, errno.EROFS
LIMIT = 100_000
NUMBERS = b"".join(b"%d\n" % n for n in range(1, 10_001))

DATABASE = [
    pytest.param([("sync", "kala.db-wal", EIO)], id="EIO on sync of the log"),
    pytest.param([("write", "kala.db-wal", EIO)], id="EIO on write of the log"),
    pytest.param([("write", "kala.db-wal", ENOSPC)], id="ENOSPC on write of the log"),
    pytest.param([("write", "*", ENOSPC), ("mkdir", "*", ENOSPC)], id="ENOSPC everywhere"),
    pytest.param([("write", "*", EROFS), ("unlink", "*", EROFS), ("rename", "*", EROFS)], id="EROFS everywhere"),
    pytest.param([("write", "*", EIO), ("read", "*", EIO), ("sync", "*", EIO)], id="EIO everywhere"),
]


@pytest.fixture
def kala(make, disk):
    return make("--output-limit", str(LIMIT), environ=disk.environ).start()


def is_said_once(sentence: str) -> bool:
    return "\n" not in sentence and len(sentence) < 300 and "Traceback" not in sentence


def refused(answer) -> None:
    assert answer.status == 503, answer
    assert answer.body["error"].startswith("storage: the database cannot be "), answer
    assert is_said_once(answer.body["error"])


def lines_of_trouble(kala) -> list[str]:
    return [line for line in list(kala.lines) if "error: " in line or "warning: " in line]


def is_calm(kala, seconds: float, allowed: int = 2) -> None:
    """Check that the log has the error, with at most one line a second and a few more."""
    kala.says("error: ", "warning: ")  # a thread reads the log, so a line can come after its run has ended
    assert "Traceback" not in kala.log
    assert len(lines_of_trouble(kala)) <= allowed + seconds, kala.log


@pytest.mark.parametrize("orders", DATABASE)
def test_changes_are_refused_while_the_database_cannot_be_written(kala, disk, gate, eventually, orders):
    job = kala.create(name="held", command=gate.wait, schedule=FAR)
    kala.go(job)
    [run] = kala.runs(job, 1, ("running",))
    known = {job, kala.create(name="waits", schedule=FAR)}
    before = time.monotonic()
    disk.fail(*orders)
    refused(kala.post("/job/", {"name": "refused", "command": "true", "schedule": FAR}))
    refused(kala.post(f"/job/start/{job}/"))
    refused(kala.delete(f"/job/{job}/"))
    gate.open()
    seen = len(disk.faults())
    eventually(lambda: len(disk.faults()) >= seen + 3)  # Kala keeps trying to write the end of the run
    is_calm(kala, time.monotonic() - before)
    assert kala.process.poll() is None
    disk.heal()
    assert kala.runs(job, 1)[0]["state"] == "succeeded"
    eventually(lambda: kala.post(f"/job/start/{job}/").status == 204)
    assert kala.runs(job, 2)[0]["id"] == run["id"]
    known.add(kala.create(name="new", schedule=FAR))
    assert kala.get("/job/").body["jobs"].keys() == known
    disk.cut(kala, random.Random(1))
    kala.start()
    assert kala.get("/job/").body["jobs"].keys() == known
    assert len(kala.runs(job)) == 2
    assert kala.query("PRAGMA integrity_check")[0][0] == "ok"


def test_a_power_cut_during_errors_loses_nothing_that_was_acknowledged(kala, disk):
    known = {kala.create(schedule=FAR) for _ in range(20)}
    disk.fail(("sync", "kala.db-wal", EIO))
    for _ in range(5):
        refused(kala.post("/job/", {"name": "refused", "command": "true", "schedule": FAR}))
    disk.heal()
    known |= {kala.create(schedule=FAR) for _ in range(5)}
    disk.fail(("sync", "kala.db-wal", EIO))
    refused(kala.post("/job/", {"name": "refused", "command": "true", "schedule": FAR}))
    disk.cut(kala, random.Random(1))
    disk.heal()
    kala.start()
    jobs = kala.get("/job/").body["jobs"]
    assert known <= jobs.keys()
    # The last change may be on disk, as with any request whose response was lost.
    assert len(jobs) <= len(known) + 1


def test_queries_are_refused_while_the_database_cannot_be_read(kala, disk, eventually):
    job = kala.create(schedule=FAR)
    kala.restart()  # its pages may be in the cache
    disk.fail(("read", "kala.db*", EIO))
    answer = eventually(lambda: (found := kala.get(f"/job/{job}/")).status != 200 and found)
    refused(answer)
    disk.heal()
    assert eventually(lambda: kala.get(f"/job/{job}/").status == 200)
    assert kala.create()
    assert "Traceback" not in kala.log


def test_nothing_is_refused_or_lost_while_checkpoints_fail(kala, disk):
    disk.fail(("sync", "kala.db", EIO), ("write", "kala.db", EIO))
    text = "x" * 60_000
    jobs = {kala.create(command=f"echo {text}", schedule=FAR) for _ in range(90)}
    assert "kala.db" in disk.faults()
    assert "Traceback" not in kala.log
    disk.heal()
    jobs |= {kala.create(command=f"echo {text}", schedule=FAR) for _ in range(10)}
    disk.cut(kala, random.Random(1))
    kala.start()
    assert kala.get("/job/").body["jobs"].keys() == jobs
    assert kala.query("PRAGMA integrity_check")[0][0] == "ok"


@pytest.mark.parametrize("error", [EIO, ENOSPC], ids=["EIO", "ENOSPC"])
@pytest.mark.parametrize("operation", ["open", "mkdir", "write", "rename", "sync"])
@pytest.mark.parametrize("command", ["seq 10000", "seq 40000"], ids=["whole", "cut"])
def test_a_run_says_if_its_output_cannot_be_stored_and_the_next_is_stored(kala, disk, operation, error, command):
    if operation == "rename" and "40000" in command:
        pytest.skip("an output that was cut is not renamed")
    disk.fail((operation, "output/*", error))
    job = kala.create(command=command, schedule=FAR)
    kala.go(job)
    [run] = kala.runs(job, 1)
    assert disk.faults()
    assert run["state"] == "succeeded"
    assert "output could not be stored" in run["message"]
    assert is_said_once(run["message"])
    assert run["output_cut"]
    status, data = kala.output(run["id"])
    assert status == 200
    assert run["output_size"] == len(data)
    is_calm(kala, 0)
    disk.heal()
    kala.go(job)
    [_, run] = kala.runs(job, 2)
    assert run["message"] == ""
    assert kala.output(run["id"])[1][:40_000] == NUMBERS[:40_000]


def test_a_spool_that_cannot_be_removed_delays_nothing(kala, disk):
    disk.fail(("unlink", "output/*", EIO))
    before = time.monotonic()
    jobs = [kala.create(command=command) for command in ("seq 10000", "echo; sleep 1.2", "seq 40000", "true")]
    for job in jobs:
        [run] = kala.runs(job, 1)
        assert run["state"] == "succeeded"
        assert kala.delete(f"/run/{run['id']}/").status == 204
    assert disk.faults()
    is_calm(kala, time.monotonic() - before, len(disk.faults()))
    disk.heal()
    kala.restart()
    assert not list((kala.data / "output/live").iterdir())
    kala.settle()


def test_a_request_for_an_output_that_cannot_be_read_gets_503(kala, disk):
    [run] = kala.runs(kala.create(command="seq 10000"), 1)
    for operation in ("open", "read"):
        disk.fail((operation, "output/*", EIO))
        for query in ("", "?tail=3"):
            status, body = kala.output(run["id"], query)
            assert status == 503, (operation, query)
            assert "Input/output error" in json.loads(body)["error"]
        disk.heal()
        assert kala.output(run["id"]) == (200, NUMBERS)
    assert "Traceback" not in kala.log
