"""The page of a run, by HTTP and without scripts."""

import re

import pytest
from pages import WAITS, again, html, log, start, text


def test_a_run_shows_its_output(api):
    run = start(api, command="echo '<b>one</b>'; echo; echo three")
    page = html(api, f"/runs/{run['id']}")
    assert log(page) == "<b>one</b>\n\nthree\n"
    assert "<b>" not in page


def test_the_output_begins_with_its_empty_lines(api):
    run = start(api, command="echo; echo; echo three")
    assert log(html(api, f"/runs/{run['id']}")) == "\n\nthree\n"


def test_a_run_shows_how_it_ended_and_links_its_job(api):
    run = start(api, name="Import <i>", command="exit 3")
    page = html(api, f"/runs/{run['id']}")
    words = text(page)
    assert f"Run {run['id']} failed – Import <i> – Kala" in words
    assert "Exit status 3; it is not retried, as its job has no retries." in words
    assert "Exit status 3" in words
    assert "Cause started by hand" in words
    assert f'href="/jobs/{run["job_id"]}"' in page


def test_a_killed_run_shows_its_signal(api):
    run = start(api, command="kill -9 $$")
    assert "Signal 9" in text(html(api, f"/runs/{run['id']}"))


def test_a_long_output_is_shown_from_its_end(api):
    run = start(api, command="seq 1 3000")
    page = html(api, f"/runs/{run['id']}")
    assert log(page).splitlines() == [str(number) for number in range(1001, 3001)]
    assert "The last lines of the output." in page
    whole = html(api, re.search(r'href="([^"]*tail=all)"', page)[1])
    assert log(whole).splitlines() == [str(number) for number in range(1, 3001)]
    assert "last lines" not in whole


def test_a_huge_line_does_not_make_a_huge_page(api):
    run = start(api, command="echo begin; head -c 900000 /dev/zero | tr '\\0' x; echo; echo end")
    page = html(api, f"/runs/{run['id']}")
    assert len(page) < 600_000
    assert log(page) == "end\n"


def test_a_download_has_a_name(api):
    run = start(api, name="Größe / of a\\b")
    page = html(api, f"/runs/{run['id']}")
    assert f'download="Größe-of-a-b-{run["id"]}.txt" href="/api/v1/run/{run["id"]}/output/"' in page


def test_a_run_without_output_says_so(api):
    run = start(api, command="true")
    page = html(api, f"/runs/{run['id']}")
    assert "Printed nothing" in text(page)
    assert re.search(r'<pre role="log"[^>]* hidden>', page)


def test_a_running_run_shows_what_it_has_printed(api, tmp_path):
    run = start(api, command=f"echo begun; {WAITS.format(tmp_path / 'go')}", is_awaited=False)
    api.await_run(run["id"], "running")
    page = api.await_page(f"/runs/{run['id']}", "begun")
    assert log(page) == "begun\n"
    assert ">Cancel run<" in page
    assert ">Retry<" not in page
    (tmp_path / "go").touch()


def test_a_queued_run_says_what_it_waits_for_and_links_it(api, tmp_path):
    with api.configured(pools={"disk": 1}):
        command = WAITS.format(tmp_path / "go")
        first = start(api, name="first", command=command, pool="disk", is_awaited=False)
        api.await_run(first["id"], "running")
        second = start(api, name="second", command=command, pool="disk", is_awaited=False)
        page = html(api, f"/runs/{second['id']}")
        assert f"Waits for room in pool disk , which has room for 1 run: run {first['id']} ." in text(page)
        assert f'href="/runs/{first["id"]}"' in page
        assert "Waits for its start" in text(page)
        (tmp_path / "go").touch()


def test_a_retry_says_when_and_which_of_how_many_attempts_it_is(api):
    run = start(api, command="exit 1", retries=2, retry_delay="PT1H")
    page = html(api, f"/runs/{run['id'] + 1}")
    assert re.search(rf"Waits until .* to retry run {run['id']} \.", text(page))
    assert f"Attempt 2 of 3: run {run['id']} failed , run {run['id'] + 1} queued" in text(page)
    assert "not yet tries again in 60 min" in text(page)
    assert api.submit(f"/runs/{run['id'] + 1}/cancel").status == 303


def test_a_run_that_is_held_links_its_job(api, tmp_path):
    first = start(api, name="held", command=WAITS.format(tmp_path / "go"), is_awaited=False)
    second = again(api, first["job_id"], is_awaited=False)
    api.ask("POST", f"/api/v1/job/disable/{first['job_id']}/")
    page = api.await_page(f"/runs/{second['id']}", "is enabled")
    assert "Waits until its job held is enabled." in text(page)
    assert f'<a href="/jobs/{first["job_id"]}">job held</a>' in page
    (tmp_path / "go").touch()


def test_a_run_of_a_slot_says_how_late_it_started(api):
    job_id = api.create_soon()
    api.await_job(job_id, success_count=1)
    run = api.ask("GET", f"/api/v1/run/?job={job_id}").json["runs"][0]
    words = text(html(api, f"/runs/{run['id']}"))
    assert re.search(r"Due \S+ \S+ \S+ Queued", words)
    assert re.search(r"Started \S+ \S+ \S+ \d+(\.\d+)? m?s late Ended", words)


def test_the_chain_leads_up_and_down(api):
    job_id = api.create(name="parent", schedule="manual", command="exit 1", retries=1)
    alarm = api.create(name="alarm", schedule="manual", command="true")
    api.ask("PATCH", f"/api/v1/job/{job_id}/", {"on_failure_job": alarm})
    first = again(api, job_id)["id"]
    api.await_run(first + 2, "succeeded")
    page = html(api, f"/runs/{first}")
    words = text(page)
    assert f"Exit status 1; run {first + 1} retries it." in words
    assert f"Attempt 1 of 2: run {first} failed , run {first + 1} failed" in words
    assert f"succeeded run {first + 2} of alarm after the failure of run {first + 1}" in words
    assert words.index("What it led to") < words.index(f"run {first + 2} of alarm")
    last = text(html(api, f"/runs/{first + 2}"))
    assert last.index("What led to it") < last.index(f"failed run {first} of parent") < last.index("Output")
    assert f"Cause after the failure of run {first + 1}" in last


def test_a_cause_that_was_removed_is_named(api):
    run = start(api, command="exit 1")
    retried = int(api.submit(f"/runs/{run['id']}/retry").headers["Location"].rpartition("/")[2])
    api.await_run(retried, "failed")
    assert api.ask("DELETE", f"/api/v1/run/{run['id']}/").status == 204
    words = text(html(api, f"/runs/{retried}"))
    assert f"Cause retried by request: run {run['id']} (removed, as keep_for says)" in words


def test_a_run_outlives_its_job(api):
    run = start(api, name="gone")
    api.ask("DELETE", f"/api/v1/job/{run['job_id']}/")
    page = html(api, f"/runs/{run['id']}")
    assert "gone (deleted)" in text(page)
    assert f'href="/jobs/{run["job_id"]}"' not in page
    assert f'data-events="run={run["id"]}"' in page


def test_cancel_ends_a_run(api, tmp_path):
    run = start(api, command=WAITS.format(tmp_path / "go"), is_awaited=False)
    answer = api.submit(f"/runs/{run['id']}/cancel")
    assert (answer.status, answer.headers["Location"]) == (303, f"/runs/{run['id']}")
    api.await_run(run["id"], "cancelled")


def test_cancel_of_an_ended_run_shows_how_it_ended(api):
    run = start(api, command="exit 3")
    answer = api.submit(f"/runs/{run['id']}/cancel")
    page = answer.body.decode()
    assert answer.status == 409
    assert f"run {run['id']} has ended (failed); only queued or running runs can be cancelled" in page
    assert "Exit status 3;" in text(page)


def test_a_run_that_was_started_by_hand_says_by_whom(api):
    run = api.ask("POST", f"/api/v1/job/start/{api.create(schedule='manual')}/?return=run").json["run"]["id"]
    assert "<dt>Requested by</dt><dd>local</dd>" in api.ask("GET", f"/runs/{run}").body.decode()


def test_retry_leads_to_the_new_run(api):
    run = start(api, command="exit 3")
    answer = api.submit(f"/runs/{run['id']}/retry")
    assert answer.status == 303
    new = html(api, answer.headers["Location"])
    assert f'retried by request: <a href="/runs/{run["id"]}">' in new


def test_retry_of_a_deleted_job_says_why_not(api):
    run = start(api, name="gone")
    api.ask("DELETE", f"/api/v1/job/{run['job_id']}/")
    answer = api.submit(f"/runs/{run['id']}/retry")
    assert answer.status == 409
    assert "was deleted; create the job again" in answer.body.decode()


def test_delete_asks_first(api):
    run = start(api, name="old")
    path = f"/runs/{run['id']}/delete"
    assert f"Delete run {run['id']} of old?" in text(html(api, path))
    assert api.ask("GET", f"/api/v1/run/{run['id']}/").status == 200
    answer = api.submit(path)
    assert (answer.status, answer.headers["Location"]) == (303, "/runs")
    assert f"no run has the id {run['id']}" in text(html(api, f"/runs/{run['id']}", 404))


def test_delete_of_a_running_run_says_why_not(api, tmp_path):
    run = start(api, command=WAITS.format(tmp_path / "go"), is_awaited=False)
    answer = api.submit(f"/runs/{run['id']}/delete")
    assert answer.status == 409
    assert "cancel it before deleting it" in answer.body.decode()
    (tmp_path / "go").touch()


@pytest.mark.parametrize("path", ["/runs/999999", "/runs/x", "/runs/999999/delete"])
def test_a_run_that_does_not_exist_is_named(api, path):
    assert "no run has the id" in html(api, path, 404)


def test_the_number_of_lines_must_be_a_number(api):
    run = start(api)
    assert "tail: must be a whole number" in text(html(api, f"/runs/{run['id']}?tail=some", 400))
