"""One log line for each entry of the audit log."""

import logging
from collections.abc import Sequence

from kala.core.account import Entry
from kala.engine import log_lines
from kala.engine.log_lines import Line

logger = logging.getLogger("kala.audit")


def write(entries: Sequence[Entry]) -> None:
    """Write the lines of a step."""
    log_lines.write(logger, list(map(_line, entries)))


def _line(entry: Entry) -> Line:
    about = " ".join(filter(None, (entry.target, entry.name and f"({entry.name})")))
    refused = f": refused: {entry.refused}" if entry.refused else ""
    sentence = f"{entry.actor or 'nobody'} at {entry.address}: {entry.action} {about}".rstrip() + refused
    return Line(logging.WARNING if entry.refused else logging.INFO, sentence, _fields(entry))


def _fields(entry: Entry) -> dict[str, object]:
    return {
        "action": entry.action,
        "actor": entry.actor,
        "address": entry.address,
        "target": entry.target,
        "name": entry.name,
        "refused": entry.refused,
    }
