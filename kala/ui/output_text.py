"""The output of a run as plain text for a page: without colours, and as a terminal shows lines written over."""

import re
from typing import NamedTuple

from kala.api.http import Response
from kala.server.source import Parts, Source
from kala.ui.backend import Backend

LINES = 2000
ALL = "all"
# A page with more text would take long to show; the download has everything.
_MOST = 8 * 1024 * 1024
_MOST_AT_FIRST = 512 * 1024
# CSI and OSC sequences, and other escapes (ECMA-48, 5.3 to 5.6).
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]{0,2000}(?:\x07|\x1b\\)|[ -/]*[0-Z\\^-~])")
_CONTROLS = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 127), "\N{REPLACEMENT CHARACTER}")


class OutputText(NamedTuple):
    """Some of what a run has printed: from which byte on, and whether that is all."""

    text: str
    offset: int
    is_whole: bool


def read(backend: Backend, run_id: str, lines: str) -> OutputText:
    """Return the last lines of an output; with `all` as their number, all of it as far as a page can show it."""
    if lines == ALL:
        content = _start(backend.respond("getOutput", run_id), _MOST + 1)
        return OutputText(plain(content[:_MOST]), 0, len(content) <= _MOST)
    response = backend.respond("getOutput", run_id, query={"tail": lines or str(LINES)})
    first, size = (int(response.headers[name]) for name in ("X-Offset", "Content-Length"))
    if size <= _MOST_AT_FIRST:
        return OutputText(plain(_start(response, size)), first, not first)
    _start(response, 0)
    part = backend.respond("getOutput", run_id, headers={"Range": f"bytes=-{_MOST_AT_FIRST}"})
    content = _start(part, _MOST_AT_FIRST)
    # The first line is not whole, unless it is the only one.
    start = content.find(b"\n", 0, -1) + 1
    return OutputText(plain(content[start:]), first + size - len(content) + start, is_whole=False)


def _start(response: Response, size: int) -> bytes:
    """Return at most the first bytes of a body, and close it."""
    assert not isinstance(response.body, bytes | Source)
    parts, content = Parts(response.body), bytearray()
    while len(content) < size and (part := parts.read()):
        content += part
    parts.close()
    return bytes(content[:size])


def plain(content: bytes) -> str:
    """Return output as text to read: a line that a carriage return wrote over shows what came last."""
    text = content.decode(errors="replace")
    if "\x1b" in text:
        text = _ESCAPES.sub("", text)
    if "\r" in text:
        text = "\n".join(map(_overwritten, text.split("\n")))
    return text.translate(_CONTROLS)


def _overwritten(line: str) -> str:
    """Return a line without carriage returns. From its end, as each part shows only what is longer than those after."""
    shown = ""
    for part in reversed(line.rstrip("\r").split("\r")):
        shown += part[len(shown) :]
    return shown
