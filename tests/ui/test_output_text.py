"""Output as plain text: what a terminal would show, without colours."""

import time

import pytest

from kala.ui.output_text import plain


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        (b"one\ntwo\n", "one\ntwo\n"),
        ("Grüße ✓\n".encode(), "Grüße ✓\n"),
        (b"\x1b[1;31mred\x1b[0m text", "red text"),
        (b"\x1b]0;title\x07text \x1b]8;;https://example.com\x1b\\link\x1b]8;;\x1b\\", "text link"),
        (b"10 %\r20 %\r100 %\n", "100 %\n"),
        (b"a long line\rshort\n", "shortg line\n"),
        (b"from Windows\r\nnext\r\n", "from Windows\nnext\n"),
        (b"a\x00b\x08c\xff", "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c\N{REPLACEMENT CHARACTER}"),
        (b"tab\tstays", "tab\tstays"),
    ],
)
def test_output_is_shown_as_on_a_terminal(printed, shown):
    assert plain(printed) == shown


@pytest.mark.parametrize("part", [b"\r", b"\x1b]", b"\x1b[", b"\x1b]0;", b"ab\r", b"\x1b[1;"])
def test_no_output_takes_long_to_show(part):
    begin = time.process_time()
    plain(b"x" * 200_000 + part * (300_000 // len(part)))
    assert time.process_time() - begin < 2
