"""What Kala tells about itself: /system/, /config/ and the health checks."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from kala import __version__
from kala.api.status import StatusRoutes
from kala.config import KEYS, RELOADABLE
from kala.core.errors import Busy
from kala.engine.status import EngineStatus, Trouble
from kala.runner.cgroup import Groups
from kala.server.connections import Usage

HEALTH = ["/health/live", "/health/ready"]
SINCE = datetime(2030, 1, 1, tzinfo=UTC)


def system(api):
    response = api.ask("GET", "/api/v1/system/")
    assert response.status == 200, response.body
    return response.json


class TestSystem:
    def test_tells_versions_and_since_when_kala_runs(self, api):
        told = system(api)
        assert told["versions"]["kala"] == __version__
        assert set(told["versions"]) == {"kala", "commit", "python", "sqlite", "tzdata"}
        assert 0 < told["uptime"] < 3600
        assert datetime.fromisoformat(told["started_at"]) < datetime.now(UTC)

    def test_tells_how_many_workers_are_busy(self, api):
        assert system(api)["workers"] == {"busy": 0, "all": 8}
        job = api.create(command="sleep 60")
        run = api.ask("POST", f"/api/v1/job/start/{job}/?return=run").json["run"]["id"]
        assert system(api)["workers"]["busy"] == 1
        api.ask("POST", f"/api/v1/run/{run}/cancel/")

    def test_tells_what_queued_runs_wait_for(self, idle_api):
        with idle_api.configured(pools={"db": 1}):
            for fields in ({}, {}, {"pool": "db"}):
                idle_api.ask("POST", f"/api/v1/job/start/{idle_api.create(**fields)}/")
            told = system(idle_api)
        assert told["queue"] == {"worker": 3, "pool": 0, "retry": 0, "disabled": 0, "job": 0}
        assert told["pools"] == {"db": {"size": 1, "running": 0, "waiting": 0}}
        assert told["draining"] is True

    def test_tells_sizes_and_what_is_kept(self, api):
        with api.configured(keep_for="P90D", keep_runs=7):
            told = system(api)
        assert told["storage"]["database"] > 0
        assert 0 < told["storage"]["free"] <= told["storage"]["disk"]
        assert told["retention"].items() >= {"keep_for": "P90D", "keep_runs": 7, "keep_bytes": 10 * 1024**3}.items()

    def test_tells_when_the_oldest_run_goes(self, api):
        job = api.create()
        api.ask("POST", f"/api/v1/job/start/{job}/")
        api.await_job(job, success_count=1)
        with api.configured(keep_for="P1D"):
            oldest = system(api)["retention"]["oldest_run"]
        lasts = datetime.fromisoformat(oldest["expires_at"]) - datetime.fromisoformat(oldest["ended_at"])
        assert lasts == timedelta(days=1)
        assert system(api)["retention"]["oldest_run"]["expires_at"] is None

    def test_tells_connections_and_streams(self, api):
        told = system(api)
        assert told["connections"]["open"] >= 1
        assert told["streams"] == {"open": 0, "limit": told["streams"]["limit"]}

    def test_tells_how_fast_the_engine_is(self, api):
        api.await_job(api.create_soon(), success_count=1)
        lag = system(api)["lag"]
        assert 0 <= lag["last_step"] <= lag["longest_step"]
        assert lag["late_by"] >= 0


class TestConfig:
    def test_tells_each_setting_once(self, api):
        settings = api.ask("GET", "/api/v1/config/").json["settings"]
        assert [setting["key"] for setting in settings] == list(KEYS)
        assert {setting["key"] for setting in settings if setting["reloadable"]} == RELOADABLE
        by_key = {setting["key"]: setting for setting in settings}
        assert by_key["workers"].items() >= {"value": 8, "default": 128, "unit": ""}.items()
        assert by_key["kill_grace"]["unit"] == "seconds"
        assert by_key["keep_bytes"]["unit"] == "bytes"
        assert by_key["data_dir"]["default"] is None

    def test_tells_what_a_reload_has_changed(self, api):
        def owner():
            settings = api.ask("GET", "/api/v1/config/").json["settings"]
            [setting] = [setting for setting in settings if setting["key"] == "default_owner"]
            return setting["value"], setting["origin"], setting["source"]

        before = api.app.config
        api.app.reload(replace(before, default_owner="ann@example.org"), {"default_owner": "/etc/kala/kala.toml"})
        assert owner() == ("ann@example.org", "/etc/kala/kala.toml", "file")
        api.app.reload(before, {"default_owner": "default"})
        assert owner() == ("", "default", "default")


class TestHealth:
    @pytest.mark.parametrize("path", HEALTH)
    def test_a_working_kala_passes(self, api, path):
        response = api.ask("GET", path)
        assert (response.status, response.json) == (200, {"status": "pass", "reasons": []})
        assert api.ask("HEAD", path).status == 200

    @pytest.mark.parametrize("path", HEALTH)
    def test_any_name_may_be_used_for_a_check(self, api, path):
        head = f"GET {path} HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://evil.example\r\n\r\n"
        assert api.send(head.encode()).status == 200
        assert api.send(f"GET {path} HTTP/1.0\r\n\r\n".encode()).status == 200

    def test_nothing_else_accepts_any_name(self, api):
        for path in ("/api/v1/system/", "/api/v1/config/", "/api/v1/upcoming/", "/health/", "/health/live/more"):
            assert api.send(f"GET {path} HTTP/1.1\r\nHost: evil.example\r\n\r\n".encode()).status == 403

    def test_a_kala_that_stops_is_live_but_not_ready(self, idle_api):
        assert idle_api.ask("GET", "/health/live").status == 200
        response = idle_api.ask("GET", "/health/ready")
        assert (response.status, response.json) == (503, {"status": "fail", "reasons": ["Kala is stopping"]})

    @pytest.mark.parametrize(
        ("status", "live", "reasons"),
        [
            (EngineStatus(), 503, ["the engine has not started"]),
            (EngineStatus(stepped_at=0.0), 503, ["the engine has been stuck for"]),
            (EngineStatus(stepped_at=time.monotonic() + 3600, storage=Trouble("disk full", SINCE, SINCE)), 200, []),
            (
                EngineStatus(
                    stepped_at=time.monotonic() + 3600, storage=Trouble("x", SINCE), starting=Trouble("y", SINCE)
                ),
                200,
                ["the database cannot be written", "commands do not start"],
            ),
        ],
    )
    def test_a_check_that_fails_says_why(self, api, status, live, reasons):
        routes = made(api.app._store, status)
        assert routes.live(None).status == live
        ready = routes.ready(None)
        assert ready.status == (503 if reasons else 200)
        for reason in reasons:
            assert reason.encode() in ready.body

    def test_a_database_that_cannot_be_read_is_not_ready_and_not_asked_whether_kala_lives(self):
        def reading(_):
            raise Busy("storage: /secret/path")

        routes = made(SimpleNamespace(reading=reading), EngineStatus(stepped_at=time.monotonic() + 3600))
        assert routes.live(None).status == 200
        assert routes.ready(None).body == b'{"status":"fail","reasons":["the database cannot be read"]}'


def made(store, status: EngineStatus) -> StatusRoutes:
    return StatusRoutes(
        SimpleNamespace(status=status),
        store,
        lambda: None,
        zone=lambda: UTC,
        tzdata=lambda: None,
        groups=Groups(Path(), "no control groups"),
        usage=lambda: (Usage(0, 1), Usage(0, 1)),
        certificate_expires_at=lambda: None,
    )
