"""A complete Kala for the tests of its API."""

import json
from typing import Any

import pytest
from live_api import api, idle_kala, live_kala
from samples import FAR, JOB

from kala.access import passwords

__all__ = ("api", "idle_kala", "live_kala")


@pytest.fixture
def cheap_passwords(monkeypatch):
    """Hash passwords in no time."""
    monkeypatch.setattr(passwords, "_COST", passwords._Cost(4, 8, 1))


# The longest sentence: it may quote a whole line of a job.
MAX_SENTENCE = 1500


class Untouched:
    """A Kala with two jobs, one the parent of the other, which checks that requests change nothing."""

    def __init__(self, api) -> None:
        self.api = api
        self.other = api.create(name="other")
        self.id = api.create(name="job", parent_jobs=[self.other], owner="me@b", retries=2)
        self._before = self._state()
        self.is_sound = False

    def _state(self) -> tuple[bytes, dict[str, Any]]:
        response = self.api.ask("GET", "/api/v1/job/")
        assert response.status == 200
        return response.body, self.api.totals()

    def assert_refused(self, *responses, status: int = 400, start: str = "") -> None:
        self.is_sound = False
        for response in responses:
            self._assert_is_sentence(response, status, start)
        assert self._state() == self._before
        self.is_sound = True

    @staticmethod
    def _assert_is_sentence(response, status: int, start: str) -> None:
        assert response.status == status, response.body[:MAX_SENTENCE]
        assert response.headers["Content-Type"] == "application/json"
        sentence = response.error
        assert sentence.startswith(start)
        assert sentence == sentence.strip() != ""
        assert len(sentence.splitlines()) == 1
        assert "Traceback" not in sentence
        assert len(sentence) <= MAX_SENTENCE

    def change(self, fields: dict[str, Any]) -> list[Any]:
        """Return the responses to PUT and PATCH of the existing job. A patch has only these fields."""
        path = f"/api/v1/job/{self.id}/"
        patch = {"parent_jobs": None, "schedule": FAR} | fields
        return [self.api.ask("PUT", path, JOB | fields), self.api.ask("PATCH", path, patch)]

    def create(self, fields: dict[str, Any]) -> Any:
        return self.api.ask("POST", "/api/v1/job/", JOB | fields)

    def fill_in(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Replace ME and OTHER in the fields by the ids of the two jobs."""
        return json.loads(json.dumps(fields).replace("OTHER", self.other).replace("ME", self.id))


@pytest.fixture
def idle_api(idle_kala, _last_untouched):
    """A Kala without jobs that never starts a run."""
    _last_untouched.clear()
    return idle_kala.renew()


@pytest.fixture(scope="module")
def _last_untouched():
    """The Kala that the previous test left untouched, if it did: the next test can use it again."""
    return []


@pytest.fixture
def untouched(_last_untouched, request):
    """A Kala that no request of the test may change."""
    kala = _last_untouched.pop() if _last_untouched else Untouched(request.getfixturevalue("idle_api"))
    yield kala
    if kala.is_sound:
        _last_untouched.append(kala)
