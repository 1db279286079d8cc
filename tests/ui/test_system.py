"""How Kala itself stands, and its settings."""

import html
import re
import time
import tomllib
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from live_api import LONG_PATIENCE
from msgspec.structs import replace

from kala import __version__
from kala.api.examples import EXAMPLES
from kala.api.system_schema import Lag, Pool, Storage, System, Workers
from kala.config import KEYS, RELOADABLE
from kala.core.limits import QUEUED
from kala.engine.status import Trouble
from kala.server.connections import Usage
from kala.ui.pages.system import warnings

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
SYSTEM = msgspec.convert(EXAMPLES[System], System)
GIGABYTE = 10**9


def text(markup: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", markup)).split())


def page(api, path: str) -> str:
    response = api.ask("GET", path)
    assert response.status == 200, response.body
    return response.body.decode()


class TestSystem:
    def test_shows_what_a_report_of_a_bug_needs(self, api):
        told = text(page(api, "/system").partition('id="about"')[2])
        assert f"Version {__version__}" in told
        for name in ("Python", "SQLite", "Time zone data", "Uptime"):
            assert f" {name} " in told

    def test_shows_values_with_a_limit_as_meters(self, api):
        markup = page(api, "/system")
        for name in ("Workers", "Queue", "Disk", "Outputs", "Connections", "Streams"):
            assert f'<meter aria-label="{name}"' in markup
        assert "0 of 8 busy" in markup

    def test_shows_each_pool_and_what_waits_for_it(self, api):
        with api.configured(pools={"db": 1}):
            ids = [api.create(pool="db", command="sleep 600") for _ in range(2)]
            runs = [api.ask("POST", f"/api/v1/job/start/{id_}/?return=run").json["run"]["id"] for id_ in ids]
            deadline = time.monotonic() + LONG_PATIENCE
            # Counts that took long are kept for a while.
            while "waiting for a pool 1" not in text(markup := page(api, "/system")):
                assert time.monotonic() < deadline
            for run in reversed(runs):
                api.ask("POST", f"/api/v1/run/{run}/cancel/")
        assert re.search(r'<a href="/runs\?pool=db">db</a>.*1 of 1.*<td class="number">1</td>', markup, re.DOTALL)

    def test_says_what_is_kept(self, api):
        with api.configured(keep_for="P90D", keep_runs=7, keep_bytes=10**9):
            told = text(page(api, "/system"))
        assert "Runs are kept for 90 days, up to 7 of each job and as long as all outputs fit into 1.0 GB." in told
        with api.configured(keep_bytes=0):
            assert "Runs are kept forever." in text(page(api, "/system"))

    def test_says_which_run_goes_next(self, api):
        job_id = api.create()
        api.ask("POST", f"/api/v1/job/start/{job_id}/")
        api.await_job(job_id, success_count=1)
        with api.configured(keep_for="P30D"):
            told = text(page(api, "/system"))
        assert re.search(r"The oldest run is run \d+ , which ended .* it is removed in (29|30) d", told)

    def test_nothing_needs_attention_in_a_kala_that_works(self, api):
        assert list(warnings(SYSTEM)) == []


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        (
            {"storage": Storage(database=1, outputs=1, free=GIGABYTE // 2, disk=100 * GIGABYTE)},
            "Only 500 MB are free on the disk; Kala stops starting runs when it cannot write.",
        ),
        (
            {"storage": Storage(database=1, outputs=9 * GIGABYTE, free=50 * GIGABYTE, disk=100 * GIGABYTE)},
            "Outputs take 9.0 GB of 10.7 GB; beyond that, the oldest runs are deleted.",
        ),
        (
            {"workers": Workers(busy=8, all=8), "queue": {"worker": 1_200}},
            "All 8 workers are busy, and 1,200 runs wait for one.",
        ),
        (
            {"queue": {"job": QUEUED - 1}},
            "The queue has 99,999 of 100,000 runs at most; when it is full, new runs are skipped.",
        ),
        ({"connections": Usage(1_999, 2_000)}, "Connections are near their limit: 1,999 of 2,000 open."),
        ({"streams": Usage(900, 1_000)}, "Streams are near their limit: 900 of 1,000 open."),
        (
            {"lag": Lag(NOON, late_by=12.0, last_step=0.1, longest_step=0.1)},
            "The last slots were claimed 12 s late; the machine may be overloaded.",
        ),
        (
            {"lag": Lag(NOON, late_by=0.0, last_step=0.1, longest_step=2.5)},
            "A step of the engine took 2.5 s; the disk may be slow.",
        ),
        (
            {"pools": {"old": Pool(size=None, running=1, waiting=0)}},
            "Pool old is not in the settings, so it has no limit; add it, or change its jobs.",
        ),
        ({"last_outage": Trouble("storage: disk full", NOON)}, "storage: disk full."),
        (
            {"certificate_expires_at": SYSTEM.started_at + timedelta(seconds=SYSTEM.uptime, hours=30)},
            "The certificate expires in 1 d 6 h; renew it.",
        ),
        (
            {"certificate_expires_at": SYSTEM.started_at},
            "The certificate has expired, so browsers and other clients refuse it; renew it.",
        ),
    ],
)
def test_what_is_near_its_limit_is_said_in_words(changes, warning):
    assert list(warnings(replace(SYSTEM, **changes))) == [warning]


class TestSettings:
    def test_each_is_shown_with_where_it_is_from_and_what_a_change_needs(self, api):
        markup = page(api, "/settings")
        assert re.findall(r'<tr id="key-(\w+)"', markup) == list(KEYS)
        rows = {
            row.partition('"')[0]: text(row.partition(">")[2])
            for row in markup.partition("</table>")[0].split('<tr id="key-')[1:]
        }
        assert rows["workers"].startswith("workers The maximum number of concurrent runs. 8 128")
        assert "10737418240 10.7 GB" in rows["keep_bytes"]
        assert "depends on the system" in rows["data_dir"]
        assert {key for key, row in rows.items() if "a reload" in row} == RELOADABLE

    def test_only_those_that_are_set_can_be_shown(self, api):
        before = api.app.config
        try:
            api.app.reload(replace(before, default_owner="<ann>"), {"default_owner": "/etc/kala/kala.toml"})
            markup = page(api, "/settings?changed=true")
        finally:
            api.app.reload(before, {"default_owner": "default"})
        assert re.findall(r'<tr id="key-(\w+)"', markup) == ["default_owner"]
        assert "/etc/kala/kala.toml" in text(markup.partition("<table")[2].partition("</table>")[0])
        assert "default_owner = &#34;&lt;ann&gt;&#34;\n</pre>" in markup
        assert "No setting is set" in page(api, "/settings?changed=true")

    def test_are_a_file_to_copy(self, api):
        file = page(api, "/settings").partition('id="file"')[2].partition(">")[2].partition("</pre>")[0]
        assert set(tomllib.loads(html.unescape(file))) == set(KEYS)


def test_a_certificate_that_lasts_longer_needs_no_attention():
    later = SYSTEM.started_at + timedelta(seconds=SYSTEM.uptime, days=3)
    assert list(warnings(replace(SYSTEM, certificate_expires_at=later))) == []
