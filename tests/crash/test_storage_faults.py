"""A disk that is full or read-only, and a database locked by another program: nothing is lost."""

import os
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from process import Kala, gate, make, serve, soon, wait

__all__ = ("gate", "make", "serve", "soon", "wait")

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk for it")
FAR = "R/2099-01-01T00:00:00Z/PT1H"
# The size of a job that a small disk has no room for, though it may have for a slot or two.
LARGE = {"name": "large", "command": "/bin/true", "schedule": FAR, "env": {"FILLER": "x" * 50_000}}
SMALL = {"name": "small", "command": "/bin/true", "schedule": FAR}
# Exit statuses: systemd restarts Kala after the first, and not after the second (RestartPreventExitStatus=).
TRY_AGAIN, USELESS = 7, 2
CANNOT = "storage: the database cannot be written: "
OVER = "the database is writable again"


class Disk:
    """A file system that is mounted below a test's folder."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.filler = place / "filler"
        place.mkdir()

    def mount(self, *words: str) -> None:
        subprocess.run(["mount", *words, str(self.place)], check=True)

    def unmount(self) -> None:
        subprocess.run(["umount", str(self.place)], check=True)

    def fill(self) -> None:
        with self.filler.open("ab", buffering=0) as file, suppress(OSError):
            while file.write(b"x" * 4096):
                pass
        assert os.statvfs(self.place).f_bavail == 0

    def make_room(self) -> None:
        self.filler.unlink()


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Disk]:
    disk = Disk(tmp_path / "disk")
    disk.mount("-t", "tmpfs", "-o", "size=2m", "tmpfs")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk.place)], check=True)


@pytest.fixture
def fragile_disk(tmp_path) -> Iterator[Disk]:
    """A disk that the kernel can remount read-only while files are open for writing, as it does after an error."""
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    disk = Disk(tmp_path / "disk")
    disk.mount("-o", "loop", str(image))
    yield disk
    subprocess.run(["umount", "--lazy", str(disk.place)], check=True)


class Slots:
    """A job that is due every second, and a file outside of Kala's data with the slot of each run that started."""

    def __init__(self, kala: Kala, file: Path, start: str) -> None:
        self._kala = kala
        self._file = file
        self.job = kala.create(name="every second", command=f"echo $KALA_SLOT >>{file}", schedule=f"R/{start}/PT1S")

    def ran(self) -> list[str]:
        return self._file.read_text().split() if self._file.exists() else []

    def judge(self) -> None:
        """Check that each slot ran at most once, and that each run that started is recorded as succeeded."""
        self._kala.patch(f"/job/{self.job}/", {"disabled": True})
        ran = self.ran()
        assert len(set(ran)) == len(ran)
        assert len(self._kala.runs(self.job, len(ran), ("succeeded",))) == len(ran)


def refused(kala: Kala, job: dict[str, object], within: float = 5.0) -> str:
    """Return the error for a new job, which must come in time."""
    began = time.monotonic()
    status, body = kala.post("/job/", job)
    assert time.monotonic() - began < within
    assert status == 503, body
    assert body["error"].startswith(CANNOT)
    return body["error"]


def told(kala: Kala) -> tuple[int, int]:
    """Return how often the log says that the database cannot be written, and that it can be again."""
    return kala.log.count(CANNOT), kala.log.count(OVER)


@pytest.fixture
def watched(soon, tmp_path, eventually) -> Callable[[Kala], Slots]:
    """Creates a job that is due every second, and waits for its first run."""

    def watched(kala: Kala) -> Slots:
        slots = Slots(kala, tmp_path / "ran", soon(0.5))
        eventually(slots.ran)
        return slots

    return watched


@ROOT
def test_a_full_disk_refuses_changes_and_nothing_that_ran_or_was_due_is_lost(
    serve, small_disk, gate, watched, eventually
):
    kala = serve(home=small_disk.place)
    known = kala.create(schedule=FAR)
    slots = watched(kala)
    waits = kala.create(name="waits", command=f"{gate.wait}; echo the end")
    prints = kala.create(
        name="prints", command=f"{gate.wait}; head -c 500000 /dev/zero | tr '\\0' x; touch {gate.path}ed"
    )
    kala.runs(prints, 1, ("running",))
    small_disk.fill()
    assert refused(kala, LARGE) == f"{CANNOT}database or disk is full; nothing was changed"
    gate.open()
    for _ in range(10):
        refused(kala, LARGE)
        assert kala.job(known)["name"] == "a job"
        time.sleep(0.2)
    eventually(Path(f"{gate.path}ed").exists)
    before = len(slots.ran())
    small_disk.make_room()
    [run] = kala.runs(waits, 1)
    assert (run["state"], kala.output(run["id"])) == ("succeeded", (200, b"the end\n"))
    [run] = kala.runs(prints, 1)
    assert (run["state"], run["output_cut"]) == ("succeeded", 1)
    assert run["message"] == "some output could not be stored: No space left on device"
    eventually(lambda: len(slots.ran()) >= before + 2)
    kala.settle()
    slots.judge()
    assert told(kala) == (1, 1)
    assert len(kala.get("/job/").body["jobs"]) == 5  # the acknowledged jobs, and the one of settle()


@ROOT
def test_a_disk_with_room_for_small_jobs_only_does_not_flood_the_log(serve, small_disk):
    kala = serve(home=small_disk.place)
    kala.settle()
    small_disk.fill()
    for _ in range(3):
        refused(kala, LARGE)
        time.sleep(1.2)  # the engine retries by itself in between and may succeed
        kala.post("/job/", SMALL)
    assert told(kala)[0] == 1
    small_disk.make_room()
    kala.says(OVER)
    kala.create(**LARGE)


@ROOT
def test_a_start_on_a_full_disk_fails_with_the_reason_until_there_is_room(serve, small_disk, gate):
    kala = serve(home=small_disk.place)
    job = kala.create(command=gate.wait)
    kala.runs(job, 1, ("running",))
    kala.kill()
    small_disk.fill()
    kala.launch()
    assert kala.ended() == TRY_AGAIN
    assert kala.log == (
        f"kala: data_dir: {kala.data}/kala.db cannot be used at the moment: database or disk is full; "
        "fix this, then start Kala again\n"
    )
    small_disk.make_room()
    kala.start()
    assert [run["state"] for run in kala.runs(job, 1)] == ["lost"]


@contextmanager
def unwritable(*files: Path) -> Iterator[None]:
    """Files that cannot be written, even through open file descriptors."""
    subprocess.run(["chattr", "+i", *map(str, files)], check=True)
    yield
    subprocess.run(["chattr", "-i", *map(str, files)], check=True)


@ROOT
def test_data_is_written_as_soon_as_the_disk_is_writable_again(serve, fragile_disk, gate, watched, eventually):
    kala = serve(home=fragile_disk.place)
    slots = watched(kala)
    waits = kala.create(command=gate.wait)
    kala.runs(waits, 1, ("running",))
    with unwritable(kala.data / "kala.db-wal", kala.data / "kala.db"):
        refused(kala, SMALL)
        gate.open()
        eventually(lambda: not [pid for pid in kala.offspring() if gate.path.name in command_of(pid)])
        refused(kala, SMALL)
        assert kala.get("/job/").status == 200
        assert [run["state"] for run in kala.runs(waits, states=("running", "succeeded"))] == ["running"]
        before = len(slots.ran())
        time.sleep(1.5)  # a slot goes by
        assert len(slots.ran()) == before
    assert [run["state"] for run in kala.runs(waits, 1)] == ["succeeded"]
    eventually(lambda: len(slots.ran()) >= before + 2)
    slots.judge()
    assert told(kala) == (1, 1)


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:  # the process has just ended
        return ""


@ROOT
def test_a_disk_remounted_read_only_is_reported_and_nothing_is_lost_after_its_repair(serve, fragile_disk, gate):
    kala = serve("--shutdown-grace", "0.1", "--kill-grace", "0.1", home=fragile_disk.place)
    known = kala.create(schedule=FAR)
    waits = kala.create(command=gate.wait)
    kala.runs(waits, 1, ("running",))
    fragile_disk.mount("-o", "remount,abort")
    for _ in range(5):
        refused(kala, SMALL)
    assert kala.job(known)["name"] == "a job"
    assert kala.history(f"job={waits}")
    assert told(kala) == (1, 0)
    kala.stop()
    assert kala.offspring() == []
    kala.launch()
    assert kala.ended() == USELESS
    assert kala.log == f"kala: data_dir: {kala.data}: Read-only file system; use a directory that Kala can write to\n"
    fragile_disk.unmount()
    fragile_disk.mount("-o", "loop", str(fragile_disk.place.parent / "image"))
    kala.start()
    assert kala.job(known)["name"] == "a job"
    assert [run["state"] for run in kala.runs(waits, 1)] == ["lost"]


@contextmanager
def held(kala: Kala, how: str) -> Iterator[None]:
    """Another program that holds an exclusive lock on the database."""
    with closing(sqlite3.connect(kala.data / "kala.db", isolation_level=None, timeout=5)) as other:
        other.execute(f"BEGIN {how}")
        yield
        other.execute("ROLLBACK")


def test_a_short_lock_only_delays_changes(serve):
    kala = serve()
    with ThreadPoolExecutor() as clients:
        with held(kala, "IMMEDIATE"):
            answers = [clients.submit(kala.create, **SMALL) for _ in range(4)]
            time.sleep(1)
            assert not any(answer.done() for answer in answers)
        assert {kala.job(answer.result())["name"] for answer in answers} == {"small"}
    assert told(kala) == (0, 0)


def test_changes_are_refused_in_time_while_another_program_locks_the_database(serve, watched, eventually):
    kala = serve()
    known = kala.create(schedule=FAR)
    slots = watched(kala)
    with held(kala, "EXCLUSIVE"):
        before = len(slots.ran())
        reason = refused(kala, SMALL, within=12)
        assert reason == f"{CANNOT}database is locked; nothing was changed"
        began = time.monotonic()
        assert kala.job(known)["name"] == "a job"
        assert time.monotonic() - began < 3
        assert len(slots.ran()) <= before + 1
    kala.create(**SMALL)
    eventually(lambda: len(slots.ran()) >= before + 2)
    slots.judge()
    assert told(kala) == (1, 1)
