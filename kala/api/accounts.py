"""The routes about users and tokens, for administrators."""

from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from kala.access import credentials, passwords
from kala.api import access_fields, access_schema, fields
from kala.api.access_fields import Body
from kala.api.http import Request, Response, json, no_content
from kala.core import duration
from kala.core.account import Account, Login, Token
from kala.engine.access_messages import (
    CreateAccount,
    CreateToken,
    DeleteAccount,
    DeleteToken,
    Invite,
    LogOut,
    UpdateAccount,
    no_user,
)
from kala.engine.messages import Carrier
from kala.store.store import Session, Store

_INVITED_FOR = timedelta(hours=1)
_VALID_FOR = duration.parse(access_schema.VALID_FOR, "expires_in")


class UserRoutes:
    """The handlers of `/api/v1/user/`."""

    def __init__(self, engine: Carrier, store: Store) -> None:
        self._engine = engine
        self._store = store

    def list_all(self, _: Request) -> Response:
        with self._store.reading(()) as session:
            return json(access_schema.Users(list(map(_user_view, session.accounts.all()))))

    def create(self, request: Request) -> Response:
        body = Body(request, access_schema.NewUser)
        name = body.required("name", access_fields.name)
        account = Account(
            name=name,
            **_permissions(body),
            password=_hashed(body, name),
            created_at=datetime.now(UTC),
        )
        account = self._engine.call(CreateAccount(account), request.caller)
        return json(access_schema.OneUser(_user_view(account), []), 201, {"Location": f"/api/v1/user/{name}/"})

    def change(self, request: Request) -> Response:
        name, body = request.path["name"], Body(request, access_schema.UserChange)
        change: dict[str, Any] = {
            "role": body.get("role", access_fields.role),
            "owners": body.get("owners", access_fields.owners),
            "run_as": body.get("run_as", fields.flag),
            "password": _hashed(body, name) or None,
        }
        given = {field: value for field, value in change.items() if value is not None}
        self._engine.call(UpdateAccount(name, lambda account: replace(account, **given)), request.caller)
        return self.get(request)

    def delete(self, request: Request) -> Response:
        self._engine.call(DeleteAccount(request.path["name"]), request.caller)
        return no_content()

    def invite(self, request: Request) -> Response:
        name, secret, expires_at = request.path["name"], credentials.new_secret(), datetime.now(UTC) + _INVITED_FOR
        self._engine.call(Invite(name, credentials.hashed(secret), expires_at), request.caller)
        return json(access_schema.Invitation(secret, name, expires_at), 201)

    def log_out(self, request: Request) -> Response:
        self._engine.call(LogOut(request.path["name"]), request.caller)
        return no_content()

    def get(self, request: Request) -> Response:
        name = request.path["name"]
        with self._store.reading(()) as session:
            account = session.accounts.get(name)
            if account is None:
                raise no_user(name)
            return json(access_schema.OneUser(_user_view(account), logins_view(session, request, name)))


class TokenRoutes:
    """The handlers of `/api/v1/token/`."""

    def __init__(self, engine: Carrier, store: Store) -> None:
        self._engine = engine
        self._store = store

    def list_all(self, _: Request) -> Response:
        with self._store.reading(()) as session:
            return json(access_schema.Tokens(list(map(_token_view, session.accounts.tokens()))))

    def create(self, request: Request) -> Response:
        body, now = Body(request, access_schema.NewToken), datetime.now(UTC)
        token = Token(
            name=body.required("name", access_fields.token_name),
            **_permissions(body),
            created_by=request.caller.actor,
            created_at=now,
            expires_at=body.get("expires_in", access_fields.expiry(now), _VALID_FOR.after_clamped(now)),
        )
        secret = credentials.new_secret()
        self._engine.call(CreateToken(token, credentials.hashed(secret)), request.caller)
        return json(access_schema.CreatedToken(secret, _token_view(token)), 201)

    def delete(self, request: Request) -> Response:
        self._engine.call(DeleteToken(request.path["name"]), request.caller)
        return no_content()


def _permissions(body: Body) -> dict[str, Any]:
    """Return what a new user or token may do, by the names of the attributes."""
    return {
        "role": body.required("role", access_fields.role),
        "owners": body.get("owners", access_fields.owners, ()),
        "run_as": body.get("run_as", fields.flag, default=False),
    }


def _hashed(body: Body, name: str) -> str:
    """Return what is stored of the password in a request, empty if there is none."""
    password = body.get("password", access_fields.secret)
    if password is None:
        return ""
    passwords.check_new(password, name)
    return passwords.hashed(password)


def logins_view(session: Session, request: Request, user: str) -> list[access_schema.Login]:
    """Return the JSON of a user's logins."""
    this = session.accounts.login_of(request.caller.login)
    return [_login_view(login, is_this=login == this) for login in session.accounts.logins(user)]


def _login_view(login: Login, *, is_this: bool) -> access_schema.Login:
    return access_schema.Login(login.created_at, login.last_used, login.address, login.agent, is_this)


def _user_view(account: Account) -> access_schema.User:
    return access_schema.User(
        name=account.name,
        role=account.role,
        owners=list(account.owners),
        run_as=account.run_as,
        has_password=bool(account.password),
        created_at=account.created_at,
        last_login=account.last_login,
    )


def _token_view(token: Token) -> access_schema.Token:
    return access_schema.Token(
        name=token.name,
        role=token.role,
        owners=list(token.owners),
        run_as=token.run_as,
        created_by=token.created_by,
        created_at=token.created_at,
        expires_at=token.expires_at,
        last_used=token.last_used,
    )
