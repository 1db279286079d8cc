"""Commands that cannot be started: the service manager is not told that all is well."""

import fcntl
import os
import signal
import time

import pytest
from scene import WATCHDOG


@pytest.fixture
def stuck(tmp_path):
    """A program that whoever starts it waits for, until `release` is called: opening a leased file waits (fcntl(2)).

    So does a disk that does not answer, but this one comes back, and needs no rights.
    """
    program = tmp_path / "stuck"
    program.write_text("#!/bin/sh\necho started\n")
    program.chmod(0o755)
    lease = os.open(program, os.O_RDONLY)
    # The signal that the kernel sends when somebody waits; its default is to be ignored.
    fcntl.fcntl(lease, fcntl.F_SETSIG, signal.SIGURG)
    try:
        fcntl.fcntl(lease, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    except OSError as error:
        os.close(lease)
        pytest.skip(f"this file system has no leases: {error}")

    class Stuck:
        path = program

        @staticmethod
        def release() -> None:
            fcntl.fcntl(lease, fcntl.F_SETLEASE, fcntl.F_UNLCK)

    yield Stuck
    os.close(lease)


def test_systemd_hears_nothing_while_no_command_can_start(make, systemd, stuck, eventually):
    kala = make("--workers", "8", environ=systemd.environ).start()
    begun = time.monotonic()
    jobs = [kala.create(name=f"stuck {number}", command=str(stuck.path)) for number in range(8)]
    later = kala.create(name="later")
    eventually(lambda: systemd.longest_silence(begun, time.monotonic()) > WATCHDOG, limit=40)
    assert kala.get("/stats/").status == 200
    assert not kala.runs(later)
    stuck.release()
    for job in [*jobs, later]:
        assert kala.runs(job, 1)[0]["state"] == "succeeded"
    begun = time.monotonic()
    time.sleep(WATCHDOG)
    assert systemd.longest_silence(begun, time.monotonic()) < WATCHDOG


@pytest.mark.parametrize("count", [1, 8])
def test_programs_that_cannot_be_started_hold_up_nobody(under_attack, stuck, count):
    jobs = []

    def start(kala):
        jobs.extend(kala.create(name=f"stuck {number}", command=str(stuck.path)) for number in range(count))

    with under_attack(before=start) as scene:
        scene.lasts(3)
        stuck.release()
        for job in jobs:
            assert scene.kala.runs(job, 1)[0]["state"] == "succeeded"
