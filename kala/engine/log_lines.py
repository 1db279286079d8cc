"""Log lines with a sentence for people and the same facts as fields, many of them in one record."""

import logging
from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Line(NamedTuple):
    """A line of the log, one of several in a record, which has them as its `lines`."""

    level: int
    message: str
    fields: dict[str, object]


def write(logger: logging.Logger, lines: Sequence[Line]) -> None:
    """Write the lines of a step, in one record where all handlers of the log accept that: each record has a price."""
    lines = [line for line in lines if logger.isEnabledFor(line.level)]
    if not lines:
        return
    if _accept_lines(logger):
        level = max(line.level for line in lines)
        logger.handle(logger.makeRecord(logger.name, level, "", 0, "", (), None, extra={"lines": lines}))
    else:
        for line in lines:
            logger.log(line.level, "%s", line.message, extra={"fields": line.fields})


def _accept_lines(logger: logging.Logger) -> bool:
    """Return whether each handler of the log has a filter that says it accepts records with lines."""
    handlers = list(_handlers(logger))
    return bool(handlers) and all(
        any(getattr(one, "accepts_lines", False) for one in handler.filters) for handler in handlers
    )


def _handlers(logger: logging.Logger) -> Iterator[logging.Handler]:
    place: logging.Logger | None = logger
    while place:
        yield from place.handlers
        place = place.parent if place.propagate else None
