"""The picture of the graph, which a script draws from the list."""

import re
import xml.etree.ElementTree as ET

import pytest
from playwright.sync_api import expect

LONG = "Upload the backup of db1 to the store in another town, encrypted with the key of the year"


@pytest.fixture
def jobs(kala):
    """A parent with a child of a long name, and an on-failure job that is not obviously a markup; by name."""
    ids = {"tell": kala.create(name="tell <b>&amp;</b>", schedule="manual")}
    ids["backup"] = kala.create(name="backup", schedule="manual", on_failure_job=ids["tell"])
    ids["upload"] = kala.create(name=LONG, parent_jobs=[ids["backup"]])
    return ids


@pytest.fixture
def page(kala, browse, jobs):
    return browse(kala, f"/graph?job={jobs['backup']}")


def nodes(page):
    return page.locator(".canvas a.node")


def test_nodes_are_links_with_the_state_of_their_jobs(kala, page, jobs):
    assert sorted(node.get_attribute("aria-label") for node in nodes(page).all()) == sorted(
        ["backup, new", f"{LONG}, new", "tell <b>&amp;</b>, new"]
    )
    page.get_by_role("link", name="tell <b>&amp;</b>, new").focus()
    assert page.evaluate("document.activeElement.getAttribute('href')") == f"{kala.address}/jobs/{jobs['tell']}"


def test_a_long_name_is_cut_with_the_whole_as_its_title(page):
    node = page.get_by_role("link", name=f"{LONG}, new")
    assert node.locator("title").text_content() == LONG
    shown = node.locator("text.name").text_content()
    assert shown.endswith("…")
    assert LONG.startswith(shown.removesuffix("…"))


def test_edges_of_failure_are_dashed(page):
    assert sorted(edge.get_attribute("stroke-dasharray") or "" for edge in page.locator(".canvas .edge").all()) == [
        "",
        "5 4",
    ]


def test_the_tab_key_goes_through_nodes_as_one_reads_them(page):
    page.get_by_role("button", name="Download SVG").focus()
    places = []
    for _ in range(3):
        page.keyboard.press("Tab")
        places.append(
            page.evaluate(
                "(({x, y}) => [x.baseVal.value, y.baseVal.value])(document.activeElement.querySelector('rect'))"
            )
        )
    assert places == sorted(places)
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "backup, new"


def test_buttons_zoom(page):
    def width() -> int:
        return int(page.locator(".canvas > svg").get_attribute("width"))

    before = width()
    page.get_by_role("button", name="Zoom in").click()
    larger = width()
    assert larger > before
    page.get_by_role("button", name="Zoom out").click()
    page.get_by_role("button", name="Zoom out").click()
    assert width() < before
    page.get_by_role("button", name="Fit").click()
    assert width() == before


def test_the_list_is_closed_where_there_is_a_picture_and_can_be_opened(page):
    look = page.get_by_role("link", name="Look around", exact=False).first
    expect(look).to_be_hidden()
    page.get_by_text("3 jobs and what they start, as a list").click()
    look.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Around")
    expect(nodes(page)).to_have_count(2)


def test_without_a_script_the_list_serves(kala, browse, jobs):
    page = browse(kala, f"/graph?job={jobs['backup']}", java_script_enabled=False)
    expect(page.locator("#picture")).to_be_hidden()
    expect(page.get_by_role("listitem").filter(has_text=LONG).last).to_be_visible()


def test_the_picture_follows_the_states_and_keeps_zoom_and_focus(kala, page, jobs):
    page.get_by_role("button", name="Zoom in").click()
    width = page.locator(".canvas > svg").get_attribute("width")
    page.get_by_role("link", name="backup, new").focus()
    kala.go(jobs["backup"])
    expect(page.get_by_role("link", name="backup, succeeded")).to_be_focused()
    assert page.locator(".canvas > svg").get_attribute("width") == width


def test_a_saved_picture_is_whole(kala, page, jobs):
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download SVG").click()
    assert saved.value.suggested_filename == "backup.svg"
    root = ET.parse(saved.value.path()).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    links = [link.get("href") for link in root.iter("{http://www.w3.org/2000/svg}a")]
    assert sorted(links) == sorted(f"{kala.address}/jobs/{job_id}" for job_id in jobs.values())
    assert not list(root.iter("{http://www.w3.org/2000/svg}use")), "the shapes of the page are not in the file"
    assert all(re.match("rgb|none", rect.get("fill")) for rect in root.iter("{http://www.w3.org/2000/svg}rect"))


def test_the_first_picture_can_be_read_on_a_phone(kala, browse, jobs):
    page = browse(kala, f"/graph?job={jobs['backup']}&depth=all", width=360)
    assert int(page.locator(".canvas > svg").get_attribute("width")) > 400
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_accessible_with_the_picture_and_the_list(kala, browse, accessible, jobs, scheme):
    kala.go(jobs["backup"])
    page = browse(kala, f"/graph?job={jobs['backup']}", color_scheme=scheme)
    expect(nodes(page)).to_have_count(3)
    page.get_by_text("as a list").click()
    accessible(page)
