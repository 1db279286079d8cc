"""What changes, as server-sent events (WHATWG HTML, 9.2). A stream continues after the last event that arrived."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import MsgspecError, Struct
from msgspec.json import decode

from .errors import ConnectionFailed, ServerError
from .patience import PASSING, Patience
from .transport import Transport, path_of, query_of


class Event(Struct, frozen=True):
    """A change. `kind` is `job`, `run` or `refetch`, after which changes are missing: read everything again.

    `id` is that of the job or run; `*` where all jobs were deleted. `what` says what happened: the new state of a run.
    """

    kind: str
    id: str = ""
    what: str = ""
    job_id: str = ""


def follow(transport: Transport, parameters: dict[str, Any]) -> Iterator[Event]:
    """Yield changes, without an end. Connect again where the connection broke."""
    path, last_id, patience = path_of("events") + query_of(parameters), "", Patience()
    while True:
        try:
            stream = transport.stream(path, {"Last-Event-ID": last_id} if last_id else {}, has_timeout=True)
            for fields in _messages(stream.chunks()):
                patience.renew()
                last_id = fields.get("id", last_id)
                if "event" in fields:
                    yield _event(fields["event"], fields.get("data", "{}"))
            raise ConnectionFailed("the server closed the stream of events")
        except PASSING as error:
            patience.wait(error)


def _messages(chunks: Iterator[bytes]) -> Iterator[dict[str, str]]:
    """Yield the fields of each message. What is between two empty lines is one."""
    rest = b""
    for chunk in chunks:
        *complete, rest = (rest + chunk).split(b"\n\n")
        for message in complete:
            lines = (line.partition(": ") for line in message.decode().splitlines())
            yield {name: value for name, _, value in lines}


def _event(kind: str, data: str) -> Event:
    try:
        return Event(kind, **decode(data, type=dict[str, str]))
    except (MsgspecError, TypeError):
        raise ServerError(f"an event with unknown data: {data[:100]!r}") from None
