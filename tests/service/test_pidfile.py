import fcntl
import os
import subprocess
import sys

import pytest

from kala.core.errors import Conflict
from kala.service.pidfile import PidFile


@pytest.fixture
def path(tmp_path):
    return tmp_path / "kala.pid"


def test_the_file_holds_the_process_id_while_the_process_lives(path):
    with PidFile(path):
        assert path.read_text() == f"{os.getpid()}\n"
    assert not path.exists()


def test_a_second_holder_is_refused_with_the_first_one_s_process_id(path):
    with PidFile(path), pytest.raises(Conflict, match=f"is held by process {os.getpid()}; stop it"), PidFile(path):
        pass


def test_a_refused_holder_leaves_the_file_alone(path):
    with PidFile(path):
        with pytest.raises(Conflict), PidFile(path):
            pass
        assert path.exists()


def test_a_file_that_was_left_behind_is_taken_over(path):
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


def test_a_file_that_its_holder_removed_meanwhile_is_made_anew(path, monkeypatch):
    """The other ends between our opening of its file and our lock on it: the lock is then on a file without a name."""
    lock = fcntl.flock
    calls = []

    def lock_after_the_other_s_end(fd, how):
        if not calls:
            path.unlink()
        calls.append(fd)
        lock(fd, how)

    monkeypatch.setattr("fcntl.flock", lock_after_the_other_s_end)
    with PidFile(path):
        assert path.read_text() == f"{os.getpid()}\n"
    assert len(calls) == 2


def test_a_command_of_a_holder_does_not_hold_the_file(path):
    with PidFile(path):
        command = subprocess.Popen(["sleep", "60"])
    try:
        with PidFile(path):
            pass
    finally:
        command.kill()
        command.wait()


def test_a_directory_that_is_not_there_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone"), PidFile(tmp_path / "gone" / "pid"):
        pass
