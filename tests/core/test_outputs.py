"""An offset counts the bytes that a run has printed, wherever they are in a file whose middle was cut out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kala.core.outputs import cut_line, find_cut, kept_at_the_beginning, last_line, offset_at, stretch_from


def kept(printed: bytes, limit: int) -> bytes:
    """The file of an output with a limit."""
    if len(printed) <= limit:
        return printed
    head = kept_at_the_beginning(limit)
    return printed[:head] + cut_line(len(printed) - limit) + printed[len(printed) - (limit - head) :]


def cut_of(file: bytes):
    return find_cut(len(file), lambda position, size: file[position : position + size])


@given(st.integers(1, 300), st.integers(0, 12_000))
def test_all_that_is_kept_is_read_once_from_stretch_to_stretch(limit, size):
    printed = bytes(number % 251 for number in range(size))
    file = kept(printed, limit)
    cut = cut_of(file)
    assert (cut is not None) is (size > limit)
    offset, seen = 0, b""
    while True:
        start, end, first = stretch_from(offset, len(file), cut)
        assert file[start:end] == printed[first : first + end - start]
        assert first == offset or (cut and offset == cut.start and first == cut.offset)
        if start == end:
            break
        seen += file[start:end]
        offset = first + end - start
    assert offset == size == offset_at(len(file), [cut] if cut else [])
    assert len(seen) == min(limit, size)


@given(st.integers(0, 1000))
def test_from_any_offset_the_next_kept_byte_is_first(offset):
    printed = bytes(number % 251 for number in range(1000))
    file = kept(printed, 100)
    start, end, first = stretch_from(offset, len(file), cut_of(file))
    assert first == (950 if 50 <= offset < 950 else offset)
    assert file[start:end] == printed[first : 50 if first < 50 else 1000]


def test_a_position_has_the_offset_of_the_byte_there_or_after_the_line_of_a_cut():
    file = kept(bytes(1000), 100)
    cut = cut_of(file)
    assert [offset_at(position, [cut]) for position in (0, 49, 50, 60, cut.end, cut.end + 1)] == [
        0,
        49,
        950,
        950,
        950,
        951,
    ]
    assert offset_at(60, []) == 60


@pytest.mark.parametrize("text", [b"", b"x", cut_line(5), b"x" * 20 + cut_line(9999) + b"x" * 30])
def test_a_line_elsewhere_is_no_cut(text):
    assert cut_of(text) is None or len(text) - len(cut_line(9999)) == 2 * text.index(b"\n")


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (b"", ""),
        (b"one\ntwo\n", "two"),
        (b"one\n\n   \n", "one"),
        (b"\x1b[1;31merror:\x1b[0m no space\n", "error: no space"),
        (b"\x1b]8;;http://a.example\x1b\\link\x1b]8;;\x1b\\\n", "link"),
        (b"10%\r20%\r30%\r", "30%"),
        (b"\xff\xfeodd\n", "\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}odd"),
        (b"bell\x07\n", "bell\\x07"),
        (b"x" * 1000, "x" * 299 + "\N{HORIZONTAL ELLIPSIS}"),
    ],
)
def test_the_last_line_is_what_a_terminal_would_show(output, expected):
    assert last_line(output) == expected
