"""Commands that cannot be started: the watchdog of the service manager gets no beat."""

import fcntl
import os
import signal
import time

import pytest
from scene import WATCHDOG


@pytest.fixture
def stuck(tmp_path):
    """A program whose execve(2) blocks until `release` is called, because the file has a lease (fcntl(2)).

    A disk that does not respond has the same effect, but a lease can be released and needs no privileges.
    """
    program = tmp_path / "stuck"
    program.write_text("#!/bin/sh\necho started\n")
    program.chmod(0o755)
    lease = os.open(program, os.O_RDONLY)
    # The kernel sends this signal to the lease holder when the file is opened; it is ignored by default.
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


def test_the_watchdog_gets_no_beat_while_no_command_can_start(make, systemd, stuck, eventually):
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
def test_programs_that_cannot_be_started_delay_no_other_job(under_attack, stuck, count):
    jobs = []

    def start(kala):
        jobs.extend(kala.create(name=f"stuck {number}", command=str(stuck.path)) for number in range(count))

    with under_attack(before=start) as scene:
        scene.wait_until(3)
        stuck.release()
        for job in jobs:
            assert scene.kala.runs(job, 1)[0]["state"] == "succeeded"
