"""A process is started like one by subprocess.Popen with start_new_session."""

import errno
import os
import time
from contextlib import closing
from pathlib import Path

import pytest

from kala.runner.environment import encoded
from kala.runner.spawn import spawn

ROOT = Path("/")
PATIENCE = 5
SYSTEM = {"PATH": "/usr/bin:/bin"}


def printed(*words, environ=SYSTEM, folder=ROOT):
    """Return the output and the exit code of a program."""
    process = spawn(words, encoded(environ), folder)
    with closing(os.fdopen(process.output, "rb")) as output:
        text = output.read().decode()
    process.wait()
    return text, process.exit_code


def descriptors():
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def test_it_gets_its_arguments_variables_and_working_directory(tmp_path):
    text, code = printed("sh", "-c", "pwd; env; printf '%s|' \"$@\"", "sh", "a b", "", "ä", folder=tmp_path)
    assert code == 0
    lines = text.splitlines()
    assert lines[0] == str(tmp_path)
    assert lines[-1] == "a b||ä|"
    assert "PATH=/usr/bin:/bin" in lines


def test_its_stderr_is_part_of_the_output():
    assert printed("sh", "-c", "echo one >&2; echo two")[0] == "one\ntwo\n"


def test_it_has_an_empty_input():
    assert printed("cat") == ("", 0)


def test_it_leads_its_own_session():
    [pid, group, session] = printed("cut", "-d ", "-f1,5,6", "/proc/self/stat")[0].split()
    assert pid == group == session


def test_it_inherits_no_descriptor():
    inherited = os.open("/", os.O_RDONLY)
    os.set_inheritable(inherited, True)
    try:
        assert printed("ls", "/proc/self/fd")[0].split() == ["0", "1", "2", "3"]  # the last one is the directory itself
    finally:
        os.close(inherited)


def test_no_signal_is_ignored_though_python_ignores_some():
    status = dict(line.split(":", 1) for line in printed("cat", "/proc/self/status")[0].splitlines())
    ignored = int(status["SigIgn"], 16)
    assert not [number for number in (13, 25) if ignored >> (number - 1) & 1]
    assert int(status["SigBlk"], 16) == 0


@pytest.mark.parametrize(("line", "code"), [("exit 3", 3), ("kill -9 $$", -9)])
def test_its_exit_code_is_the_status_or_the_negative_signal(line, code):
    assert printed("sh", "-c", line)[1] == code


def test_a_name_is_looked_up_in_the_given_path(tmp_path):
    program = tmp_path / "greet"
    program.write_text("#!/bin/sh\necho hello\n")
    program.chmod(0o755)
    assert printed("greet", environ={"PATH": str(tmp_path)})[0] == "hello\n"
    with pytest.raises(FileNotFoundError):
        spawn(["greet"], encoded(SYSTEM), ROOT)


def test_a_relative_program_is_looked_up_in_the_working_directory(tmp_path):
    (tmp_path / "greet").write_text("#!/bin/sh\necho hello\n")
    (tmp_path / "greet").chmod(0o755)
    assert printed("./greet", folder=tmp_path)[0] == "hello\n"


@pytest.mark.parametrize(
    ("words", "folder", "number"),
    [
        (["/nowhere"], ROOT, errno.ENOENT),
        (["/bin/true"], Path("/nowhere"), errno.ENOENT),
        (["/etc/passwd"], ROOT, errno.EACCES),
        (["/bin/echo", "x" * 200_000], ROOT, errno.E2BIG),
    ],
)
def test_a_failed_start_raises_and_leaves_no_descriptor(words, folder, number):
    before = descriptors()
    with pytest.raises(OSError) as fault:
        spawn(words, encoded(SYSTEM), folder)
    assert fault.value.errno == number
    assert descriptors() == before


@pytest.mark.parametrize(("words", "environ"), [(["/bin/echo", "a\0b"], SYSTEM), (["/bin/true"], {"A": "\0"})])
def test_a_nul_character_is_refused_instead_of_cutting_the_string(words, environ):
    with pytest.raises(ValueError, match="NUL character"):
        spawn(words, encoded(environ), ROOT)


def test_an_abandoned_process_does_not_stay_as_a_zombie():
    process = spawn(["sleep", "0.05"], encoded(SYSTEM), ROOT)
    os.close(process.output)
    process.abandon()
    deadline = time.monotonic() + PATIENCE
    while Path(f"/proc/{process.pid}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
