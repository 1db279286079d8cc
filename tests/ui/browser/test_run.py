"""The output of a run in a browser: live, from its first line, and through whatever happens to its connection."""

import re

import pytest
from cutting_proxy import CuttingProxy
from process import eventually

from kala.ui.output_text import plain

TEXT = """() => {
  const log = document.getElementById("log");
  return [...log.querySelectorAll(".line")].map((line) => line.textContent).join("");
}"""
HIDE = """(state) => {
  Object.defineProperty(document, "visibilityState", { configurable: true, get: () => state });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
COUNT = "i=0; while [ $i -lt {} ]; do i=$((i+1)); echo line $i; done"


@pytest.fixture
def go(kala):
    """Create a job, start it, and return the id of its run."""

    def go(command, *, is_awaited=False, **fields):
        job_id = kala.create(**{"name": "Count", "command": command, "schedule": "manual"} | fields)
        kala.go(job_id)
        if is_awaited:
            kala.runs(job_id, 1)
        return kala.history(f"job={job_id}")[0]["id"]

    return go


@pytest.fixture
def proxy(kala):
    proxy = CuttingProxy(kala.address)
    yield proxy
    proxy.stop()


def log(page):
    return page.get_by_role("log")


def shown(page):
    """Return the text of the output that is in the page."""
    return page.evaluate(TEXT)


def await_text(page, text):
    page.wait_for_function(f"(text) => ({TEXT})().includes(text)", arg=text)


def await_end(page, run_id):
    page.wait_for_function(
        "(start) => document.getElementById('announcer').textContent.startsWith(start)", arg=f"Run {run_id} "
    )


def is_following(page):
    return page.get_by_role("button", name="Follow").get_attribute("aria-pressed") == "true"


def test_output_is_followed_live_to_the_end(kala, browse, go, gate):
    run_id = go(f"echo first; {gate.wait}; echo last; exit 2")
    page = browse(kala, f"/runs/{run_id}")
    await_text(page, "first\n")
    assert page.get_by_role("button", name="Cancel run").is_visible()
    gate.open()
    await_text(page, "last\n")
    await_end(page, run_id)
    assert page.locator("#announcer").text_content() == f"Run {run_id} failed, exit status 2"
    assert page.get_by_role("button", name="Retry").is_visible()
    assert page.title().endswith(f"Run {run_id} failed – Count – Kala")


def test_a_queued_run_is_followed_from_its_first_line(kala, browse, go, gate):
    job_id = kala.create(name="twice", command=f"echo begun; {gate.wait}; echo ended", schedule="manual")
    kala.go(job_id)
    kala.go(job_id)
    run_id = kala.history(f"job={job_id}")[0]["id"]
    page = browse(kala, f"/runs/{run_id}")
    assert "Waits for its start" in page.locator("#output").text_content()
    gate.open()
    await_end(page, run_id)
    assert shown(page) == "begun\nended\n"
    assert not page.locator("#log-empty").is_visible()


def test_a_run_that_prints_nothing_says_so_in_the_end(kala, browse, go, gate):
    run_id = go(gate.wait)
    page = browse(kala, f"/runs/{run_id}")
    gate.open()
    await_end(page, run_id)
    assert page.locator("#log-empty").text_content() == "Printed nothing"


def test_output_is_whole_after_three_cuts_a_hidden_tab_and_a_restart(kala, browse, go, proxy, gate):
    umlauts = 'i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo "Zeile $i äöü €"; [ $((i%4)) = 0 ] && sleep 0.05; done'
    run_id = go(f"{umlauts}; {gate.wait}; echo done; printf 'no line break'")
    page = browse(proxy, f"/runs/{run_id}")
    page.watch.expected += ["net::ERR_", "Failed to load resource"]
    for number in (40, 120, 200):
        await_text(page, f"Zeile {number} ")
        proxy.cut()
    await_text(page, "Zeile 260 ")
    page.evaluate(HIDE, "hidden")
    eventually(lambda: not proxy.followers)
    page.evaluate(HIDE, "visible")
    await_text(page, "Zeile 400 ")
    proxy.stop()
    gate.open()
    proxy.start()
    await_end(page, run_id)
    assert shown(page).encode() == kala.output(run_id)[1]


def test_a_cut_in_the_middle_of_a_character_loses_nothing(kala, browse, go, proxy, gate):
    run_id = go(f"printf 'a\\303'; {gate.wait}; printf '\\244b\\n'")
    page = browse(proxy, f"/runs/{run_id}")
    page.watch.expected += ["net::ERR_", "Failed to load resource"]
    await_text(page, "a")
    proxy.cut()
    gate.open()
    await_end(page, run_id)
    assert shown(page) == "aäb\n"


def test_the_line_about_what_is_not_kept_stands_where_it_does_in_the_whole_output(serve, browse):
    kala = serve("--output-limit", "20000")
    job_id = kala.create(name="much", command=COUNT.format(5000), schedule="manual")
    kala.go(job_id)
    run_id = kala.runs(job_id, 1)[0]["id"]
    whole = kala.output(run_id)[1].decode()
    page = browse(kala, f"/runs/{run_id}?tail=all")
    await_text(page, "line 5000\n")
    page.wait_for_function(f"(size) => ({TEXT})().length >= size", arg=len(whole))
    assert "bytes omitted here" in whole
    assert shown(page) == whole


def test_what_was_not_kept_is_told_when_earlier_output_is_shown(serve, browse):
    kala = serve("--output-limit", "60000")
    job_id = kala.create(name="much", command=COUNT.format(50_000), schedule="manual")
    kala.go(job_id)
    run_id = kala.runs(job_id, 1)[0]["id"]
    whole = kala.output(run_id)[1].decode()
    page = browse(kala, f"/runs/{run_id}")
    await_text(page, "line 50000\n")
    while page.get_by_role("button", name="Show earlier").is_visible():
        before = shown(page)[:20]
        page.get_by_role("button", name="Show earlier").click()
        page.wait_for_function(f"(before) => !({TEXT})().startsWith(before)", arg=before)
    assert whole.startswith("line 1\n")
    assert shown(page) in whole
    assert shown(page)[:7] == "line 1\n"


def test_an_eighth_tab_opens_while_seven_follow(kala, browse, go, gate):
    run_id = go(f"echo begun; {gate.wait}; echo ended")
    first = browse(kala, f"/runs/{run_id}")
    pages = [first, *(first.context.new_page() for _ in range(6))]
    for page in pages[1:]:
        page.goto(f"/runs/{run_id}")
    for page in pages:
        await_text(page, "begun\n")
    eighth = first.context.new_page()
    eighth.goto("/runs")
    assert eighth.get_by_role("heading", name="Runs").is_visible()
    gate.open()
    for page in pages:
        await_text(page, "ended\n")
        await_end(page, run_id)
    # Now all are live pages, each of which would like a stream of events.
    ninth = first.context.new_page()
    ninth.goto("/jobs")
    assert ninth.get_by_role("heading", name="Jobs").is_visible()


def test_colours_and_progress_bars_are_shown_as_on_a_terminal(kala, browse, go):
    command = (
        r"printf '\033[1;31mbad\033[0m <b>text</b>\n'; printf '\033[38;5;208mone of 256\033[0m\n';"
        r" printf '10 %%\r20 %%\r100 %%\n'; printf '\033[32mgreen\nstill\033[0m\n'; printf 'a\000b\n'"
    )
    page = browse(kala, f"/runs/{go(command, is_awaited=True)}")
    await_text(page, "still\n")
    assert shown(page) == "bad <b>text</b>\none of 256\n100 %\ngreen\nstill\na\0b\n"
    assert log(page).locator(".ansi-red-fg.ansi-bold").text_content() == "bad"
    assert log(page).locator(".ansi-yellow-fg").text_content() == "one of 256"
    assert log(page).locator(".ansi-green-fg").all_text_contents() == ["green", "still"]
    assert log(page).locator("[style]:not(.block)").count() == 0


def test_the_browser_writes_over_lines_as_the_server_does(kala, browse, go):
    page = browse(kala, f"/runs/{go('true', is_awaited=True)}")
    path = re.sub("log.js$", "lines.js", page.locator("script[src$='log.js']").get_attribute("src"))
    lines = ["plain", "10 %\r20 %\r100 %", "a long line\rshort", "from Windows\r", "\r\r", "ab\rc\r\rdef\r", "\rx", ""]
    shown = page.evaluate(
        "async ([path, lines]) => { const { overwritten } = await import(path); return lines.map(overwritten); }",
        [path, lines],
    )
    assert shown == [plain(line.encode()) for line in lines]


def test_a_progress_bar_of_an_hour_stays_small(kala, browse, go):
    command = r"i=0; while [ $i -lt 20000 ]; do i=$((i+1)); printf '\r\033[32mstep %d\033[0m' $i; done; echo"
    page = browse(kala, f"/runs/{go(command, is_awaited=True)}?tail=all")
    await_text(page, "step 20000\n")
    assert len(shown(page)) < 1000


def test_scrolling_up_stops_following_and_new_lines_are_counted(kala, browse, go, gate):
    run_id = go(f"{COUNT.format(300)}; {gate.wait}; {COUNT.format(120)}; sleep 60")
    page = browse(kala, f"/runs/{run_id}")
    await_text(page, "line 300\n")
    assert is_following(page)
    log(page).hover()
    page.mouse.wheel(0, -500)
    page.wait_for_function("() => document.getElementById('follow').getAttribute('aria-pressed') === 'false'")
    top = log(page).evaluate("(log) => log.scrollTop")
    gate.open()
    button = page.get_by_role("button", name="↓ 120 new lines")
    button.wait_for()
    assert log(page).evaluate("(log) => log.scrollTop") == top
    button.click()
    assert is_following(page)
    assert log(page).evaluate("(log) => log.scrollHeight - log.scrollTop - log.clientHeight") < 8
    assert not page.locator("#log-new").is_visible()


def test_follow_is_switched_by_its_button_and_by_a_key(kala, browse, go):
    page = browse(kala, f"/runs/{go('echo begun; sleep 60')}")
    await_text(page, "begun")
    page.get_by_role("button", name="Follow").click()
    assert not is_following(page)
    page.keyboard.press("f")
    assert is_following(page)


def test_earlier_output_is_shown_on_request_with_the_numbers_of_its_lines(kala, browse, go):
    page = browse(kala, f"/runs/{go(COUNT.format(9000), is_awaited=True)}")
    await_text(page, "line 9000\n")
    page.locator("#L9000").wait_for()
    assert not shown(page).startswith("line 1\n")
    page.get_by_role("button", name="Show earlier").click()
    assert page.locator(".line").count() <= 5000
    first = page.locator(".line .no").first
    assert shown(page).startswith(f"line {first.get_attribute('data-n')}\n")
    while page.get_by_role("button", name="Show earlier").is_visible():
        page.get_by_role("button", name="Show earlier").click()
        assert page.locator(".line").count() <= 5000
        page.wait_for_timeout(100)
    assert shown(page).startswith("line 1\nline 2\n")
    assert page.locator("#L1").text_content() == "line 1\n"
    # And down again, by scrolling.
    for _ in range(20):
        log(page).evaluate("(log) => { log.scrollTop = log.scrollHeight; }")
        page.wait_for_timeout(50)
        assert page.locator(".line").count() <= 5000
    assert shown(page).endswith("line 9000\n")


def test_a_link_to_a_line_leads_there(kala, browse, go):
    run_id = go(COUNT.format(9000), is_awaited=True)
    page = browse(kala, f"/runs/{run_id}#L812")
    line = page.locator(".line.at")
    line.wait_for()
    assert line.text_content() == "line 812\n"
    box, frame = line.bounding_box(), log(page).bounding_box()
    assert frame["y"] <= box["y"] <= frame["y"] + frame["height"]
    log(page).locator("#L815 .no").click()
    page.wait_for_function("() => document.querySelector('.line.at')?.textContent === 'line 815\\n'")
    assert page.url.endswith(f"/runs/{run_id}#L815")


def test_a_link_to_a_line_of_a_very_long_output_finds_its_number(serve, browse):
    kala = serve("--output-limit", "10000000")
    job_id = kala.create(name="many", command="seq 1 300000", schedule="manual")
    kala.go(job_id)
    run_id = kala.runs(job_id, 1)[0]["id"]
    page = browse(kala, f"/runs/{run_id}")
    await_text(page, "300000\n")
    assert page.locator("pre.unnumbered").is_visible()
    page.goto(f"/runs/{run_id}#L812")
    page.locator("#L812.at").wait_for()
    assert page.locator("#L812").text_content() == "812\n"


def test_search_goes_from_match_to_match(kala, browse, go):
    page = browse(kala, f"/runs/{go(COUNT.format(3000), is_awaited=True)}?tail=all")
    await_text(page, "line 3000\n")
    page.keyboard.press("/")
    page.keyboard.type("LINE 77")
    page.get_by_text("11 of 11").wait_for()  # 77, 770 to 779
    assert page.locator(".line.at").text_content() == "line 779\n"
    page.keyboard.press("Enter")
    page.get_by_text("1 of 11").wait_for()
    assert page.locator(".line.at").text_content() == "line 77\n"
    page.keyboard.press("Shift+Enter")
    page.get_by_text("11 of 11").wait_for()
    log(page).focus()
    page.keyboard.press("n")
    page.get_by_text("1 of 11").wait_for()
    page.keyboard.press("N")
    page.get_by_text("11 of 11").wait_for()
    page.get_by_label("Search the output").fill("nothing of the kind")
    page.get_by_text("not found").wait_for()


def test_lines_wrap_unless_the_person_wants_otherwise(kala, browse, go):
    run_id = go("head -c 3000 /dev/zero | tr '\\0' x", is_awaited=True)
    page = browse(kala, f"/runs/{run_id}")
    await_text(page, "xxx")
    is_wide = "(log) => log.scrollWidth > log.clientWidth"
    assert not log(page).evaluate(is_wide)
    page.keyboard.press("w")
    assert log(page).evaluate(is_wide)
    page.reload()
    await_text(page, "xxx")
    assert log(page).evaluate(is_wide)


def test_copy_has_the_text_without_colours(kala, browse, go):
    run_id = go(r"printf '\033[31mred\033[0m\nplain'", is_awaited=True)
    page = browse(kala, f"/runs/{run_id}")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await_text(page, "plain")
    page.get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == "red\nplain"


def test_a_download_has_all_bytes_and_a_name(kala, browse, go):
    run_id = go(COUNT.format(5000), is_awaited=True)
    page = browse(kala, f"/runs/{run_id}")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == f"Count-{run_id}.txt"
    assert download.value.path().read_bytes() == kala.output(run_id)[1]


def test_a_very_long_line_is_shown_as_far_as_the_person_wants(kala, browse, go):
    run_id = go("head -c 1000000 /dev/zero | tr '\\0' x; echo; echo end", is_awaited=True)
    page = browse(kala, f"/runs/{run_id}?tail=all")
    await_text(page, "end\n")
    more = page.get_by_role("button", name="Show 980,000 more characters")
    assert len(shown(page)) < 21_000
    more.click()
    assert shown(page) == "x" * 1_000_000 + "\nend\n"


def test_a_million_lines_do_not_freeze_the_page(serve, browse):
    kala = serve("--output-limit", "10000000")
    job_id = kala.create(name="many", command="sleep 1; seq 1 1000000", schedule="manual")
    kala.go(job_id)
    run_id = kala.history(f"job={job_id}")[0]["id"]
    page = browse(kala, f"/runs/{run_id}")
    page.evaluate("""() => {
      let last = performance.now();
      window.longest = 0;
      setInterval(() => {
        window.longest = Math.max(window.longest, performance.now() - last);
        last = performance.now();
      }, 20);
    }""")
    await_text(page, "1000000\n")
    assert page.locator(".line").count() <= 5000
    page.get_by_label("Search the output").fill("99999")
    page.get_by_text("19 of 19").wait_for()
    assert page.evaluate("window.longest") < 2000
    assert page.locator(".line.at .no").get_attribute("data-n") == "999999"


def test_a_person_cancels_retries_and_deletes_a_run(kala, browse, go):
    run_id = go("echo begun; sleep 600")
    page = browse(kala, f"/runs/{run_id}")
    await_text(page, "begun")
    page.get_by_role("button", name="Cancel run").click()
    page.get_by_role("button", name="Retry").wait_for()
    assert "Cancelled by request" in page.locator("#run").text_content()
    page.get_by_role("button", name="Retry").click()
    page.wait_for_url(re.compile(rf"/runs/(?!{run_id}$)\d+$"))
    await_text(page, "begun")
    page.get_by_role("button", name="Cancel run").click()
    page.get_by_role("button", name="Delete").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Delete").wait_for()
    dialog.get_by_role("link", name="Keep").click()
    dialog.wait_for(state="hidden")
    page.get_by_role("button", name="Delete").first.press("Enter")
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.wait_for_url("**/runs")
    assert [run["id"] for run in kala.history()] == [run_id]


def test_without_scripts_the_output_is_there(kala, browse, go):
    page = browse(kala, f"/runs/{go('echo one; echo two', is_awaited=True)}", java_script_enabled=False)
    assert log(page).text_content() == "one\ntwo\n"
    assert not page.get_by_role("button", name="Follow").is_visible()
    page.get_by_role("button", name="Retry").click()
    # Without scripts a person reloads the page.
    eventually(lambda: page.reload() and page.get_by_role("button", name="Delete").first.is_visible())
    page.get_by_role("button", name="Delete").first.click()
    page.get_by_role("button", name="Delete").click()
    assert page.get_by_role("heading", name="Runs").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_output_is_accessible(kala, browse, accessible, go, scheme):
    codes = (*range(30, 38), *range(40, 48), *range(90, 108), 1, 2)
    colours = "".join(rf"\033[{code}mcolour\033[0m\n" for code in codes)
    run_id = go(f"seq 1 3000; printf '{colours}'; exit 1", is_awaited=True)
    page = browse(kala, f"/runs/{run_id}", color_scheme=scheme)
    await_text(page, "3000\n")
    page.get_by_label("Search the output").fill("30")
    accessible(page)
