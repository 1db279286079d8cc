import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from kala.core.errors import Invalid, KalaError
from kala.service.reload import ReloadReport, reload_and_wait

READY = "answers on http://127.0.0.1:8000"


@pytest.fixture
def environ(home):
    """What systemd sets for the service; only ExecReload= has MAINPID."""
    return {"RUNTIME_DIRECTORY": str(home)}


@pytest.fixture
def service(start, environ):
    service = start(**environ)
    service.expect(READY)
    return service


@contextmanager
def process_that(handler):
    """Start a process with this handler for SIGHUP, whatever disposition it inherits (from nohup, for example)."""
    code = f"import signal; signal.signal(signal.SIGHUP, signal.{handler}); print(flush=True); input()"
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], **streams) as process:
        process.stdout.readline()
        yield process
        process.kill()


def reload_of(pid, environ, *limit):
    reload_and_wait(environ | {"MAINPID": str(pid)}, *limit)


def kala_reload(environ, **more):
    command = [sys.executable, "-m", "kala", "reload"]
    done = subprocess.run(
        command, env=os.environ | environ | more, capture_output=True, text=True, timeout=30, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_it_returns_when_the_new_settings_are_in_effect(service, home, environ):
    for owner in ("a@example.org", "b@example.org"):
        (home / "kala.toml").write_text(f'default_owner = "{owner}"')
        reload_of(service.process.pid, environ)
        assert owner in service.expect("app reload")


def test_a_wrong_setting_is_reported_with_exit_code_2_and_the_old_settings_stay(service, home, environ):
    (home / "kala.toml").write_text("prot = 1")
    assert kala_reload(environ, MAINPID=str(service.process.pid)) == (
        2,
        f"kala: keeping the current settings: {home}/kala.toml: unknown key 'prot'; did you mean port?\n",
    )
    service.send(signal.SIGTERM)
    assert service.ended() == 0
    assert not [line for line in service.said if "app reload" in line]


def test_the_error_of_an_earlier_reload_is_not_reported_again(service, home, environ):
    (home / "kala.toml").write_text("prot = 1")
    with pytest.raises(Invalid):
        reload_of(service.process.pid, environ)
    (home / "kala.toml").write_text("port = 8000")
    reload_of(service.process.pid, environ)


def test_ten_reloads_at_once_all_return(service, environ):
    threads = [threading.Thread(target=reload_of, args=(service.process.pid, environ), daemon=True) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not [thread for thread in threads if thread.is_alive()]


@pytest.mark.parametrize(
    ("given", "missing"),
    [({"MAINPID": "", "RUNTIME_DIRECTORY": "/run/kala"}, "MAINPID"), ({"MAINPID": "1"}, "RUNTIME_DIRECTORY")],
)
def test_without_systemd_it_says_what_is_missing(given, missing):
    assert kala_reload({"RUNTIME_DIRECTORY": ""} | given) == (
        1,
        f"kala: {missing} is not set; use systemctl reload kala, or send SIGHUP and check the log\n",
    )


def test_a_missing_process_is_reported(environ):
    with subprocess.Popen(["true"]) as process:
        pass
    with pytest.raises(KalaError, match=f"there is no process {process.pid} to reload"):
        reload_of(process.pid, environ)


def test_a_process_that_exits_instead_is_reported_at_once(environ):
    with (
        process_that("SIG_DFL") as process,
        pytest.raises(KalaError, match=f"process {process.pid} exited before it reloaded its settings"),
    ):
        reload_of(process.pid, environ)


def test_a_process_that_never_reloads_is_a_timeout(environ, home):
    ReloadReport(environ).write(time.monotonic_ns(), "")  # of an earlier reload
    with (
        process_that("SIG_IGN") as deaf,
        pytest.raises(KalaError, match=r"did not reload its settings within 0\.1 s"),
    ):
        reload_of(deaf.pid, environ, 0.1)


def test_a_reload_whose_result_cannot_be_written_still_happens(start, home):
    service = start(RUNTIME_DIRECTORY=str(home / "gone"))
    service.expect(READY)
    service.send(signal.SIGHUP)
    service.expect("app reload")
    service.expect("cannot report the result of the reload: ")
    service.send(signal.SIGTERM)
    assert service.ended() == 0


def test_the_result_is_written_atomically(environ, home):
    report = ReloadReport(environ)
    report.write(1, "")
    with (home / "reload.json").open() as reader:
        report.write(2, "a sentence")
        assert json.load(reader) == {"began": 1, "error": ""}
    assert json.loads((home / "reload.json").read_text()) == {"began": 2, "error": "a sentence"}
