"""The routes for the caller's own access: who they are, log-in, log-out, a new password, an invitation."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from msgspec.structs import replace

from kala.access import credentials, passwords
from kala.access.gate import Gate
from kala.api import access_fields, access_schema
from kala.api.access_fields import Body
from kala.api.accounts import logins_view
from kala.api.http import Request, Response, json, no_content
from kala.core.account import Account, Action, Login
from kala.core.caller import Caller
from kala.core.errors import Busy, Conflict, Invalid
from kala.core.foreign import presentable
from kala.engine.access_messages import (
    AcceptInvitation,
    LogIn,
    LogOut,
    NoteRefusal,
    UpdateAccount,
    invalid_invitation,
    wrong_password,
)
from kala.engine.engine import Engine
from kala.store.store import Store

_LONGEST_AGENT = 200
_WRONG_OLD = "old_password: is not your present password"
_UNKNOWN_USER = "?"
_NO_LOGIN = "this caller did not log in with a name and a password, and has no login to end"
_NOTHING_TO_CHANGE = "this caller did not log in with a name and a password, and has no password to change"


class SessionRoutes:
    """The handlers of `/api/v1/me/`, `/api/v1/session/` and `/api/v1/invitation/`."""

    def __init__(self, engine: Engine, store: Store, gate: Gate) -> None:
        self._engine = engine
        self._store = store
        self._gate = gate

    def me(self, request: Request) -> Response:
        caller = request.caller
        with self._store.reading(()) as session:
            logins = logins_view(session, request, caller.user) if caller.user else []
        return json(
            access_schema.OneCaller(
                access_schema.Me(
                    actor=caller.actor,
                    role=caller.role,
                    owners=list(caller.owners),
                    run_as=caller.may_choose_user,
                    address=caller.address,
                    user=caller.user or None,
                    logins=logins,
                )
            )
        )

    def change_password(self, request: Request) -> Response:
        """Check the old password: whoever finds a browser open must not be able to lock its user out."""
        caller, body = request.caller, Body(request, access_schema.NewPassword)
        if not caller.user:
            raise Conflict(_NOTHING_TO_CHANGE)
        old = body.required("old_password", access_fields.secret)
        password = body.required("password", access_fields.secret)
        passwords.check_new(password, caller.user)
        with self._checked(caller, caller.user, old) as checked:
            if checked is None:
                raise Invalid(_WRONG_OLD)
            stored = passwords.hashed(password)

        def revise(account: Account) -> Account:
            # An administrator may have set another password after the old one was checked.
            if account.password != checked.password:
                raise Invalid(_WRONG_OLD)
            return replace(account, password=stored)

        self._engine.call(UpdateAccount(caller.user, revise, caller.login), caller)
        return no_content()

    def log_in(self, request: Request) -> Response:
        body = Body(request, access_schema.Credentials)
        name, password = body.required("name", access_fields.secret), body.required("password", access_fields.secret)
        with self._checked(request.caller, name, password) as account:
            if account is None:
                raise wrong_password()
        now, secret = datetime.now(UTC), credentials.new_secret()
        agent = presentable(request.headers.get("User-Agent", ""))[:_LONGEST_AGENT]
        login = Login(user=name, created_at=now, last_used=now, address=request.caller.address, agent=agent)
        message = LogIn(login, account.password, credentials.hashed(secret), self._gate.idle, self._gate.lifetime)
        self._engine.call(message, _as_user(request, name))
        return json(access_schema.Session(secret, name, account.role, now + self._gate.lifetime), 201)

    def log_out(self, request: Request) -> Response:
        caller = request.caller
        if not caller.user:
            raise Conflict(_NO_LOGIN)
        self._engine.call(LogOut(caller.user, None if request.query["all"] else caller.login), caller)
        return no_content()

    def accept(self, request: Request) -> Response:
        body = Body(request, access_schema.Acceptance)
        secret = body.required("invitation", access_fields.secret)
        password = body.required("password", access_fields.secret)
        digest = credentials.hashed(secret)
        with self._store.reading(()) as session:
            name = session.accounts.invited(digest, datetime.now(UTC)) if credentials.is_secret(secret) else None
        if name is None:
            self._gate.tries.take("", request.caller.place(), time.monotonic())
            raise invalid_invitation()
        passwords.check_new(password, name)
        message = AcceptInvitation(digest, passwords.hashed(password))
        return json(access_schema.Accepted(self._engine.call(message, _as_user(request, name))))

    @contextmanager
    def _checked(self, caller: Caller, name: str, password: str) -> Iterator[Account | None]:
        """Yield the account if the password is right. Whether there is one takes the same time to tell."""
        with self._gate.tries.trying(name, caller.place(), time.monotonic()) as attempt:
            with self._store.reading(()) as session:
                account = session.accounts.get(name)
            try:
                is_right = passwords.matches(password, (account and account.password) or passwords.DUMMY)
            except Busy:
                attempt.give_back()
                raise
            if is_right and account:
                attempt.succeed()
                yield account
                return
            # A name that no account has can be a password in the wrong field.
            target = name if account else _UNKNOWN_USER
            self._engine.call(NoteRefusal(Action.LOGIN, target, str(wrong_password())), caller)
            yield None


def _as_user(request: Request, name: str) -> Caller:
    """Return the caller as the user that they have just shown to be."""
    return replace(request.caller, actor=f"user:{name}")
