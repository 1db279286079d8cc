"""Requests about who may call: users, tokens, one's own login, and the audit log."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from .transport import path_of, query_of

_PAGE = 1000


class Login(Struct, frozen=True, kw_only=True):
    """A session of a user in a browser or a terminal."""

    created_at: datetime
    last_used: datetime
    address: str = ""
    agent: str = ""
    is_this: bool = False


class Me(Struct, frozen=True, kw_only=True):
    """Who makes the requests. `user` is None without a login, as with a token."""

    actor: str
    role: str
    owners: tuple[str, ...] = ()
    run_as: bool = False
    address: str = ""
    user: str | None = None
    logins: tuple[Login, ...] = ()


class Session(Struct, frozen=True, kw_only=True):
    """A login. The token is shown once."""

    token: str
    user: str
    role: str
    expires_at: datetime

    def __repr__(self) -> str:
        return f"Session(user={self.user!r}, role={self.role!r}, expires_at={self.expires_at!r})"


class User(Struct, frozen=True, kw_only=True):
    """A user. Without a password, nobody can log in as this user yet. A list of users leaves out the logins."""

    name: str
    role: str
    owners: tuple[str, ...] = ()
    run_as: bool = False
    has_password: bool
    created_at: datetime
    last_login: datetime | None = None
    logins: tuple[Login, ...] | None = None


class Invitation(Struct, frozen=True, kw_only=True):
    """An invitation to choose a password. It works once, and is shown once."""

    invitation: str
    user: str
    expires_at: datetime

    def __repr__(self) -> str:
        return f"Invitation(user={self.user!r}, expires_at={self.expires_at!r})"


class Token(Struct, frozen=True, kw_only=True):
    """A token, without its secret."""

    name: str
    role: str
    owners: tuple[str, ...] = ()
    run_as: bool = False
    created_by: str
    created_at: datetime
    expires_at: datetime | None = None
    last_used: datetime | None = None


class CreatedToken(Struct, frozen=True):
    """A new token. Its secret is shown once."""

    secret: str
    token: Token

    def __repr__(self) -> str:
        return f"CreatedToken(token={self.token!r})"


class Entry(Struct, frozen=True, kw_only=True):
    """One line of the audit log. `changed` has the old and the new value of each field that was changed."""

    id: int
    at: datetime
    actor: str
    address: str = ""
    action: str
    target: str = ""
    name: str = ""
    refused: str | None = None
    changed: dict[str, Any] = {}


class _OneCaller(Struct):
    me: Me


class _OneUser(Struct):
    user: User
    logins: tuple[Login, ...] = ()


class _Users(Struct):
    users: tuple[User, ...]


class _Tokens(Struct):
    tokens: tuple[Token, ...]


class _Entries(Struct):
    entries: tuple[Entry, ...]
    next_before: int | None = None


class _Accepted(Struct):
    user: str


class Users:
    """The users. Only administrators may make these requests."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def create(
        self,
        name: str,
        *,
        role: str,
        owners: Sequence[str] = (),
        run_as: bool = False,
        password: str | None = None,
    ) -> User:
        """Create a user. Without a password, invite them then."""
        body = {"name": name, "role": role, "owners": list(owners), "run_as": run_as}
        given = body if password is None else {**body, "password": password}
        return _user(self._call("POST", path_of("user"), given, is_repeatable=False, type=_OneUser))

    def get(self, name: str) -> User:
        """Read a user, with the logins."""
        return _user(self._call("GET", path_of("user", name), type=_OneUser))

    def list(self) -> tuple[User, ...]:
        """Return all users, by name, without their logins."""
        found: _Users = self._call("GET", path_of("user"), type=_Users)
        return found.users

    def change(
        self,
        name: str,
        *,
        role: str | UnsetType = UNSET,
        owners: Sequence[str] | UnsetType = UNSET,
        run_as: bool | UnsetType = UNSET,
        password: str | UnsetType = UNSET,
    ) -> User:
        """Change a user; what is not given stays. With a new role or password, all their logins end."""
        body = {"role": role, "owners": owners, "run_as": run_as, "password": password}
        given = {field: value for field, value in body.items() if value is not UNSET}
        return _user(self._call("PATCH", path_of("user", name), given, type=_OneUser))

    def delete(self, name: str) -> None:
        """Delete a user. All their logins end."""
        self._call("DELETE", path_of("user", name), is_repeatable=False)

    def invite(self, name: str) -> Invitation:
        """Make an invitation with which a user chooses a password. Those from before end."""
        path = path_of("user", name, "invite")
        invitation: Invitation = self._call("POST", path, is_repeatable=False, type=Invitation)
        return invitation

    def log_out(self, name: str) -> None:
        """End all logins of a user."""
        self._call("POST", path_of("user", name, "logout"))


class Tokens:
    """The tokens of programs. Only administrators may make these requests."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def create(
        self,
        name: str,
        *,
        role: str,
        owners: Sequence[str] = (),
        run_as: bool = False,
        expires_in: str | None = None,
    ) -> CreatedToken:
        """Create a token. `expires_in` is an ISO 8601 duration, or `never`; by default, it is valid for a year."""
        body: dict[str, Any] = {"name": name, "role": role, "owners": list(owners), "run_as": run_as}
        if expires_in is not None:
            body["expires_in"] = expires_in
        created: CreatedToken = self._call("POST", path_of("token"), body, is_repeatable=False, type=CreatedToken)
        return created

    def list(self) -> tuple[Token, ...]:
        """Return all tokens, by name."""
        found: _Tokens = self._call("GET", path_of("token"), type=_Tokens)
        return found.tokens

    def delete(self, name: str) -> None:
        """Delete a token: from now on it is not valid."""
        self._call("DELETE", path_of("token", name), is_repeatable=False)


def me(call: Callable[..., Any]) -> Me:
    found: _OneCaller = call("GET", path_of("me"), type=_OneCaller)
    return found.me


def change_password(call: Callable[..., Any], old: str, new: str) -> None:
    call("PATCH", path_of("me"), {"old_password": old, "password": new}, is_repeatable=False)


def log_in(call: Callable[..., Any], name: str, password: str) -> Session:
    # Each repetition would count as one more try with a password that can be wrong.
    body = {"name": name, "password": password}
    session: Session = call("POST", path_of("session"), body, is_repeatable=False, type=Session)
    return session


def log_out(call: Callable[..., Any], *, everywhere: bool) -> None:
    call("DELETE", path_of("session") + query_of({"all": everywhere or None}), is_repeatable=False)


def accept(call: Callable[..., Any], invitation: str, password: str) -> str:
    body = {"invitation": invitation, "password": password}
    accepted: _Accepted = call("POST", path_of("invitation"), body, is_repeatable=False, type=_Accepted)
    return accepted.user


def audit(call: Callable[..., Any], filters: dict[str, object], limit: int | None) -> Iterator[Entry]:
    before, left = None, limit
    while left is None or left > 0:
        size = _PAGE if left is None else min(left, _PAGE)
        query = query_of({**filters, "limit": size, "before": before})
        page: _Entries = call("GET", path_of("audit") + query, type=_Entries)
        yield from page.entries
        before = page.next_before
        if before is None:
            return
        left = None if left is None else left - size


def _user(answer: _OneUser) -> User:
    return replace(answer.user, logins=answer.logins)
