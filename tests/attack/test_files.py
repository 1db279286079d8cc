"""Files that other users create, lock, link or remove where Kala writes."""

import fcntl
import os
import shutil
import subprocess
import tarfile

import pytest
from process import eventually
from scene import FAR

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can read and write the files of others")
NOBODY = 64321


def background(kala, *flags):
    """Start a Kala in the background, which is no child of the test, and return its address."""
    with open(kala.home / "said", "w+") as said:  # noqa: PTH123 - it outlives the pipe that a test would read
        command = [*kala.command, "serve", "--daemon", "--port", "0", "--data-dir", str(kala.data), *flags]
        subprocess.run(command, check=True, cwd=kala.home, env=kala.environ, stdout=said, stderr=said, timeout=30)


@pytest.fixture
def daemon(make, tmp_path):
    """A running Kala in the background. The fixture `make` finds it by its mark and ends it."""
    # Commands of a Kala in the background start in the home directory, so the data are elsewhere.
    kala = make()
    kala.environ["HOME"] = str(tmp_path / "home")
    (tmp_path / "home").mkdir()
    log = tmp_path / "kala.log"
    background(kala, "--log-file", str(log))
    line = eventually(lambda: next((one for one in log.read_text().splitlines() if "answers on http://" in one), ""))
    kala.address = line[line.index("http://") :].split()[0].strip('",')
    return kala


def test_a_job_that_removes_its_whole_directory_leaves_the_data_of_a_background_kala(daemon):
    kept = daemon.create(name="kept", schedule=FAR)
    daemon.runs(daemon.create(command="rm -rf ./*"), 1)
    assert daemon.job(kept)["name"] == "kept"
    again = daemon.create(name="after", schedule=FAR)
    assert [row[0] for row in daemon.query("SELECT id FROM job WHERE id IN (?, ?)", kept, again)]


def test_other_users_cannot_read_the_log_file(daemon):
    assert (daemon.home / "kala.log").stat().st_mode & 0o007 == 0


@pytest.mark.parametrize("what", ["the database", "the folder", "another database in its place"])
def test_no_job_is_acknowledged_if_the_database_was_removed(kala, what):
    kala.create(schedule=FAR)
    if what == "the folder":
        shutil.rmtree(kala.data)
    else:
        (kala.data / "kala.db").unlink()
        if what.startswith("another"):
            (kala.data / "kala.db").touch()

    def is_refused():
        status, body = kala.post("/job/", {"name": "lost", "command": "/bin/true", "schedule": FAR})
        return status == 503 and body["error"]

    eventually(is_refused, limit=5)
    for _ in range(3):
        assert is_refused()
    kala.says("kala.db")


def test_a_link_in_place_of_the_pid_file_is_not_followed(make, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (tmp_path / "kala.pid").symlink_to(precious)
    kala = make("--pid-file", str(tmp_path / "kala.pid"))
    kala.launch()
    eventually(lambda: kala.process.poll() is not None or "answers" in kala.log)
    kala.close()
    assert precious.read_text() == "precious"


def test_a_pid_file_locked_by_another_user_does_not_prevent_a_start(make, tmp_path):
    """Everyone who can read a file can lock it."""
    path = tmp_path / "kala.pid"
    path.write_text("1\n")
    kala = make("--pid-file", str(path))
    with path.open() as others:
        fcntl.flock(others, fcntl.LOCK_EX)
        kala.launch()
        eventually(lambda: kala.process.poll() is not None or "answers" in kala.log)
    assert "answers" in kala.log


@pytest.fixture
def owned(make, tmp_path):
    """A stopped Kala with one large output, whose data belong to a user that is not root."""
    kala = make().start()
    kala.runs(kala.create(command="yes | head -c 100000"), 1)
    assert kala.stop() == 0
    for path in (kala.data, *kala.data.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(folder.stat().st_mode | 0o011)
    return kala


@ROOT
@pytest.mark.parametrize("kind", ["symlink", "fifo", "folder"])
def test_a_backup_by_root_contains_nothing_that_only_root_can_read(owned, tmp_path, kind):
    secret = tmp_path / "secret"
    secret.write_text("only for root")
    secret.chmod(0o600)
    [output] = owned.data.glob("output/*/*.out")
    if kind == "fifo":
        os.mkfifo(output.with_name("99.out"))
    elif kind == "symlink":
        output.unlink()
        output.symlink_to(secret)
    else:
        shutil.rmtree(output.parent)
        output.parent.symlink_to(tmp_path / "elsewhere")
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        (tmp_path / "elsewhere" / output.name).write_text("only for root")
    done = owned.tell("backup", str(tmp_path / "b.tar"), "--data-dir", str(owned.data))
    if done.returncode:
        return
    with tarfile.open(tmp_path / "b.tar") as archive:
        assert all(member.isreg() for member in archive)
        assert not any(b"only for root" in archive.extractfile(member).read() for member in archive)


@ROOT
def test_a_restore_by_root_follows_no_link(owned, tmp_path):
    done = owned.tell("backup", str(tmp_path / "b.tar"), "--data-dir", str(owned.data))
    assert done.returncode == 0, done.stderr
    precious, there = tmp_path / "precious", tmp_path / "there"
    precious.write_bytes(b"precious")
    (tmp_path / "outside").mkdir()
    there.mkdir()
    (there / "kala.db.part").symlink_to(precious)
    (there / "output").symlink_to(tmp_path / "outside")
    os.chown(there, NOBODY, NOBODY)
    owned.tell("restore", str(tmp_path / "b.tar"), "--data-dir", str(there))
    assert precious.read_bytes() == b"precious"
    assert not any((tmp_path / "outside").rglob("*.out"))
