"""One log line for each entry of the audit log."""

import logging
from collections.abc import Sequence

from kala.core.account import Entry
from kala.core.foreign import presentable

logger = logging.getLogger("kala.audit")


def write(entries: Sequence[Entry]) -> None:
    for entry in entries:
        about = " ".join(filter(None, (entry.target, entry.name and f"({entry.name})")))
        refused = f": refused: {entry.refused}" if entry.refused else ""
        level = logging.WARNING if entry.refused else logging.INFO
        sentence = f"{entry.actor or 'nobody'} at {entry.address}: {entry.action} {about}".rstrip() + refused
        logger.log(level, "%s", presentable(sentence), extra={"fields": _fields(entry)})


def _fields(entry: Entry) -> dict[str, object]:
    return {
        "action": entry.action,
        "actor": entry.actor,
        "address": entry.address,
        "target": entry.target,
        "name": entry.name,
        "refused": entry.refused,
    }
