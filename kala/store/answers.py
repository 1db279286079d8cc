"""The answers to requests with an Idempotency-Key, kept in the transaction of their change."""

from datetime import datetime
from http import HTTPStatus

import msgspec

from kala.store.instants import to_column
from kala.store.statements import Statements

# An answer that is too old is as good as none, although it may not have been deleted yet.
_GET = "SELECT request, status, headers, body FROM answer WHERE key = ? AND given_at > ?"
_KEEP = """
    INSERT INTO answer (key, request, status, headers, body, given_at) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (key) DO UPDATE SET request = excluded.request, status = excluded.status, headers = excluded.headers,
        body = excluded.body, given_at = excluded.given_at
"""
_DELETE = "DELETE FROM answer WHERE key IN (SELECT key FROM answer [index answer_age] WHERE given_at <= ? LIMIT ?)"


class Answer(msgspec.Struct, frozen=True):
    """The response to a request. `request` is a digest of all that decides what the request does.

    `is_repeated` tells an answer that was kept from a new one.
    """

    request: str
    status: int
    headers: dict[str, str]
    body: bytes
    is_repeated: bool = False

    @property
    def is_in_progress(self) -> bool:
        """Whether the request is still being carried out. The body then says what is to be done, for Kala alone."""
        return self.status == HTTPStatus.PROCESSING


class Answers:
    """The answer table on one connection."""

    def __init__(self, sql: Statements) -> None:
        self._sql = sql

    def get(self, key: str, given_after: datetime) -> Answer | None:
        """Return the answer that was kept under a key, unless it was given before an instant."""
        row = self._sql(_GET, (key, to_column(given_after))).fetchone()
        if row is None:
            return None
        request, status, headers, body = row
        named = msgspec.json.decode(headers, type=dict[str, str])
        return Answer(request, status, named, bytes(body), is_repeated=True)

    def keep(self, key: str, answer: Answer, now: datetime) -> None:
        headers = msgspec.json.encode(answer.headers).decode()
        self._sql(_KEEP, (key, answer.request, answer.status, headers, answer.body, to_column(now)))

    def delete_older(self, given_until: datetime, limit: int) -> None:
        """Delete at most `limit` answers that were given until an instant."""
        self._sql(_DELETE, (to_column(given_until), limit))
