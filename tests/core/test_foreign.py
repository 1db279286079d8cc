"""Text from outside is safe to show to a person."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kala.core.foreign import is_plain_line, masked, presentable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("exit status 1", "exit status 1"),
        ("Überlauf in /tmp/日本", "Überlauf in /tmp/日本"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("first\r2026-11-27 backup: run 7 succeeded", "first\\r2026-11-27 backup: run 7 succeeded"),
        ("two\nlines", "two\\nlines"),
        ("a\u202etxt.exe", "a\\u202etxt.exe"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("\u2028separator", "\\u2028separator"),
        ("\udc80 of a file name", "\\udc80 of a file name"),
        ("\x9b31mred", "\\x9b31mred"),
    ],
)
def test_characters_that_a_terminal_acts_on_are_escaped(text, shown):
    assert presentable(text) == shown


def test_a_text_within_the_limit_is_shown_in_full():
    assert presentable("é" * 10, 10) == "é" * 10


def test_a_longer_text_is_cut_and_ends_with_an_ellipsis():
    assert presentable("a" * 11, 10) == "a" * 9 + "…"


def test_escapes_count_for_the_limit():
    assert presentable("\n" * 100, 10) == "\\n\\n\\n\\n\\" + "…"


@given(st.text(alphabet=st.characters(), max_size=50), st.integers(1, 30))
def test_any_text_becomes_one_printable_line_within_the_limit(text, limit):
    shown = presentable(text, limit)
    assert len(shown) <= limit
    assert all(one == " " or one.isprintable() or one.isspace() for one in shown)
    assert "\n" not in shown
    assert "\r" not in shown
    shown.encode()


@pytest.mark.parametrize("text", ["", "backup", "Überlauf", "日本", "\N{PILE OF POO}", "\ue000", " "])
def test_a_line_of_visible_characters_is_plain(text):
    assert is_plain_line(text)


@pytest.mark.parametrize(
    "text", ["a\nb", "\x1b", "\x7f", "\x9b", "\u202e", "\u2066", "\u200b", "\ufeff", "\xad", "\u2028"]
)
def test_a_line_with_invisible_characters_or_a_line_break_is_not_plain(text):
    assert not is_plain_line(text)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://user:secret@host:80/a:b@c", "http://user:***@host:80/a:b@c"),
        ("//user:secret@host", "//user:***@host"),
        ("http://:secret@host/", "http://:***@host/"),
        ("http://user:se:cr@et@host/", "http://user:***@host/"),
        ("http://user@host/", "http://user@host/"),
        ("http://host:80/?a=b:c@d", "http://host:80/?a=b:c@d"),
        ("http://[::1]:80/x@y", "http://[::1]:80/x@y"),
        ("http://user:sec/ret@host/", "http://user:***@host/"),
        ("http://user:s e?c#r@et@host/", "http://user:***@host/"),
        ("http://user:secret@[::1]:80/x", "http://user:***@[::1]:80/x"),
        ("/srv/http:/user:secret@host", "/srv/http:/user:***@host"),
        ("/run/http:%2F%2fuser:secret@host", "/run/http:%2F%2fuser:***@host"),
        ("/srv/a:b@c", "/srv/a:b@c"),
        ("http://user:***se/cret@host", "http://user:***@host"),
        ("", ""),
        ("@", "@"),
    ],
)
def test_the_password_in_a_url_is_not_shown(url, shown):
    assert masked(url) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET http://u:secret@a/ led to http://v:secret@b/: no", "GET http://u:***@a/ led to http://v:***@b/: no"),
        ("GET http://a:80/ led to http://v:sec/ret@b/: no", "GET http://a:80/ led to http://v:***@b/: no"),
        ("http://a:80 is not bob@example.org", "http://a:80 is not bob@example.org"),
    ],
)
def test_no_password_is_shown_in_a_text_with_several_urls(text, shown):
    assert masked(text) == shown


def test_a_password_is_not_shown_if_the_text_is_cut_within_it():
    assert presentable(f"http://user:{'secret' * 50}@host/", 30) == "http://user:***@host/"


@pytest.mark.parametrize("text", ["//a:" * 500_000, "//a:b " * 400_000 + "@", "@" * 1_000_000, "//" * 500_000 + "a:b@"])
def test_a_long_text_is_searched_fast(text):
    began = time.thread_time()
    masked(text)
    assert time.thread_time() - began < 1


@pytest.mark.parametrize(
    "part", ["//a:b", "http://:", "//a:1", "//:***", "%2f%2f", "%2f%2f:", "%2F%2Fa:b", "/", ":/a:"]
)
@pytest.mark.parametrize("end", ["", "@", "/@", " @"])
def test_the_password_in_a_url_is_searched_in_linear_time(part, end):
    before = time.thread_time()
    masked(part * 20_000 + end)
    assert time.thread_time() - before < 1
