"""The list of runs, by HTTP and without scripts."""

import re
from html import unescape

import pytest
from pages import WAITS, again, html, start, text


def shown(page):
    """Return the ids of the runs in a list, in its order."""
    return [int(number) for number in re.findall(r'<tr id="run-(\d+)"', page)]


def test_runs_are_listed_newest_first(api):
    runs = [start(api, name=f"job {number}") for number in range(3)]
    page = html(api, "/runs")
    assert shown(page)[:3] == [run["id"] for run in reversed(runs)]
    assert f'<a href="/runs/{runs[0]["id"]}">job 0</a>' in page


def test_filters_in_the_url_select_runs(api):
    bad = start(api, name="bad", command="exit 1", owner="me@b")
    good = start(api, name="good")
    job = f"job={bad['job_id']}&owner=me%40b"
    page = html(api, f"/runs?q=bad&state=failed&state=timed_out&{job}&cause=manual&since=-1h")
    assert shown(page) == [bad["id"]]
    assert re.search('value="failed" checked', page)
    assert not re.search('value="succeeded" checked', page)
    assert good["id"] in shown(html(api, "/runs?state=succeeded,failed"))
    assert shown(html(api, "/runs?longer_than=1h")) == []


def test_each_filter_can_be_removed(api):
    start(api)
    page = html(api, "/runs?q=nothing&state=lost&since=-1h")
    assert "No run matches." in page
    links = {unescape(link) for link in re.findall(r'<a class="button small" href="([^"]*)">Remove', page)}
    assert links == {"/runs?state=lost&since=-1h", "/runs?q=nothing&since=-1h", "/runs?q=nothing&state=lost"}


def test_times_of_the_form_are_those_of_the_server(api):
    run = start(api)
    page = html(api, "/runs?from=2020-01-31T08:00&to=2099-01-31T08:00")
    assert run["id"] in shown(page)
    assert 'name="from" value="2020-01-31T08:00"' in page
    assert 'name="to" value="2099-01-31T08:00"' in page
    assert shown(html(api, "/runs?from=2099-01-31T08:00")) == []


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("state=broken", "state: must be queued, running"),
        ("longer_than=long", "longer_than: must be a duration"),
        ("from=yesterday", "from: must be a time such as 2030-01-31T08:00, not &#34;yesterday&#34;"),
        ("from=0001-01-01T00:00%2B14:00", "from: must be a time"),
        ("job=nobody", "nobody"),
        ("colour=red", "colour"),
    ],
)
def test_a_wrong_filter_is_explained_and_kept(api, query, sentence):
    page = html(api, f"/runs?{query}&q=kept", 400)
    assert sentence in re.search('role="alert"[^>]*>([^<]*)<', page)[1]
    assert 'name="q" value="kept"' in page


def test_older_runs_are_on_the_next_page(api):
    job_id = api.create(schedule="manual")
    for _ in range(52):
        last = again(api, job_id, is_awaited=False)
    api.await_run(last["id"], "succeeded")
    first = html(api, f"/runs?job={job_id}")
    assert len(shown(first)) == 50
    second = html(api, unescape(re.search(r'href="([^"]*)">Older runs', first)[1]))
    assert shown(first) + shown(second) == list(range(last["id"], last["id"] - 52, -1))
    assert f'href="/runs?job={job_id}">Newest runs' in second
    assert "Older runs" not in second


def test_new_runs_are_counted_and_not_pushed_in(api):
    seen = start(api)
    again_at = unescape(re.search(r'id="list" data-live="([^"]*)"', html(api, "/runs"))[1])
    assert again_at == f"/runs?newest={seen['id']}"
    assert "new run" not in html(api, again_at)
    start(api)
    page = html(api, again_at)
    assert '<a href="/runs">1 new run</a>' in page
    assert shown(page)[0] == seen["id"]
    start(api)
    assert '<a href="/runs">2 new runs</a>' in html(api, again_at)


def test_the_first_run_appears_in_an_empty_list(api):
    assert 'data-live="/runs?q=first"' in html(api, "/runs?q=first")


def test_queued_runs_that_are_ticked_are_cancelled(api, tmp_path):
    running = start(api, command=WAITS.format(tmp_path / "go"), is_awaited=False)
    api.await_run(running["id"], "running")
    queued = [again(api, running["job_id"], is_awaited=False)["id"] for _ in range(3)]
    page = html(api, f"/runs?job={running['job_id']}")
    ticks = re.findall(r'name="id" value="(\d+)"', page)
    assert ticks == [str(one) for one in reversed(queued)]
    answer = api.submit("/runs/cancel", id=ticks[:2], back="/runs?job=x")
    assert (answer.status, answer.headers["Location"]) == (303, "/runs?job=x")
    states = [api.ask("GET", f"/api/v1/run/{one}/").json["run"]["state"] for one in queued]
    assert states == ["queued", "cancelled", "cancelled"]
    again_page = api.submit("/runs/cancel", id=[str(one) for one in queued], back="/runs")
    assert again_page.status == 409
    assert "1 of 3 runs cancelled" in again_page.body.decode()
    assert f"run {queued[1]} has ended (cancelled)" in again_page.body.decode()
    (tmp_path / "go").touch()


def test_a_waiting_run_says_what_for(api, tmp_path):
    running = start(api, command=WAITS.format(tmp_path / "go"), is_awaited=False)
    again(api, running["job_id"], is_awaited=False)
    assert "waits for an earlier run of its job" in text(html(api, "/runs?state=queued"))
    (tmp_path / "go").touch()


def test_names_are_text(api):
    start(api, name="<script>alert(1)</script>")
    page = html(api, "/runs")
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
