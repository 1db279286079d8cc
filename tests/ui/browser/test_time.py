"""Times in the browser: the same words as the server's, on the clock that the person has chosen."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from kala.core.figures import relative

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SECONDS = [0, 1, -1, 59, 119, 120, -3_599, 7_199, 7_200, -172_799, 172_800, 63_113_903, 63_113_904, -40_000_000_000]


@pytest.fixture
def page(kala, browse):
    kala.create(name="in Berlin", schedule="30 2 28 3 *", timezone="Europe/Berlin")
    return browse(kala, "/jobs", timezone_id="America/New_York")


def choose(page, label):
    page.get_by_label("Display").click()
    page.get_by_label(label).check()
    page.keyboard.press("Escape")


def test_the_browser_says_ages_as_the_server_does(page):
    path = re.sub("main.js$", "time.js", page.locator("script[type=module]").first.get_attribute("src"))
    found = page.evaluate(
        "async ([path, seconds]) => { const { relative } = await import(path);"
        " return seconds.map((one) => relative(one * 1000, 0)); }",
        [path, SECONDS],
    )
    assert found == [relative(NOW + timedelta(seconds=one), NOW) for one in SECONDS]


def test_the_title_of_an_age_has_the_time_on_each_clock(page):
    server = page.locator("body").get_attribute("data-zone")
    title = page.locator("td[data-label=next] time").get_attribute("title")
    assert title.splitlines() == [
        f"2027-03-28 01:00:00 +00:00 (server, {server})",
        "2027-03-27 21:00:00 -04:00 (you, America/New_York)",
    ]


def test_the_chosen_clock_stays(page):
    shown = page.locator("footer time")
    assert shown.text_content().endswith("+00:00")
    choose(page, "Mine")
    page.wait_for_function("document.querySelector('footer time').textContent.endsWith('-05:00')")
    page.reload()
    page.wait_for_function("document.querySelector('footer time').textContent.endsWith('-05:00')")


def test_the_chosen_theme_stays(page):
    choose(page, "Dark")
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"
    page.reload()
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"
