"""Bugs of the first Kala, the program in Go. Each test would find one in the running process."""

import re
import signal
import sqlite3
import time
from contextlib import closing
from datetime import datetime, timedelta

import pytest

FAR = "R/2099-01-01T00:00:00Z/PT1H"
SECOND = 1_000_000
STARTED = ("running", "succeeded", "failed", "cancelled", "lost")


@pytest.fixture
def evidence(tmp_path):
    """A file that commands append to, independent of Kala's own records."""
    path = tmp_path / "evidence"
    path.touch()
    return path


def microseconds(text):
    return round(datetime.fromisoformat(text).timestamp() * SECOND)


def say(word, evidence):
    return f"echo {word} >> {evidence}"


# A restart


def test_a_restart_keeps_a_job_without_a_schedule_and_does_not_run_it_again(kala, evidence):
    job = kala.create(name="once", command=say("once", evidence))
    kala.runs(job, 1)
    kala.restart()
    kala.settle()
    assert kala.job(job)["name"] == "once"
    assert kala.job(job)["success_count"] == 1
    assert evidence.read_text() == "once\n"


def test_a_restart_keeps_the_chain_of_dependencies(kala, evidence):
    first = kala.create(command=say("first", evidence), schedule=FAR)
    second = kala.create(command=say("second", evidence), parent_jobs=[first])
    third = kala.create(command=say("third", evidence), parent_jobs=[second])
    kala.restart()
    kala.post(f"/job/start/{first}/")
    kala.runs(third, 1)
    assert evidence.read_text().split() == ["first", "second", "third"]
    assert kala.job(first)["dependent_jobs"] == [second]
    assert kala.job(third)["parent_jobs"] == [second]


def test_a_job_disabled_across_a_restart_runs_when_it_is_enabled(kala, soon):
    job = kala.create(schedule=f"R/{soon()}/PT1S")
    kala.post(f"/job/disable/{job}/")
    kala.restart()
    kala.settle()
    assert not kala.runs(job)
    kala.post(f"/job/enable/{job}/")
    assert kala.runs(job, 2)


def test_a_job_created_disabled_without_a_schedule_runs_when_enabled_after_a_restart(kala):
    job = kala.create(disabled=True)
    kala.restart()
    kala.settle()
    assert not kala.runs(job)
    kala.post(f"/job/enable/{job}/")
    [run] = kala.runs(job, 1)
    assert run["cause"] == "creation"


def test_a_slot_missed_while_kala_was_down_runs_once_on_start(kala, soon, eventually):
    missed = soon(1.5)
    job = kala.create(schedule=f"R/{missed}/PT1H")
    kala.stop()
    assert not kala.runs(job), "Kala took longer to stop than the test allows for"
    eventually(lambda: datetime.fromisoformat(missed) < datetime.now().astimezone())
    kala.start()
    [run] = kala.runs(job, 1)
    kala.settle()
    assert len(kala.runs(job)) == 1
    assert run["cause"] == "schedule"
    assert run["slot"] == microseconds(missed)


def test_many_slots_missed_while_kala_was_down_make_one_run(kala, soon, eventually):
    start = soon()
    job = kala.create(schedule=f"R/{start}/PT1S")
    kala.runs(job, 1)
    kala.stop()
    before = len(kala.runs(job))
    three_later = datetime.fromisoformat(start) + timedelta(seconds=before + 3)
    eventually(lambda: three_later < datetime.now().astimezone())
    started = time.time() * SECOND
    kala.start()
    slots = [run["slot"] for run in kala.runs(job, before + 2)[before:]]
    # One run for all missed slots. Kala answers a moment after its start, so the next slot may be before that.
    assert slots[1] > started - SECOND
    assert slots[0] > started - 2 * SECOND
    assert slots == sorted(set(slots))


def test_a_job_with_resume_ignores_slots_missed_while_kala_was_down(kala, soon, eventually):
    missed = soon(1.5)
    job = kala.create(schedule=f"R/{missed}/PT1H", resume_at_next_scheduled_time=True)
    kala.stop()
    assert not kala.runs(job), "Kala took longer to stop than the test allows for"
    eventually(lambda: datetime.fromisoformat(missed) < datetime.now().astimezone())
    kala.start()
    kala.settle()
    assert [run["state"] for run in kala.runs(job)] == ["skipped"]
    following = datetime.fromisoformat(missed) + timedelta(hours=1)
    assert datetime.fromisoformat(kala.job(job)["next_run_at"]) == following


# Repeats


def test_a_manual_start_uses_up_no_repeat_and_moves_no_slot(kala, soon, eventually):
    start = soon()
    job = kala.create(schedule=f"R2/{start}/PT1S")
    for _ in range(3):
        assert kala.post(f"/job/start/{job}/").status == 204
    eventually(lambda: kala.job(job)["is_done"])
    runs = kala.runs(job)
    slots = [run["slot"] for run in runs if run["cause"] == "schedule"]
    assert slots == [microseconds(start) + number * SECOND for number in range(3)]
    assert [run["cause"] for run in runs].count("manual") == 3


def test_deleting_history_changes_no_repeat(kala, soon, evidence, eventually):
    job = kala.create(schedule=f"R3/{soon()}/PT1S", command=say("run", evidence))
    kala.runs(job, 2)
    kala.stop()
    with closing(sqlite3.connect(kala.data / "kala.db")) as database, database:
        assert database.execute("DELETE FROM run WHERE job_id = ?", (job,)).rowcount >= 2
    kala.start()
    eventually(lambda: kala.job(job)["is_done"])
    assert evidence.read_text().split() == ["run"] * 4
    assert kala.job(job)["success_count"] == 4


def test_slots_lie_exactly_on_the_grid(kala, soon):
    start = soon()
    job = kala.create(schedule=f"R/{start}/PT1S", command="sleep 0.2")
    runs = kala.runs(job, 4)
    late = [(run["started_at"] - run["slot"]) / 1000 for run in runs]
    print(f"started {', '.join(f'{milliseconds:.1f}' for milliseconds in late)} ms after the slot")
    assert [run["slot"] - microseconds(start) for run in runs] == [number * SECOND for number in range(len(runs))]
    assert min(late) >= 0


# Starting by hand


def test_a_start_answers_while_the_job_runs(kala):
    job = kala.create(command="sleep 10", schedule=FAR)
    clock = time.monotonic()
    assert kala.post(f"/job/start/{job}/").status == 204
    assert time.monotonic() - clock < 5
    [run] = kala.runs(job, 1, STARTED)
    assert run["state"] == "running"


def test_starting_a_disabled_job_is_refused_and_runs_no_on_failure_job(kala):
    rescue = kala.create(name="rescue", schedule=FAR)
    job = kala.create(name="main", disabled=True, on_failure_job=rescue, schedule=FAR)
    status, body = kala.post(f"/job/start/{job}/")
    kala.settle()
    assert status == 409
    assert "disabled" in body["error"]
    assert not kala.query("SELECT * FROM run WHERE job_id IN (?, ?)", job, rescue)
    assert kala.job(job)["error_count"] == 0


def test_a_run_that_waits_while_its_job_is_disabled_starts_when_it_is_enabled(kala, evidence):
    job = kala.create(command=f"until [ -e {evidence}.go ]; do sleep 0.02; done", schedule=FAR)
    for _ in range(2):
        kala.post(f"/job/start/{job}/")
    kala.runs(job, 1, STARTED)
    kala.post(f"/job/disable/{job}/")
    evidence.with_name("evidence.go").touch()
    kala.runs(job, 1)
    kala.settle()
    assert [run["state"] for run in kala.runs(job, states=("queued", *STARTED))] == ["succeeded", "queued"]
    kala.restart()
    kala.settle()
    assert len(kala.runs(job)) == 1
    kala.post(f"/job/enable/{job}/")
    assert [run["state"] for run in kala.runs(job, 2)] == ["succeeded", "succeeded"]


# Commands


def test_a_command_line_is_interpreted_by_the_shell(kala, tmp_path):
    line = f"printf 'c\\nb\\na\\n' | sort > {tmp_path}/one; echo `echo two` && wc -l < {tmp_path}/one >{tmp_path}/two &"
    job = kala.create(command=f"{line} wait")
    [run] = kala.runs(job, 1)
    assert run["state"] == "succeeded", dict(run)
    assert (tmp_path / "one").read_text() == "a\nb\nc\n"
    assert (tmp_path / "two").read_text().strip() == "3"


def test_a_stop_leaves_no_process_of_a_command_behind(serve, eventually):
    kala = serve("--shutdown-grace", "0.2", "--kill-grace", "0.2")
    family = kala.create(name="family", command="sleep 300 & (sleep 300; true) & sleep 300; true")
    stubborn = kala.create(name="stubborn", command="trap '' TERM; echo deaf; while :; do sleep 1; done")
    eventually(lambda: len(kala.offspring()) >= 6)
    output = kala.data / f"output/live/{kala.runs(stubborn, 1, STARTED)[0]['id']}.out"
    eventually(lambda: output.exists() and output.read_text() == "deaf\n")
    assert kala.stop() == 0
    assert not kala.offspring()
    assert [kala.runs(job)[0]["state"] for job in (family, stubborn)] == ["cancelled", "cancelled"]
    assert kala.runs(family)[0]["signal"] == signal.SIGTERM
    assert kala.runs(stubborn)[0]["signal"] == signal.SIGKILL


# Dependencies


def test_a_cycle_of_dependencies_is_refused(kala):
    first = kala.create(schedule=FAR)
    second = kala.create(parent_jobs=[first])
    third = kala.create(parent_jobs=[second])
    job = {"name": "a job", "command": "/bin/true"}
    for cycle in (
        kala.put(f"/job/{first}/", job | {"parent_jobs": [third]}),
        kala.put(f"/job/{first}/", job | {"parent_jobs": [first]}),
        kala.put(f"/job/{third}/", job | {"parent_jobs": [second], "on_failure_job": first}),
        kala.patch(f"/job/{first}/", {"schedule": "", "parent_jobs": [second]}),
    ):
        assert cycle.status == 400
        assert "the jobs would form a cycle" in cycle.body["error"]
    assert kala.job(first)["parent_jobs"] is None
    kala.post(f"/job/start/{first}/")
    kala.runs(third, 1)
    kala.settle()
    assert [len(kala.runs(one)) for one in (first, second, third)] == [1, 1, 1]


def test_fields_that_belong_to_the_server_are_ignored(kala):
    other = kala.create(schedule=FAR)
    never, past = "0001-01-01T00:00:00Z", "2001-01-01T00:00:00Z"
    given = {
        "id": other,
        "dependent_jobs": [other],
        "is_done": True,
        "next_run_at": past,
        "success_count": 7,
        "error_count": 7,
        "last_success": past,
        "last_error": past,
        "last_attempted_run": past,
        "metadata": {"success_count": 7, "number_of_finished_runs": 7},
        "stats": [{"job_id": other, "ran_at": past, "success": True}],
    }
    made = kala.create(**given, schedule=FAR)
    job = kala.job(made)
    assert made != other
    assert job["id"] == made
    assert job["dependent_jobs"] is None
    assert job["is_done"] is False
    assert job["stats"] is None
    assert job["next_run_at"] == "2099-01-01T00:00:00Z"
    assert job["success_count"] == job["error_count"] == job["metadata"]["number_of_finished_runs"] == 0
    assert job["last_success"] == job["last_error"] == job["last_attempted_run"] == never
    assert kala.job(other)["parent_jobs"] is None


def test_a_child_runs_after_its_parent_and_not_inside_it(kala):
    parent = kala.create(command="sleep 0.2", schedule=FAR)
    child = kala.create(command="sleep 3", parent_jobs=[parent])
    kala.post(f"/job/start/{parent}/")
    [inner] = kala.runs(child, 1, STARTED)
    [outer] = kala.runs(parent)
    assert inner["state"] == "running"
    assert outer["state"] == "succeeded"
    assert outer["ended_at"] <= inner["started_at"]
    assert inner["cause"] == "parent"
    assert inner["cause_run"] == outer["id"]
    [stat] = kala.get(f"/job/stats/{parent}/").body["job_stats"]
    assert stat["execution_duration"] < 3e9


def test_deleting_a_parent_while_its_child_runs_is_harmless(kala, evidence):
    parent = kala.create(schedule=FAR)
    other = kala.create(schedule=FAR)
    wait = f"until [ -e {evidence}.go ]; do sleep 0.02; done; echo $$ >> {evidence}"
    child = kala.create(command=wait, parent_jobs=[parent])
    shared = kala.create(command=wait, parent_jobs=[parent, other])
    kala.post(f"/job/start/{parent}/")
    for job in (child, shared):
        kala.runs(job, 1, STARTED)
    assert kala.delete(f"/job/{parent}/").status == 204
    evidence.with_name("evidence.go").touch()
    assert [kala.runs(job, 1)[0]["state"] for job in (child, shared)] == ["succeeded", "succeeded"]
    assert len(evidence.read_text().split()) == 2
    assert [kala.get(f"/job/{job}/").status for job in (parent, child, shared)] == [404, 404, 200]
    assert kala.job(shared)["parent_jobs"] == [other]
    kala.settle()
    assert not re.search("error|Traceback", kala.log)


def test_deleting_a_parent_while_it_runs_starts_no_child(kala, evidence):
    parent = kala.create(command=f"until [ -e {evidence}.go ]; do sleep 0.02; done", schedule=FAR)
    other = kala.create(schedule=FAR)
    child = kala.create(command=say("child", evidence), parent_jobs=[parent, other])
    kala.post(f"/job/start/{parent}/")
    kala.runs(parent, 1, STARTED)
    kala.delete(f"/job/{parent}/")
    evidence.with_name("evidence.go").touch()
    kala.runs(parent, 1)
    kala.settle()
    assert not kala.runs(child)
    assert not re.search("error|Traceback", kala.log)
