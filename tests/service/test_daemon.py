import os
import resource
import select
import signal
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from kala.service import detach

READY = "answers on http://127.0.0.1:8000"
PROGRAM = [sys.executable, str(Path(__file__).parent / "program.py")]


def shell_start(start, before: str, *arguments: str):
    """Start the program from a shell, after these commands; "$0" "$@" is the program."""
    return start(*PROGRAM, *arguments, command=["sh", "-c", f'{before}; exec "$0" "$@"'])


def pid_in(home: Path) -> int:
    return int((home / "pid").read_text())


@contextmanager
def ending(home: Path):
    """Wait for the end of the service in the background, which is not our child."""
    process = os.pidfd_open(pid_in(home))
    yield
    poll = select.poll()
    poll.register(process, select.POLLIN)
    assert poll.poll(10_000), "the service in the background is still there"
    os.close(process)


def end(home: Path, number: int) -> None:
    with ending(home):
        os.kill(pid_in(home), number)


def proc_status(pid: int, field: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{field}:"))


class TestForeground:
    def test_umask_core_limit_and_working_directory_stay_as_they_were(self, start, home):
        service = shell_start(start, "umask 0027; ulimit -c 12")
        assert service.expect("app start").endswith(f"in {home}\n")
        service.expect(READY)
        assert proc_status(service.process.pid, "Umask") == "0027"
        assert resource.prlimit(service.process.pid, resource.RLIMIT_CORE)[0] // 512 == 12

    def test_no_signal_is_blocked_or_ignored_for_commands(self, start):
        service = start()
        service.expect(READY)
        assert int(proc_status(service.process.pid, "SigBlk"), 16) == 0
        inherited = int(proc_status(os.getpid(), "SigIgn"), 16)
        ignored = int(proc_status(service.process.pid, "SigIgn"), 16) & ~inherited
        # Python ignores these two itself, and subprocess restores them for its children.
        assert ignored & ~(1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1) == 0

    def test_inherited_descriptors_are_closed(self, start):
        service = shell_start(start, "exec 3</dev/null 4</dev/null; export LISTEN_FDS=1 LISTEN_PID=1")
        assert service.expect("open:").endswith("open: 0 1 2\n")

    def test_other_processes_of_its_user_cannot_trace_it(self, start):
        service = start()
        assert service.expect("dumpable:").endswith("dumpable: 0\n")

    def test_closed_standard_streams_are_opened(self, start, home):
        service = shell_start(start, "exec <&- >&-")
        service.expect("open: 0 1 2\n")
        service.send(signal.SIGTERM)
        assert service.ended() == 0

    def test_a_closed_stderr_is_no_failure(self, start):
        service = start("--rounds", "3", "-v")
        service.expect(READY)
        service.process.stderr.close()
        service.send(signal.SIGTERM)
        assert service.process.wait() == 0

    def test_wrong_settings_are_reported_before_anything_is_changed(self, start, home):
        service = start("--workers", "0", "--pid-file", "pid")
        assert service.ended() == 2
        assert service.said == ["kala: --workers: must be a whole number between 1 and 10000, not '0'\n"]
        assert not (home / "pid").exists()

    def test_a_second_kala_with_the_same_pid_file_is_refused(self, start, home):
        service = start("--pid-file", "pid")
        service.expect(READY)
        second = start("--pid-file", "pid")
        assert second.ended() == 5
        assert f"pid_file: {home}/pid is locked by process {service.process.pid}" in second.said[-1]


class TestDetached:
    @pytest.fixture
    def background(self, start, home):
        """Start a service in the background; kill it after the test if it still runs."""
        yield lambda *arguments: start("--daemon", "--pid-file", "pid", "--data-dir", "data", *arguments)
        with suppress(FileNotFoundError, ProcessLookupError):
            end(home, signal.SIGKILL)

    def test_the_parent_process_returns_when_requests_are_answered(self, background, home):
        starter = background("--log-file", "log")
        assert starter.ended() == 0
        assert READY in (home / "log").read_text()
        assert starter.process.pid != pid_in(home) == os.getsid(pid_in(home))

    def test_without_a_log_file_the_parent_process_shows_the_start(self, background):
        starter = background()
        assert starter.ended() == 0
        assert any(READY in line for line in starter.said)

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root may read /proc/PID of Kala")
    def test_it_runs_in_the_home_directory_without_a_terminal(self, background, home):
        assert background().ended() == 0
        process = Path(f"/proc/{pid_in(home)}")
        assert (process / "cwd").readlink() == home
        assert {str((process / "fd" / fd).readlink()) for fd in "012"} == {"/dev/null"}

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root may read /proc/PID of Kala")
    def test_without_a_home_directory_it_runs_in_the_root_directory(self, start, home):
        arguments = ("--daemon", "--pid-file", "pid", "--data-dir", "data")
        assert start(*arguments, HOME="/nonexistent").ended() == 0
        assert Path(f"/proc/{pid_in(home)}/cwd").readlink() == Path("/")
        end(home, signal.SIGTERM)

    def test_the_pid_file_and_the_log_may_be_in_a_data_directory_that_does_not_exist_yet(self, start, home):
        assert start("--daemon", "--pid-file", "d/pid", "--data-dir", "d", "--log-file", "d/log").ended() == 0
        (home / "d/pid").rename(home / "pid")
        end(home, signal.SIGTERM)

    def test_relative_paths_mean_the_same_at_a_reload(self, background, home):
        assert background("--log-file", "log", "--config", "kala.toml").ended() == 0
        os.kill(pid_in(home), signal.SIGHUP)
        end(home, signal.SIGTERM)
        log = (home / "log").read_text()
        assert ("settings reloaded; changed: nothing\n" in log, "restart Kala" in log) == (True, False)

    def test_sigterm_stops_it_and_removes_its_pid_file(self, background, home):
        assert background("--log-file", "log").ended() == 0
        end(home, signal.SIGTERM)
        assert "app stop" in (home / "log").read_text()
        assert not (home / "pid").exists()

    def test_a_failed_start_is_reported_with_its_exit_code(self, background, home):
        starter = background("--fault", "conflict")
        assert starter.ended() == 5
        assert starter.said[-1] == "kala: port 8000 is taken; give another with --port\n"
        assert not (home / "pid").exists()

    def test_wrong_settings_start_nothing(self, background):
        starter = background("--workers", "0")
        assert (starter.ended(), len(starter.said)) == (2, 1)

    def test_a_crash_without_a_message_is_reported(self, background):
        starter = background("--fault", "death")
        assert starter.ended() == 1
        assert starter.said[-1] == "kala: Kala was killed by SIGKILL before it was ready\n"

    def test_a_signal_during_the_start_stops_it_once_it_has_started(self, background, home):
        starter = background("--fault", "wait")
        starter.expect("app start")
        with ending(home):
            os.kill(pid_in(home), signal.SIGTERM)
            (home / "go").touch()
        assert starter.ended() == 0

    def test_ctrl_c_during_the_start_also_stops_the_background_process(self, background, home):
        starter = background("--fault", "wait")
        starter.expect("app start")
        starter.send(signal.SIGINT)
        assert starter.ended() == 1
        with ending(home):
            (home / "go").touch()


class TestRestart:
    def test_no_command_inherits_the_variable(self, monkeypatch):
        monkeypatch.setenv("KALA_DETACHED", "1")
        assert detach.is_detached()
        assert not detach.is_detached()

    def test_a_frozen_program_unpacks_itself_again_and_drops_its_library_path(self, monkeypatch):
        monkeypatch.setattr(sys, "frozen", True, raising=False)
        monkeypatch.setattr(sys, "argv", ["kala", "serve", "--daemon"])
        monkeypatch.setenv("LD_LIBRARY_PATH", "/tmp/_MEI1")
        monkeypatch.setenv("LD_LIBRARY_PATH_ORIG", "/opt/lib")
        environ = detach._environment()
        assert detach._same_command() == [sys.executable, "serve", "--daemon"]
        assert (environ["LD_LIBRARY_PATH"], environ["PYINSTALLER_RESET_ENVIRONMENT"]) == ("/opt/lib", "1")
        assert "LD_LIBRARY_PATH_ORIG" not in environ
