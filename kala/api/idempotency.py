"""Requests that can be repeated: the header Idempotency-Key (draft-ietf-httpapi-idempotency-key-header)."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

import msgspec

from kala.api.http import Request, Response
from kala.api.parameters import IDEMPOTENCY_KEY
from kala.engine.engine import Engine
from kala.engine.messages import Change, Once
from kala.engine.requests import answers_since, check_repeated
from kala.store.answers import Answer
from kala.store.store import Store

_REPEATED = {"Idempotent-Replayed": "true"}
T = TypeVar("T")


class Repeatable:
    """Carries out changes. One with a key is made once: when the request is repeated, its first response is."""

    def __init__(self, engine: Engine, store: Store) -> None:
        self._engine = engine
        self._store = store

    def call(
        self, request: Request, operation: str, change: Callable[[], Change[T]], respond: Callable[[T], Response]
    ) -> Response:
        """Make a change, and return the response to it, which has a body of bytes.

        `operation` names what the request does with its path, query and body. `respond` is pure, as the engine calls it
        to keep the response in the transaction of the change. `change` is not called if a response was kept: what it
        checks may no longer be so.
        """
        key = _key(request)
        if key is None:
            return respond(self._engine.call(change()))
        digest = _digest(request, operation)
        with self._store.reading() as session:
            kept = session.answers.get(key, answers_since(datetime.now(UTC)))
        if kept is None:
            kept = self._engine.call(Once(key, digest, change(), lambda result: _answer(digest, respond(result))))
        check_repeated(key, kept, digest)
        return Response(kept.status, kept.body, kept.headers | (_REPEATED if kept.is_repeated else {}))


def _key(request: Request) -> str | None:
    given = request.headers.get(IDEMPOTENCY_KEY.name)
    return None if given is None else str(IDEMPOTENCY_KEY.kind.parse(IDEMPOTENCY_KEY.name, given))


def _digest(request: Request, operation: str) -> str:
    """Return a digest of what the request asks for."""
    asked = (operation, sorted(request.path.items()), sorted(request.query.items()), request.body)
    return hashlib.sha256(msgspec.msgpack.encode(asked)).hexdigest()


def _answer(digest: str, response: Response) -> Answer:
    assert isinstance(response.body, bytes)
    return Answer(digest, response.status, dict(response.headers), response.body)
