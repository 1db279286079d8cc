"""The layout of the folder of outputs, and of an output whose middle was cut out.

An offset counts the bytes that were printed; a position counts those of a file, in which a line marks the cut.
"""

import re
from collections.abc import Callable, Sequence

import msgspec

from kala.core.foreign import presentable

OUTPUTS = "output"
PER_FOLDER = 1000
_CUT_LINE = re.compile(rb"\n\[kala: (\d+) bytes omitted here\]\n", re.ASCII)
_MOST_DIGITS = 19
# A line of more characters is cut.
_LINE = 300
# What a terminal acts on: control sequences, such as colours, and the other escape sequences (ECMA-48).
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")


def output_name(run_id: int) -> str:
    """Return the path of an ended run's output, relative to the folder of outputs.

    A subfolder holds a thousand outputs, because very large directories are slow.
    """
    return f"{run_id // PER_FOLDER}/{run_id}.out"


def cut_line(omitted: int) -> bytes:
    """Return the line in place of what is not kept."""
    return f"\n[kala: {omitted} bytes omitted here]\n".encode()


def kept_at_the_beginning(limit: int) -> int:
    """Return how many bytes of the beginning are kept of an output with a limit; the rest is for the end."""
    return limit // 2


class Cut(msgspec.Struct, frozen=True):
    """A line that marks a cut, from the position `start` to `end`, and the offset of the byte after it."""

    start: int
    end: int
    offset: int


def find_cut(size: int, read: Callable[[int, int], bytes]) -> Cut | None:
    """Return the cut in a file of this size; `read` returns the bytes from a position on, in a number.

    The size alone does not tell where the cut is, as the limit may have been another, but it does with the length of
    the line.
    """
    for digits in range(1, _MOST_DIGITS):
        length = len(cut_line(10 ** (digits - 1)))
        limit = size - length
        start = kept_at_the_beginning(limit)
        match = _CUT_LINE.fullmatch(read(start, length)) if limit > 0 else None
        if match:
            return Cut(start, start + length, start + int(match[1]))
    return None


def offset_at(position: int, cuts: Sequence[Cut]) -> int:
    """Return the offset of a position: within the line of a cut, that of the byte after it."""
    before = [cut for cut in cuts if cut.start <= position]
    return before[-1].offset + max(0, position - before[-1].end) if before else position


def stretch_from(offset: int, size: int, cut: Cut | None) -> tuple[int, int, int]:
    """Return the first and last position of what was printed from an offset on without a cut, and its real offset.

    That is the given one or, if the byte there was cut out, that of the next one that is kept.
    """
    if cut is None:
        return offset, size, offset
    if offset < cut.start:
        return offset, cut.start, offset
    first = max(offset, cut.offset)
    return first - cut.offset + cut.end, size, first


def last_line(end: bytes) -> str:
    """Return the last line that is not blank in the end of an output, as a terminal would show it."""
    text = _SEQUENCE.sub("", end.decode(errors="replace"))
    # A carriage return starts the line again, as progress bars do.
    parts = (part.strip() for line in reversed(text.split("\n")) for part in reversed(line.split("\r")))
    return presentable(next(filter(None, parts), ""), _LINE)
