"""The life of a run and its records, seen from outside the running process."""

import re
import signal
from datetime import datetime, timedelta

import pytest

FAR = "R/2099-01-01T00:00:00Z/PT1H"
ALIVE = ("queued", "running")
ANY = (*ALIVE, "succeeded", "failed", "timed_out", "cancelled", "lost", "skipped")


@pytest.fixture
def evidence(tmp_path):
    """A file that commands append to, independent of Kala's own records."""
    path = tmp_path / "evidence"
    path.touch()
    return path


def instant(text):
    return datetime.fromisoformat(text)


def ids(runs):
    return [run["id"] for run in runs]


def states(kala, job):
    return [run["state"] for run in kala.runs(job, states=ANY)]


def seconds_until(eventually, text):
    eventually(lambda: instant(text) < datetime.now().astimezone())


# The history


def test_the_history_is_filtered_and_comes_in_pages(kala):
    good, bad = kala.create(schedule=FAR), kala.create(command="exit 3", schedule=FAR, retries=1)
    for number in range(1, 4):
        kala.go(good)
        kala.runs(good, number)
    kala.go(bad)
    kala.runs(bad, 2)
    everything = ids(kala.history())
    assert everything == sorted(everything, reverse=True)
    assert len(everything) == 5
    assert {run["job_id"] for run in kala.history(f"job={good}")} == {good}
    assert ids(kala.get(f"/job/{bad}/runs").body["runs"]) == ids(kala.history("state=failed")) == everything[:2]
    assert ids(kala.history("cause=retry")) == everything[:1]
    assert ids(kala.history("cause=manual&state=failed")) == everything[1:2]
    middle = kala.run(everything[2])["ended_at"].replace("+", "%2B")
    assert ids(kala.history(f"since={middle}")) == everything[:3]
    assert ids(kala.history(f"until={middle}")) == everything[2:]
    paged, query = [], "limit=2"
    while query:
        body = kala.get(f"/run/?{query}").body
        paged.append(ids(body["runs"]))
        query = body["next_before"] and f"limit=2&before={body['next_before']}"
    assert paged == [everything[:2], everything[2:4], everything[4:]]
    for wrong in ("state=odd", "cause=odd", "since=yesterday", "limit=0", "before=x"):
        status, body = kala.get(f"/run/?{wrong}")
        assert status == 400
        assert wrong.partition("=")[0] in body["error"]
    assert kala.get("/job/nobody/runs").status == 404


def test_a_run_has_all_its_facts(serve, soon):
    kala = serve("--pool", "deep=5")
    slot = soon()
    job = kala.create(name="told", command="echo six; exit 7", schedule=f"R/{slot}/PT1H", priority=-3, pool="deep")
    [row] = kala.runs(job, 1)
    run = kala.run(row["id"])
    assert instant(run["slot"]) == instant(slot)
    assert instant(run["slot"]) <= instant(run["queued_at"]) <= instant(run["started_at"]) <= instant(run["ended_at"])
    assert 0 <= run["lateness"] < 5
    assert run["lateness"] == (instant(run["started_at"]) - instant(slot)).total_seconds()
    assert 0 < run["duration"] < 5
    known = ("queued_at", "started_at", "ended_at", "slot", "lateness", "duration")
    assert {name: value for name, value in run.items() if name not in known} == {
        "id": row["id"],
        "job_id": job,
        "job_name": "told",
        "cause": "schedule",
        "cause_run_id": None,
        "state": "failed",
        "waiting_for": None,
        "not_before": None,
        "pool": "deep",
        "priority": -3,
        "attempt": 0,
        "message": "exit status 7",
        "exit_code": 7,
        "signal": None,
        "http_status": None,
        "output_size": 4,
        "output_cut": False,
        "requested_by": None,
    }


def test_deleting_a_run_keeps_the_counts(kala, gate):
    job = kala.create(command=gate.wait, schedule=FAR)
    kala.go(job)
    [running] = kala.runs(job, 1, ("running",))
    assert kala.delete(f"/run/{running['id']}/").status == 409
    gate.open()
    kala.runs(job, 1)
    before = kala.job(job)
    assert before["success_count"] == 1
    assert kala.delete(f"/run/{running['id']}/").status == 204
    assert kala.get(f"/run/{running['id']}/").status == 404
    assert kala.delete(f"/run/{running['id']}/").status == 404
    assert kala.output(running["id"])[0] == 404
    assert kala.job(job) == before | {"stats": None}


# Cancelling


def test_cancelling_a_running_command_ends_its_whole_group(serve, eventually):
    kala = serve("--kill-grace", "0.3")
    mild = kala.create(command="sleep 300 & (sleep 300; true) & sleep 300; true")
    deaf = kala.create(command="trap '' TERM; echo deaf; while :; do sleep 1; done")
    [first] = kala.runs(mild, 1, ("running",))
    [second] = kala.runs(deaf, 1, ("running",))
    eventually(lambda: len(kala.offspring()) >= 6 and kala.output(second["id"])[1])
    for run in (first, second):
        assert kala.post(f"/run/{run['id']}/cancel").status == 204
    assert [kala.runs(job, 1)[0]["signal"] for job in (mild, deaf)] == [signal.SIGTERM, signal.SIGKILL]
    eventually(lambda: not kala.offspring())
    for run in (first, second):
        told = kala.run(run["id"])
        assert told["state"] == "cancelled"
        assert told["message"]
        assert kala.post(f"/run/{run['id']}/cancel").status == 409
    assert [kala.job(job)["error_count"] for job in (mild, deaf)] == [0, 0]


def test_a_queued_run_that_is_cancelled_never_starts(kala, gate, evidence):
    job = kala.create(command=f"{gate.wait}; echo ran >> {evidence}", schedule=FAR)
    for _ in range(3):
        kala.go(job)
    second = kala.runs(job, 3, ANY)[1]
    assert kala.run(second["id"])["waiting_for"] == "job"
    assert kala.post(f"/run/{second['id']}/cancel").status == 204
    assert kala.run(second["id"])["started_at"] is None
    gate.open()
    kala.runs(job, 3)
    assert states(kala, job) == ["succeeded", "cancelled", "succeeded"]
    assert evidence.read_text().split() == ["ran", "ran"]


def test_a_run_that_does_not_exist_cannot_be_cancelled(kala):
    for name in ("4711", "x", "-1", "9" * 40):
        assert kala.post(f"/run/{name}/cancel").status == 404


# Retries


def test_a_run_that_takes_too_long_times_out_and_is_retried(kala):
    job = kala.create(command="sleep 300", timeout="PT0.2S", retries=1)
    runs = [kala.run(run["id"]) for run in kala.runs(job, 2)]
    assert [run["state"] for run in runs] == ["timed_out", "timed_out"]
    assert [(run["cause"], run["attempt"]) for run in runs] == [("creation", 0), ("retry", 1)]
    assert runs[1]["cause_run_id"] == runs[0]["id"]
    assert kala.job(job)["error_count"] == 2
    assert kala.job(job)["metadata"]["number_of_finished_runs"] == 1


def test_a_retry_waits_for_its_delay_also_across_a_restart(kala):
    job = kala.create(command="exit 1", retries=1, retry_delay="PT2S")
    [failed] = kala.runs(job, 1)
    [waiting] = kala.runs(job, 1, ("queued",))
    told = kala.run(waiting["id"])
    assert told["waiting_for"] == "retry"
    assert instant(told["not_before"]) - instant(kala.run(failed["id"])["ended_at"]) >= timedelta(seconds=1.99)
    kala.restart()
    assert len(kala.runs(job)) == 1, "Kala took longer to restart than the test allows for"
    assert kala.run(waiting["id"])["not_before"] == told["not_before"]
    kala.runs(job, 2)
    assert instant(kala.run(waiting["id"])["started_at"]) >= instant(told["not_before"])


def test_only_the_given_exit_codes_are_retried(kala):
    job = kala.create(command='exit "$((KALA_ATTEMPT + 3))"', retries=5, retry_on=[3, 4])
    assert [run["exit_code"] for run in kala.runs(job, 3)] == [3, 4, 5]
    kala.settle()
    assert len(kala.runs(job, states=ANY)) == 3


# Overlap and missed slots


def test_runs_of_one_job_that_overlap_are_skipped_allowed_or_replaced(kala, gate):
    jobs = {rule: kala.create(command=gate.wait, schedule=FAR, overlap=rule) for rule in ("skip", "allow", "replace")}
    for job in jobs.values():
        kala.go(job)
        kala.runs(job, 1, ("running",))
        kala.go(job)
    kala.runs(jobs["replace"], 1, ("cancelled",))
    kala.runs(jobs["allow"], 2, ("running",))
    gate.open()
    for job in jobs.values():
        kala.runs(job, 2)
    assert {rule: states(kala, job) for rule, job in jobs.items()} == {
        "skip": ["succeeded", "skipped"],
        "allow": ["succeeded", "succeeded"],
        "replace": ["cancelled", "succeeded"],
    }
    for rule, number in (("skip", 1), ("replace", 0)):
        assert "run of the job" in kala.runs(jobs[rule])[number]["message"]


def test_slots_missed_while_kala_was_down_run_as_each_job_says(kala, soon, eventually):
    start, late = soon(1.5), soon(1.5 + 2 + 0.3)
    jobs = {rule: kala.create(schedule=f"R2/{start}/PT1S", missed=rule) for rule in ("all", "once", "skip")}
    strict = kala.create(schedule=f"R2/{start}/PT1S", start_deadline="PT0.1S")
    jobs["deadline"] = strict
    kala.stop()
    assert not kala.query("SELECT * FROM run"), "Kala took longer to stop than the test allows for"
    seconds_until(eventually, late)
    kala.start()
    kala.runs(jobs["all"], 3)
    kala.settle()
    # Further runs are for later slots, which can come due meanwhile on a slow machine.
    firsts = {"all": 3, "once": 2, "skip": 1, "deadline": 1}
    ends = {rule: sorted(states(kala, job)[: firsts[rule]]) for rule, job in jobs.items()}
    assert ends["all"] == ["succeeded"] * 3
    assert ends["once"] == ["skipped", "succeeded"]
    assert ends["skip"] == ends["deadline"] == ["skipped"]
    slots = [instant(kala.run(run["id"])["slot"]) for run in kala.runs(jobs["all"])]
    assert slots == [instant(start) + timedelta(seconds=number) for number in range(3)]
    skipped = kala.runs(jobs["skip"])[0]
    assert re.match(f"[3-9] missed slots skipped, from {start}", skipped["message"])
    assert skipped["started_at"] is None


# Dependencies


def test_a_child_of_all_its_parents_waits_for_each_also_across_a_restart(kala):
    parents = [kala.create(name=name, schedule=FAR) for name in ("left", "right")]
    child = kala.create(parent_jobs=["left", "right"], parents_mode="all")
    assert kala.job(child)["parent_jobs"] == parents
    kala.go(parents[0])
    kala.runs(parents[0], 1)
    kala.restart()
    kala.go(parents[0])
    kala.runs(parents[0], 2)
    kala.settle()
    assert not kala.runs(child, states=ANY)
    kala.go(parents[1])
    [run] = kala.runs(child, 1)
    assert run["cause"] == "parent"
    kala.go(parents[1])
    kala.runs(parents[1], 2)
    kala.settle()
    assert len(kala.runs(child, states=ANY)) == 1


def test_the_name_of_a_parent_must_be_that_of_exactly_one_job(kala):
    for _ in range(2):
        kala.create(name="twin", schedule=FAR)
    for name in ("twin", "nobody"):
        status, body = kala.post("/job/", {"name": "child", "command": "true", "parent_jobs": [name]})
        assert status == 400
        assert name in body["error"]


def test_the_graph_shows_which_job_starts_which(kala):
    rescue = kala.create(name="rescue", schedule=FAR, disabled=True)
    parent = kala.create(name='the "first"', schedule=FAR, on_failure_job=rescue)
    child = kala.create(name="child", parent_jobs=[parent])
    graph = kala.get("/graph/").body
    assert [(node["id"], node["name"], node["disabled"]) for node in graph["nodes"]] == [
        (rescue, "rescue", True),
        (parent, 'the "first"', False),
        (child, "child", False),
    ]
    edges = {(edge["from"], edge["to"], edge["kind"]) for edge in graph["edges"]}
    assert edges == {(parent, child, "success"), (parent, rescue, "failure")}
    dot = kala.fetch("/graph/?format=dot")[1].decode()
    assert dot.startswith("digraph kala {\n")
    assert f'"{parent}" [label="the \\"first\\""];' in dot
    assert f'"{parent}" -> "{child}";' in dot
    assert f'"{parent}" -> "{rescue}" [style=dashed];' in dot
    assert kala.get("/graph/?format=svg").status == 400


# What a command sees


def test_a_command_gets_the_environment_and_folder_of_its_job(kala, tmp_path):
    line = 'umask; pwd; echo "$COLOUR"; echo "${BASH_VERSION:+bash}"; wc -c; touch made'
    place = tmp_path / "a place"
    place.mkdir()
    given = {"env": {"COLOUR": "déjà vu"}, "working_directory": str(place), "shell": "/bin/bash", "umask": "027"}
    job = kala.create(command=line, **given)
    [run] = kala.runs(job, 1)
    assert kala.output(run["id"])[1].decode().split("\n") == ["0027", str(place), "déjà vu", "bash", "0", ""]
    assert (place / "made").stat().st_mode & 0o777 == 0o640
    assert {name: kala.job(job)[name] for name in given} == given


def test_a_command_knows_its_run(kala, soon):
    slot = soon()
    parent = kala.create(name="the parent", command="env", schedule=f"R0/{slot}/PT1H")
    child = kala.create(name="the child", command="env; exit 1", parent_jobs=[parent], retries=1)
    runs = [*kala.runs(child, 2), *kala.runs(parent)]
    told = []
    for run in runs:
        lines = kala.output(run["id"])[1].decode().splitlines()
        told.append(dict(line.split("=", 1) for line in lines if line.startswith("KALA_")))
    first, second, above = ids(runs)
    common = {"KALA_JOB_ID": child, "KALA_JOB_NAME": "the child", "KALA_SLOT": ""}
    assert told == [
        common
        | {"KALA_RUN_ID": f"{first}", "KALA_ATTEMPT": "0", "KALA_CAUSE": "parent", "KALA_PARENT_RUN_ID": f"{above}"},
        common
        | {"KALA_RUN_ID": f"{second}", "KALA_ATTEMPT": "1", "KALA_CAUSE": "retry", "KALA_PARENT_RUN_ID": f"{first}"},
        {
            "KALA_JOB_ID": parent,
            "KALA_JOB_NAME": "the parent",
            "KALA_RUN_ID": f"{above}",
            "KALA_ATTEMPT": "0",
            "KALA_SLOT": slot,
            "KALA_CAUSE": "schedule",
            "KALA_PARENT_RUN_ID": "",
        },
    ]


# Pools


def test_a_pool_never_runs_more_than_its_size_and_the_most_urgent_first(serve, gate, evidence, tmp_path):
    kala = serve("--pool", "web=1,wide=100")
    inside = tmp_path / "inside"
    alone = f"mkdir {inside} || echo crowded >> {evidence}"
    line = f"{alone}; {gate.wait}; echo $KALA_JOB_NAME >> {evidence}; rmdir {inside}"
    first = kala.create(name="first", command=line, pool="web")
    kala.runs(first, 1, ("running",))
    names = {"low": -5, "usual": 0, "high": 5}
    jobs = [kala.create(name=name, command=line, pool="web", priority=priority) for name, priority in names.items()]
    other = kala.create(pool="wide")
    kala.runs(other, 1)
    waiting = [kala.runs(job, 1, ALIVE)[0]["id"] for job in jobs]
    assert [kala.run(run)["waiting_for"] for run in waiting] == ["pool"] * 3
    gate.open()
    for job in jobs:
        kala.runs(job, 1)
    assert evidence.read_text().split() == ["first", "high", "usual", "low"]


def test_a_run_says_that_it_waits_for_a_worker(serve, gate):
    kala = serve("--workers", "1")
    kala.runs(kala.create(command=gate.wait), 1, ("running",))
    job = kala.create()
    [run] = kala.runs(job, 1, ALIVE)
    assert kala.run(run["id"])["waiting_for"] == "worker"
    gate.open()
    kala.runs(job, 1)


def test_a_pool_that_is_made_larger_lets_waiting_runs_start(make, gate):
    kala = make()
    kala.config.write_text("pools = { web = 1 }\n")
    kala.start()
    jobs = [kala.create(command=gate.wait, pool="web") for _ in range(4)]
    kala.runs(jobs[0], 1, ("running",))
    kala.settle()
    assert [kala.runs(job, 1, ALIVE)[0]["state"] for job in jobs] == ["running", "queued", "queued", "queued"]
    kala.config.write_text("pools = { web = 3 }\n")
    kala.send(signal.SIGHUP)
    for job in jobs[:3]:
        kala.runs(job, 1, ("running",))
    kala.settle()
    assert states(kala, jobs[3]) == ["queued"]
    gate.open()
    for job in jobs:
        kala.runs(job, 1)


# A preview


def test_a_preview_gives_slots_or_the_sentence_that_a_job_would_get_and_stores_nothing(kala):
    status, body = kala.post("/schedule/preview/", {"schedule": "R/2099-01-31T00:00:00Z/PT12H", "count": 3})
    assert status == 200
    assert body["slots"] == ["2099-01-31T00:00:00Z", "2099-01-31T12:00:00Z", "2099-02-01T00:00:00Z"]
    assert len(kala.post("/schedule/preview/", {"schedule": "R1/2099-01-31T00:00:00Z/PT12H"}).body["slots"]) == 2
    wrong = {"schedule": "every Tuesday"}
    answers = [kala.post("/schedule/preview/", wrong), kala.post("/job/", {"name": "a", "command": "true"} | wrong)]
    assert answers[0] == answers[1]
    assert answers[0].status == 400
    assert "every Tuesday" in answers[0].body["error"]
    assert kala.get("/job/").body["jobs"] == {}
    assert kala.history() == []
    assert list((kala.data / "output").iterdir()) == []
