"""One process at a time holds a pid file. Other users can neither prevent that nor make it write to other files."""

import fcntl
import os
import struct
import subprocess
import sys

import pytest

from kala.core.errors import Conflict, Invalid
from kala.service.pidfile import PidFile


@pytest.fixture
def path(tmp_path):
    return tmp_path / "kala.pid"


def test_the_file_holds_the_process_id_while_the_process_lives(path):
    with PidFile(path):
        assert path.read_text() == f"{os.getpid()}\n"
    assert not path.exists()


def test_a_second_holder_is_refused_with_the_first_one_s_process_id(path):
    with PidFile(path), pytest.raises(Conflict, match=f"is locked by process {os.getpid()}; stop it"), PidFile(path):
        pass


def test_a_refused_holder_leaves_the_file_alone(path):
    with PidFile(path):
        with pytest.raises(Conflict), PidFile(path):
            pass
        assert path.exists()


def test_a_stale_file_is_taken_over(path):
    path.write_text("99999999999\n")
    with PidFile(path):
        assert path.read_text() == f"{os.getpid()}\n"


def test_a_holder_s_death_frees_the_file(path):
    program = "import os, sys, pathlib, kala.service.pidfile as it; it.PidFile(pathlib.Path(sys.argv[1])).__enter__()"
    assert (
        subprocess.run([sys.executable, "-c", f"{program}; os._exit(9)", str(path)], timeout=10, check=False).returncode
        == 9
    )
    assert path.exists()
    with PidFile(path):
        assert path.read_text() == f"{os.getpid()}\n"


def test_a_file_that_its_holder_removes_meanwhile_is_created_again(path, monkeypatch):
    """The holder exits between our open() and our lock: the lock is then on a file without a name."""
    lock = fcntl.fcntl
    calls = []

    def lock_after_the_other_s_end(fd, how, given):
        if not calls:
            path.unlink()
        calls.append(fd)
        return lock(fd, how, given)

    monkeypatch.setattr("fcntl.fcntl", lock_after_the_other_s_end)
    with PidFile(path):
        assert path.read_text() == f"{os.getpid()}\n"
    assert len(calls) == 2


def test_a_child_process_does_not_hold_the_file(path):
    with PidFile(path):
        command = subprocess.Popen(["sleep", "60"])
    try:
        with PidFile(path):
            pass
    finally:
        command.kill()
        command.wait()


def test_a_missing_directory_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone"), PidFile(tmp_path / "gone" / "pid"):
        pass


def test_everybody_may_read_the_file_and_only_its_owner_may_write_it(path):
    with PidFile(path):
        assert path.stat().st_mode & 0o777 == 0o644


class TestInAFolderThatOthersCanWrite:
    def refused(self, path, why):
        with pytest.raises(Invalid, match=why), PidFile(path):
            pass

    def test_a_link_is_not_followed(self, path, tmp_path):
        precious = tmp_path / "precious"
        precious.write_text("much")
        path.symlink_to(precious)
        self.refused(path, f"pid_file: {path} is a symbolic link; use the file itself")
        assert precious.read_text() == "much"

    def test_a_dangling_link_creates_no_file(self, path, tmp_path):
        path.symlink_to(tmp_path / "elsewhere")
        self.refused(path, "symbolic link")
        assert not (tmp_path / "elsewhere").exists()

    def test_a_hard_link_to_another_file_is_not_written_to(self, path, tmp_path):
        precious = tmp_path / "precious"
        precious.write_text("much")
        path.hardlink_to(precious)
        self.refused(path, "must be a regular file owned by Kala's user; remove it")
        assert precious.read_text() == "much"

    def test_a_pipe_is_refused_at_once(self, path):
        os.mkfifo(path)
        self.refused(path, "must be a regular file")

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file another user's")
    def test_a_file_of_another_user_is_refused(self, path):
        path.touch()
        os.chown(path, 1, 1)
        self.refused(path, "must be a regular file owned by Kala's user")

    @pytest.mark.parametrize("kind", ["flock", "record", "description"])
    def test_a_lock_by_a_user_who_can_only_read_the_file_has_no_effect(self, path, kind):
        path.write_text("1\n")
        with path.open() as reader:
            lock = struct.pack("hhqqi", fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
            if kind == "flock":
                fcntl.flock(reader, fcntl.LOCK_EX)
            elif kind == "description":
                fcntl.fcntl(reader, fcntl.F_OFD_SETLK, lock)
            else:
                fcntl.lockf(reader, fcntl.LOCK_SH)
            with PidFile(path):
                assert path.read_text() == f"{os.getpid()}\n"
                with pytest.raises(Conflict, match=f"is locked by process {os.getpid()}"), PidFile(path):
                    pass
        assert not path.exists()

    def test_a_file_that_replaced_ours_is_left_alone(self, path):
        with PidFile(path):
            path.unlink()
            path.write_text("somebody's")
        assert path.read_text() == "somebody's"
