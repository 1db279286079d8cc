"""Requests that can be repeated: the header Idempotency-Key (draft-ietf-httpapi-idempotency-key-header)."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TypeVar

import msgspec

from kala.api.http import Request, Response
from kala.api.parameters import IDEMPOTENCY_KEY
from kala.engine.engine import Engine
from kala.engine.messages import Change, Keep, Once
from kala.engine.requests import answers_since, check_repeated
from kala.store.answers import Answer
from kala.store.store import Session, Store

_REPEATED = {"Idempotent-Replayed": "true"}
T = TypeVar("T")


class Keyed(msgspec.Struct, frozen=True):
    """The key of a request, and a digest of what the request asks for."""

    key: str
    digest: str

    @classmethod
    def of(cls, request: Request, operation: str) -> "Keyed | None":
        """Return the key of a request, or None if it has none. `operation` names what the request does.

        The caller is a part of it: the response to one caller is none to another that has come upon the key.
        """
        given = request.headers.get(IDEMPOTENCY_KEY.name)
        if given is None:
            return None
        parameters = (sorted(request.path.items()), sorted(request.query.items()))
        asked = (request.caller.actor, operation, *parameters, request.body)
        digest = hashlib.sha256(msgspec.msgpack.encode(asked)).hexdigest()
        return cls(str(IDEMPOTENCY_KEY.kind.parse(IDEMPOTENCY_KEY.name, given)), digest)

    def kept(self, session: Session) -> Answer | None:
        """Return the answer that was kept under the key. Raises Conflict if it is one to another request."""
        kept = session.answers.get(self.key, answers_since(datetime.now(UTC)))
        if kept is not None:
            check_repeated(self.key, kept, self.digest)
        return kept

    def once(self, change: Change[T], respond: Callable[[T], Response]) -> Once[T]:
        """Return the message that makes the change of the request once."""
        return Once(self.key, self.digest, change, lambda result: self._answer(respond(result)))

    def begin(self, to_do: bytes) -> Keep:
        """Return the message that keeps what is to be done for the request, which is carried out in many changes."""
        return Keep(self.key, Answer(self.digest, HTTPStatus.PROCESSING, {}, to_do))

    def part(self, name: str, change: Change[T], note: Callable[[T], bytes]) -> Once[T]:
        """Return the message that makes one of these changes once, and keeps a note of its result.

        It is kept for as long as the answer to the request: a second thread may carry out the same request.
        """
        # No client can send a key with a space.
        key = f"{self.key} {name}"
        return Once(key, self.digest, change, lambda result: Answer(self.digest, HTTPStatus.OK, {}, note(result)))

    def end(self, response: Response) -> Keep:
        """Return the message that keeps the response after all changes."""
        return Keep(self.key, self._answer(response))

    def _answer(self, response: Response) -> Answer:
        assert isinstance(response.body, bytes)
        return Answer(self.digest, response.status, dict(response.headers), response.body)


def response_of(kept: Answer) -> Response:
    """Return the response to a request from the answer that was kept for it."""
    return Response(kept.status, kept.body, kept.headers | (_REPEATED if kept.is_repeated else {}))


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
        keyed = Keyed.of(request, operation)
        if keyed is None:
            return respond(self._engine.call(change(), request.caller))
        with self._store.reading(request.caller.owners) as session:
            kept = keyed.kept(session)
        return response_of(kept or self._engine.call(keyed.once(change(), respond), request.caller))
