"""The clock is set while Kala runs or is down, or the whole process is suspended: each slot is accounted for."""

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from itertools import pairwise

import pytest
from clock import COMPILER, Clock, library
from process import Kala, api, gate, make, soon, wait

__all__ = ("api", "gate", "library", "make", "soon", "wait")

needs_compiler = pytest.mark.skipif(not COMPILER, reason="the clock that is set is made by a C compiler")
# The time that an event may really take, as the tests may be slow.
IS_PATIENT = "KALA_PATIENT" in os.environ
# The longest time until Kala notices that its clock was set, as documented.
PROMISED = 30.0
FAR = "R/2099-01-01T00:00:00Z/PT1H"
SAID = "echo $KALA_SLOT"


@pytest.fixture
def clock(tmp_path) -> Clock:
    return Clock(tmp_path / "clock")


@pytest.fixture
def serve(make, library, clock, tmp_path) -> Callable[..., Kala]:
    """Starts a Kala with that clock, which it reads at least every `looks` seconds."""

    def serve(looks: float = 0.5) -> Kala:
        environ = clock.environ(library)
        if looks < PROMISED:  # Kala wakes up twice per watchdog interval
            watchdog = {"NOTIFY_SOCKET": str(tmp_path / "nobody"), "WATCHDOG_USEC": str(int(2e6 * looks))}
            environ |= watchdog
        return make(environ=environ).start()

    return serve


def slots(kala: Kala, job: str) -> list[int]:
    """Return the slots of a job's runs, in the order of their starts."""
    return [run["slot"] for run in kala.runs(job, states=("succeeded",))]


def assert_sane(kala: Kala, clock: Clock | None = None, repeating: str = "") -> None:
    """Check that no slot ran twice, except of a `repeating` job, and that each duration is between 0 and the test's.

    Kala's clock is the one given.
    """
    if clock:
        job = kala.create(schedule=FAR)
        [created] = kala.query("SELECT created_at FROM job WHERE id = ?", job)[0]
        assert abs(created / 1e6 - clock.now().timestamp()) < 10
    runs = kala.query("SELECT * FROM run")
    started = [run for run in runs if run["slot"] and run["state"] != "skipped" and run["job_id"] != repeating]
    ran = [(run["job_id"], run["slot"], run["attempt"]) for run in started]
    assert len(set(ran)) == len(ran)
    assert [run["duration"] for run in runs if not 0 <= (run["duration"] or 0) < 200e9] == []
    assert [run["state"] for run in runs if run["state"] not in ("succeeded", "failed", "skipped")] == []
    for run in kala.history():
        assert kala.run(run["id"])["id"] == run["id"]


JUMPS = pytest.mark.parametrize("jump", [timedelta(hours=1), timedelta(days=1)], ids=["an hour", "a day"])


@needs_compiler
@JUMPS
def test_slots_skipped_by_setting_the_clock_forward_follow_the_jobs_missed_setting(serve, clock, eventually, jump):
    kala = serve()
    schedule = f"R/{clock.at(minutes=5)}/PT20M"
    once, skip, every = (
        kala.create(name=missed, command=SAID, missed=missed, missed_limit=100, schedule=schedule)
        for missed in ("once", "skip", "all")
    )
    kala.settle()
    clock.set(jump)
    count = 3 * jump // timedelta(hours=1)
    kala.runs(every, count)
    kala.settle()
    assert [run["state"] for run in kala.runs(once)] == ["skipped", "succeeded"]
    assert [run["state"] for run in kala.runs(skip)] == ["skipped"]
    assert len(slots(kala, every)) == count
    assert f"{count} missed slots skipped, from " in kala.runs(skip)[0]["message"]
    next_due = {kala.query("SELECT next_due FROM job WHERE id = ?", job)[0]["next_due"] for job in (once, skip, every)}
    assert len(next_due) == 1
    assert next_due.pop() > clock.now().timestamp() * 1e6
    assert_sane(kala, clock)


@needs_compiler
@pytest.mark.parametrize(
    "looks", [2.0, pytest.param(PROMISED, marks=pytest.mark.skipif(not IS_PATIENT, reason="30 s"))]
)
def test_a_clock_set_forward_is_noticed_by_an_idle_kala(serve, clock, eventually, looks):
    kala = serve(looks)
    job = kala.create(command=SAID, schedule=f"R0/{clock.at(minutes=30)}")
    kala.settle()
    clock.set(timedelta(hours=1))
    began = time.monotonic()
    eventually(lambda: slots(kala, job), limit=looks + 4)
    assert 0.1 < time.monotonic() - began < looks + 3


@needs_compiler
@JUMPS
def test_after_setting_the_clock_back_jobs_in_elapsed_time_continue_at_once(serve, clock, eventually, jump):
    kala = serve()
    every_second = kala.create(name="every second", command=SAID, schedule=f"R/{clock.at(seconds=0.5)}/PT1S")
    eventually(lambda: slots(kala, every_second))
    clock.set(-jump)
    # The START of this job is in the future again, so the job waits for it. A job whose START has passed continues.
    repeated = kala.create(name="repeated", command=SAID, schedule=f"R/{clock.at(seconds=0.5)}/PT1S")
    eventually(lambda: len(slots(kala, repeated)) >= 2)
    clock.set(timedelta(minutes=10))
    eventually(lambda: slots(kala, repeated)[-1] > clock.now().timestamp() * 1e6 - 5e6)
    clock.set(timedelta(minutes=-9))
    eventually(lambda: slots(kala, repeated)[-1] < clock.now().timestamp() * 1e6 + 5e6)
    assert kala.log.count("the clock was set back by") == 2
    kala.patch(f"/job/{repeated}/", {"disabled": True})
    kala.settle()
    assert_sane(kala, clock, repeated)


@needs_compiler
def test_a_time_of_day_does_not_run_again_when_the_clock_is_set_back(serve, clock, eventually):
    kala = serve()
    daily = kala.create(name="daily", command=SAID, schedule=f"R/{clock.at(seconds=0.5)}/P1D")
    eventually(lambda: slots(kala, daily))
    for minutes in (-10, 10):
        clock.set(timedelta(minutes=minutes))
        kala.settle()
    assert len(slots(kala, daily)) == 1
    assert_sane(kala, clock)


@needs_compiler
@pytest.mark.parametrize("is_down", [True, False], ids=["while it is down", "while it runs"])
def test_no_job_pauses_for_a_year_after_a_boot_with_a_clock_a_year_ahead(serve, clock, eventually, is_down):
    year = timedelta(days=365)
    kala = serve()
    every_second = kala.create(name="every second", command=SAID, schedule=f"R/{clock.at(seconds=0.5)}/PT1S")
    eventually(lambda: slots(kala, every_second))
    kala.stop()
    clock.set(year)
    kala.start()
    ahead = clock.now().timestamp() * 1e6 - 60e6
    eventually(lambda: slots(kala, every_second)[-1] > ahead)
    if is_down:
        kala.stop()
    clock.set(-year)
    if is_down:
        kala.start()
    eventually(lambda: slots(kala, every_second)[-1] < ahead)
    assert "the clock was set back by 365 days" in kala.log or "the clock was set back by 364 days" in kala.log
    assert_sane(kala, clock)


@needs_compiler
@JUMPS
@pytest.mark.parametrize("direction", [-1, 1], ids=["back", "forward"])
def test_the_duration_of_a_run_does_not_depend_on_the_clock(serve, clock, gate, jump, direction):
    kala = serve()
    job = kala.create(command=f"{gate.wait}; echo end", timeout="PT20S")
    kala.runs(job, 1, ("running",))
    clock.set(direction * jump)
    kala.settle()
    gate.open()
    [run] = kala.runs(job, 1)
    assert (run["state"], kala.output(run["id"])[1]) == ("succeeded", b"end\n")
    assert abs(run["ended_at"] / 1e6 - clock.now().timestamp()) < 10
    assert_sane(kala, clock)


@needs_compiler
def test_a_retry_waits_no_longer_after_the_clock_was_set_back(serve, clock, eventually):
    kala = serve()
    job = kala.create(command="exit 1", retries=1, retry_delay="PT2S")
    kala.runs(job, 1)
    clock.set(timedelta(hours=-1))
    assert [run["attempt"] for run in kala.runs(job, 2)] == [0, 1]
    assert_sane(kala, clock)


@needs_compiler
def test_setting_the_clock_does_not_affect_clients_and_connections(serve, clock, api):
    kala = serve()
    with closing(api(kala.address)) as client:
        for hours in (1, -2, 24, -48):
            assert client.get("/stats/").status == 200
            clock.set(timedelta(hours=hours))
            assert client.get("/stats/").status == 200
            assert kala.create(schedule=FAR)


def test_after_a_suspension_missed_slots_run_once_and_ended_runs_are_recorded(make, soon, eventually):
    stillness = 65.0 if IS_PATIENT else 3.0
    kala = make().start()
    every_second = kala.create(name="every second", command=SAID, schedule=f"R/{soon(0.5)}/PT1S")
    ends = kala.create(name="ends meanwhile", command="sleep 1; echo end")
    kala.runs(ends, 1, ("running",))
    eventually(lambda: slots(kala, every_second))
    ran = len(slots(kala, every_second))
    kala.send(signal.SIGSTOP)
    time.sleep(stillness - 1)
    with ThreadPoolExecutor() as clients:
        answers = [clients.submit(kala.create, schedule=FAR) for _ in range(3)]
        time.sleep(1)
        assert not any(answer.done() for answer in answers)
        kala.send(signal.SIGCONT)
        assert all(kala.job(answer.result()) for answer in answers)
    [run] = kala.runs(ends, 1)
    assert (run["state"], kala.output(run["id"])[1]) == ("succeeded", b"end\n")
    eventually(lambda: len(slots(kala, every_second)) >= ran + 2)
    kala.patch(f"/job/{every_second}/", {"disabled": True})
    kala.settle()
    assert_sane(kala)
    gaps = [later - sooner for sooner, later in pairwise(slots(kala, every_second))]
    assert max(gaps) / 1e6 >= stillness - 1.5  # not all slots in between were run
