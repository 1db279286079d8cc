"""A backup is a snapshot of all of Kala's data, and only a complete one is restored."""

import io
import os
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from kala.core.errors import Conflict, Invalid, KalaError
from kala.runner import spool
from kala.store import backup
from kala.store.store import Store


@pytest.fixture
def data(tmp_path):
    """A data directory with an output and the output of a running job."""
    return filled(tmp_path / "data")


def filled(folder):
    Store(folder).close()
    add_run(folder, 1, 8)
    for name, content in {"0/1.out": b"printed\0", "live/2.out": b"half"}.items():
        path = folder / "output" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    return folder


def add_run(folder, run, size):
    """Add a run with an output of that size to the database."""
    with closing(sqlite3.connect(folder / "kala.db")) as database, database:
        database.execute(
            "INSERT INTO run (id, job_id, job_name, cause, attempt, state, waiting, pool, priority, queued_at, due_at,"
            " output_size) VALUES (?, '1', 'a', 'manual', 0, 'succeeded', '', '', 0, 0, 0, ?)",
            (run, size),
        )


@pytest.fixture
def file(data, tmp_path):
    return backup_of(data, tmp_path)


def backup_of(data, folder):
    backup.make(data, folder / "kala.tar")
    return folder / "kala.tar"


def names(file):
    with tarfile.open(file) as found:
        return found.getnames()


def tree(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def archive(path, **members: bytes):
    with tarfile.open(path, "w") as made:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))
    return path


class TestABackup:
    def test_has_the_database_and_the_outputs_of_runs_that_have_ended(self, file):
        assert names(file) == ["kala.db", "output/0/1.out"]

    @pytest.mark.parametrize("run", [2, 999, 1000, 123_456])
    def test_has_each_output_where_the_runner_writes_it(self, data, tmp_path, run):
        add_run(data, run, 1)
        path = spool.path_of(data / "output", run)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
        assert str(path.relative_to(data)) in names(backup_of(data, tmp_path))

    def test_leaves_out_files_of_runs_that_are_not_in_the_database(self, data, tmp_path):
        (data / "output/0/7.out").write_bytes(b"planted")
        assert "output/0/7.out" not in names(backup_of(data, tmp_path))

    def test_has_no_more_of_an_output_than_the_database_says(self, data, tmp_path):
        os.truncate(data / "output/0/1.out", 1 << 40)
        with tarfile.open(backup_of(data, tmp_path)) as found:
            assert found.extractfile("output/0/1.out").read() == b"printed\0"

    @pytest.mark.parametrize("plant", [os.mkfifo, Path.mkdir])
    def test_is_refused_where_an_output_is_not_a_regular_file(self, data, tmp_path, plant):
        (data / "output/0/1.out").unlink()
        plant(data / "output/0/1.out")
        with pytest.raises(Invalid, match=r"output/0/1\.out must be a regular file; remove it"):
            backup_of(data, tmp_path)
        assert not (tmp_path / "kala.tar").exists()

    @pytest.mark.parametrize("name", ["output/0/1.out", "output/0", "output"])
    def test_follows_no_link(self, data, tmp_path, name):
        (data / name).rename(tmp_path / "elsewhere")
        (data / name).symlink_to(tmp_path / "elsewhere")
        with pytest.raises(OSError, match=r"Too many levels of symbolic links|Not a directory"):
            backup_of(data, tmp_path)
        assert not (tmp_path / "kala.tar").exists()

    def test_is_readable_for_its_owner_only(self, file):
        assert file.stat().st_mode & 0o777 == 0o600

    def test_leaves_nothing_else_behind(self, file, data):
        assert {path.name for path in file.parent.iterdir()} == {"data", "kala.tar"}
        assert tree(data) >= {"kala.db", "output/0/1.out", "output/live/2.out"}

    def test_replaces_no_file(self, file, data):
        before = file.read_bytes()
        with pytest.raises(Conflict, match=r"kala\.tar already exists; use a new name"):
            backup.make(data, file)
        assert file.read_bytes() == before

    @pytest.mark.parametrize("name", ["kala", "kala.db-wal.tar", "kala.db.part"])
    def test_overwrites_no_file_in_its_folder_not_even_the_database(self, data, name):
        (data / "kala.part").write_bytes(b"somebody's")
        before = tree(data)
        backup.make(data, data / name)
        assert tree(data) - {"kala.db-shm", "kala.db-wal"} == before | {name}
        assert (data / "kala.part").read_bytes() == b"somebody's"
        Store(data).close()

    def test_is_refused_where_there_is_nothing_to_back_up(self, tmp_path):
        with pytest.raises(Invalid, match=r"^data_dir: .* has no kala\.db; use the data directory of Kala$"):
            backup.make(tmp_path, tmp_path / "kala.tar")
        assert tree(tmp_path) == set()

    def test_is_refused_where_its_folder_does_not_exist(self, data, tmp_path):
        with pytest.raises(Invalid, match=r"the directory .*/nowhere does not exist; create it, or use another one"):
            backup.make(data, tmp_path / "nowhere/kala.tar")

    @pytest.mark.parametrize("damage", [4096, 0])
    def test_of_a_damaged_database_is_refused_as_it_could_not_be_restored(self, data, tmp_path, damage):
        with (data / "kala.db").open("r+b") as database:
            database.seek(damage)
            database.write(b"\xff" * 4096)
        with pytest.raises(Invalid, match=r"kala\.db is (damaged: |not a database)"):
            backup.make(data, tmp_path / "kala.tar")
        assert {path.name for path in tmp_path.iterdir()} == {"data"}


class TestARestore:
    def test_creates_a_directory_that_kala_can_open(self, file, tmp_path):
        backup.restore(file, tmp_path / "new")
        assert tree(tmp_path / "new") == {"kala.db", "kala.lock", "output/0/1.out"}
        assert (tmp_path / "new/output/0/1.out").read_bytes() == b"printed\0"
        Store(tmp_path / "new").close()

    def test_creates_files_for_their_owner_only(self, file, tmp_path):
        backup.restore(file, tmp_path / "new")
        paths = [path for path in (tmp_path / "new").rglob("*") if path.is_file()]
        assert {path.stat().st_mode & 0o777 for path in paths} == {0o600}

    def test_replaces_no_data(self, file, data):
        with pytest.raises(
            Conflict, match=r"^data_dir: .* already contains kala\.db; move the whole directory away first"
        ):
            backup.restore(file, data)

    @pytest.mark.parametrize("left", ["kala.db-wal", "kala.db-shm", "kala.db.part", "output/7/7001.out"])
    def test_does_not_mix_with_the_files_of_another_kala(self, file, tmp_path, left):
        path = tmp_path / "new" / left
        path.parent.mkdir(parents=True)
        path.write_bytes(b"another's")
        with pytest.raises(Conflict, match=f"already contains {left}; move the whole directory away first"):
            backup.restore(file, tmp_path / "new")
        assert tree(tmp_path / "new") == {left}

    def test_that_failed_can_be_retried(self, file, tmp_path):
        bad = archive(tmp_path / "bad.tar", **{"kala.db": b"nonsense", "output/3/3001.out": b"x"})
        with pytest.raises(Invalid, match="is damaged"):
            backup.restore(bad, tmp_path / "new")
        backup.restore(file, tmp_path / "new")
        assert tree(tmp_path / "new") == {"kala.db", "kala.lock", "output/0/1.out"}

    def test_is_refused_where_kala_is_about_to_start(self, file, tmp_path):
        store = Store(tmp_path / "new")
        (tmp_path / "new/kala.db").unlink()
        with pytest.raises(Conflict, match="another Kala is using"):
            backup.restore(file, tmp_path / "new")
        store.close()

    def test_writes_nothing_outside_of_the_data_directory(self, tmp_path, data):
        database = (data / "kala.db").read_bytes()
        evil = {"../evil": b"x", "/tmp/evil": b"x", "output/../../evil.out": b"x", "output/0/1.out": b"x"}
        file = archive(tmp_path / "evil.tar", **{"kala.db": database} | evil)
        backup.restore(file, tmp_path / "new")
        assert tree(tmp_path / "new") == {"kala.db", "kala.lock", "output/0/1.out"}
        assert not (tmp_path / "evil").exists()
        assert not (tmp_path / "evil.out").exists()

    @pytest.mark.parametrize(
        ("members", "why"),
        [
            ({}, "it does not start with kala.db"),
            ({"output/0/1.out": b"x", "kala.db": b""}, "it does not start with kala.db"),
            ({"kala.db": b"nonsense" * 1000}, "is damaged: file is not a database"),
            ({"kala.db": b""}, "its kala.db is not a database of Kala: no such table: run"),
        ],
    )
    def test_of_another_file_is_refused_and_leaves_no_database(self, tmp_path, members, why):
        file = archive(tmp_path / "bad.tar", **members)
        with pytest.raises(Invalid, match=why):
            backup.restore(file, tmp_path / "new")
        assert tree(tmp_path / "new") == {"kala.lock"}

    @pytest.mark.parametrize(
        "members",
        [
            {"output/0/2.out": b"of no run"},
            {"output/0/1.out": b"longer than the database says"},
            {"output/5/1.out": b"x"},
            {"output/٠/1.out": b"x"},
        ],
    )
    def test_extracts_no_output_that_is_not_in_the_database(self, tmp_path, data, members):
        file = archive(tmp_path / "evil.tar", **{"kala.db": (data / "kala.db").read_bytes()} | members)
        backup.restore(file, tmp_path / "new")
        assert tree(tmp_path / "new") == {"kala.db", "kala.lock"}

    def test_of_an_archive_that_has_a_file_twice_is_refused(self, tmp_path, data, file):
        with tarfile.open(file, "a") as made:
            made.add(data / "output/0/1.out", "output/0/1.out")
        with pytest.raises(Invalid, match="it contains a file twice"):
            backup.restore(file, tmp_path / "new")
        assert tree(tmp_path / "new") == {"kala.lock"}

    @pytest.mark.parametrize("name", ["kala.db", "kala.db.part", "kala.lock", "output"])
    def test_follows_no_link(self, file, tmp_path, name):
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / name).symlink_to(tmp_path / "elsewhere")
        with pytest.raises((Conflict, Invalid)):
            backup.restore(file, tmp_path / "new")
        assert not (tmp_path / "elsewhere").exists()

    @pytest.mark.parametrize("kept", [0, 100, 20_000])
    def test_of_half_a_backup_is_refused_and_leaves_no_database(self, file, tmp_path, kept):
        file.write_bytes(file.read_bytes()[:kept])
        with pytest.raises(Invalid, match="is not a backup of Kala: "):
            backup.restore(file, tmp_path / "new")
        assert tree(tmp_path / "new") <= {"kala.lock"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
class TestAsRoot:
    """In a directory of another user, where jobs can write, root drops its privileges."""

    OWNER = 12345

    @pytest.fixture
    def place(self):
        """A folder that other users can enter, unlike those of pytest."""
        with tempfile.TemporaryDirectory() as folder:
            Path(folder).chmod(0o755)
            yield Path(folder)

    @pytest.fixture
    def theirs(self, place):
        data = filled(place / "data")
        self.give(data)
        return data

    @pytest.fixture
    def secret(self, place):
        """A file that only root can read."""
        path = place / "secret"
        path.write_bytes(b"root's own")
        path.chmod(0o600)
        return path

    def give(self, folder):
        for path in (folder, *folder.rglob("*")):
            os.chown(path, self.OWNER, self.OWNER, follow_symlinks=False)

    def test_a_backup_is_complete_and_belongs_to_root(self, theirs, tmp_path):
        file = backup_of(theirs, tmp_path)
        assert names(file) == ["kala.db", "output/0/1.out"]
        assert (file.stat().st_uid, file.stat().st_mode & 0o777) == (0, 0o600)
        assert {path.name for path in tmp_path.iterdir()} == {"kala.tar"}
        assert {path.stat().st_uid for path in theirs.rglob("*")} == {self.OWNER}

    def test_a_restored_directory_belongs_to_its_owner(self, theirs, place, tmp_path):
        (place / "new").mkdir()
        self.give(place / "new")
        backup.restore(backup_of(theirs, tmp_path), place / "new")
        assert tree(place / "new") == {"kala.db", "kala.lock", "output/0/1.out"}
        assert {path.stat().st_uid for path in (place / "new").rglob("*")} == {self.OWNER}

    @pytest.mark.parametrize("name", ["kala.db", "output/0/1.out"])
    def test_a_link_reveals_nothing_that_its_owner_may_not_read(self, theirs, secret, tmp_path, name):
        (theirs / name).unlink()
        (theirs / name).symlink_to(secret)
        with pytest.raises(KalaError):
            backup_of(theirs, tmp_path)
        assert not (tmp_path / "kala.tar").exists()

    @pytest.mark.parametrize("name", ["kala.db.part", "kala.lock", "output"])
    def test_a_restore_does_not_overwrite_the_target_of_a_link(self, theirs, place, secret, tmp_path, name):
        file = backup_of(theirs, tmp_path)
        (place / "new").mkdir()
        (place / "new" / name).symlink_to(secret)
        self.give(place / "new")
        with pytest.raises(KalaError):
            backup.restore(file, place / "new")
        assert secret.read_bytes() == b"root's own"

    def test_errors_are_reported_as_without_root(self, theirs, tmp_path):
        (theirs / "kala.db").unlink()
        with pytest.raises(Invalid, match=r"^data_dir: .* has no kala\.db; use the data directory of Kala$"):
            backup_of(theirs, tmp_path)

    def test_dropped_privileges_cannot_be_regained(self, theirs, place):
        place.chmod(0o777)
        script = f"""
import os, pathlib
from kala.store.owner import as_owner_of
def work():
    pathlib.Path({str(place / "told")!r}).write_text(repr((os.getresuid(), os.getresgid(), os.getgroups())))
    os.setuid(0)
as_owner_of(pathlib.Path({str(theirs)!r}), work)
"""
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert "Operation not permitted" in done.stderr
        assert (place / "told").read_text() == repr(((self.OWNER,) * 3, (self.OWNER,) * 3, []))
