"""What every page has around its content."""

from html.parser import HTMLParser

import pytest
from msgspec.structs import replace

from kala.engine.status import Trouble


class Alerts(HTMLParser):
    """The texts of the alerts in a page."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._is_open = False
        self.feed(page.decode())

    def handle_starttag(self, tag, attributes):
        if dict(attributes).get("role") == "alert":
            self.texts.append("")
            self._is_open = True

    def handle_endtag(self, tag):
        if tag == "p":
            self._is_open = False

    def handle_data(self, data):
        if self._is_open:
            self.texts[-1] += data


def alerts(api) -> list[str]:
    response = api.ask("GET", "/jobs")
    assert response.status == 200
    return Alerts(response.body).texts


def test_no_page_warns_while_kala_works(api):
    assert alerts(api) == []


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        ({"is_draining": True}, "Kala is stopping. System"),
        ({"storage": Trouble("disk full", since=None)}, "The database cannot be written. System"),
        ({"starting": Trouble("no memory", since=None)}, "Commands do not start. System"),
    ],
)
def test_each_page_warns_when_kala_does_not_work(api, monkeypatch, changes, warning):
    engine = api.app._engine
    monkeypatch.setattr(type(engine), "status", replace(engine.status, **changes))
    assert alerts(api) == [warning]
