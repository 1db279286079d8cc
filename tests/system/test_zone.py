"""The server's zone changes: at the next start, after a restore on another machine, or while Kala runs."""

import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

HOUR = timedelta(hours=1)
ZONES = Path("/usr/share/zoneinfo/Etc")


def in_an_hour(seconds: float) -> str:
    """A START without offset: in UTC it is an hour and some seconds ahead, an hour to the east only the seconds."""
    return (datetime.now(UTC) + HOUR + timedelta(seconds=seconds)).replace(tzinfo=None).isoformat()


def instant(start: str) -> str:
    return f"{datetime.fromisoformat(start).replace(tzinfo=UTC) - HOUR:%Y-%m-%dT%H:%M:%S.%fZ}"


@pytest.mark.parametrize("schedule", ["R0/{}", "R/{}/P1D"])
def test_a_job_runs_at_its_time_of_day_in_the_zone_of_the_next_start(make, schedule):
    kala = make(environ={"TZ": "UTC"}).start()
    start = in_an_hour(6)
    job = kala.create(schedule=schedule.format(start), missed="all")
    kala.stop()
    kala.environ["TZ"] = "Etc/GMT-1"
    kala.start()
    assert kala.job(job)["next_run_at"] == instant(start)
    assert "the server's time zone, now Etc/GMT-1, or its rules have changed" in kala.log
    [run] = kala.runs(job, 1)
    assert run["state"] == "succeeded"


def test_a_backup_that_is_restored_on_a_machine_in_another_zone_follows_that_zone(make, tmp_path):
    kala = make(environ={"TZ": "UTC"}).start()
    start = in_an_hour(600)
    job = kala.create(schedule=f"R/{start}/P1D")
    assert kala.tell("backup", str(tmp_path / "backup"), "--data-dir", str(kala.data)).returncode == 0
    kala.stop()
    (tmp_path / "other").mkdir()
    other = make(home=tmp_path / "other", environ={"TZ": "Etc/GMT-1"})
    restored = other.tell("restore", str(tmp_path / "backup"), "--data-dir", str(other.data))
    assert restored.returncode == 0, restored.stderr
    other.start()
    assert other.job(job)["next_run_at"] == instant(start)


@pytest.mark.parametrize("is_link", [True, False], ids=["a link", "a file"])
def test_a_reload_reads_a_zone_file_that_was_replaced(make, tmp_path, eventually, is_link):
    localtime = tmp_path / "localtime"

    def lead_to(zone: str) -> None:
        new = tmp_path / "new"
        if is_link:
            new.symlink_to(ZONES / zone)
        else:
            new.write_bytes((ZONES / zone).read_bytes())
        new.replace(localtime)

    lead_to("UTC")
    kala = make(environ={"TZ": f":{localtime}"}).start()
    start = in_an_hour(600)
    job = kala.create(schedule=f"R/{start}/P1D")
    lead_to("GMT-1")
    kala.send(signal.SIGHUP)
    eventually(lambda: kala.job(job)["next_run_at"] == instant(start))
    _, preview = kala.post("/schedule/preview/", {"schedule": f"R/{start}/P1D", "count": 1})
    assert preview["slots"] == [instant(start)]


@pytest.mark.skipif("KALA_PATIENT" not in os.environ, reason="30 s")
def test_a_zone_file_that_was_replaced_is_noticed_within_half_a_minute(make, tmp_path, eventually):
    localtime = tmp_path / "localtime"
    localtime.symlink_to(ZONES / "UTC")
    kala = make(environ={"TZ": f":{localtime}"}).start()
    start = in_an_hour(600)
    job = kala.create(schedule=f"R/{start}/P1D")
    (tmp_path / "new").symlink_to(ZONES / "GMT-1")
    (tmp_path / "new").replace(localtime)
    eventually(lambda: kala.job(job)["next_run_at"] == instant(start), limit=65)
