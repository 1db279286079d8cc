"""Users, tokens, logins, and what the audit log tells."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from kala.core.caller import Role


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """A user of Kala. Without a `password` (a hash), nobody can log in as this user until an invitation is used."""

    name: str
    role: Role
    owners: tuple[str, ...] = ()
    run_as: bool = False
    password: str = ""
    created_at: datetime
    last_login: datetime | None = None


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A token for programs. Its secret is not here: only a digest of it is stored."""

    name: str
    role: Role
    owners: tuple[str, ...] = ()
    run_as: bool = False
    created_by: str
    created_at: datetime
    expires_at: datetime | None = None
    last_used: datetime | None = None


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """A session of a user who has logged in."""

    user: str
    created_at: datetime
    last_used: datetime
    address: str
    agent: str


class Action(StrEnum):
    """What was done, or refused, as the audit log names it."""

    JOB_CREATE = "job.create"
    JOB_UPDATE = "job.update"
    JOB_DELETE = "job.delete"
    JOB_DELETE_ALL = "job.delete_all"
    JOB_START = "job.start"
    JOB_CANCEL = "job.cancel"
    RUN_RETRY = "run.retry"
    RUN_CANCEL = "run.cancel"
    RUN_DELETE = "run.delete"
    USER_CREATE = "user.create"
    USER_UPDATE = "user.update"
    USER_DELETE = "user.delete"
    USER_INVITE = "user.invite"
    USER_LOGOUT = "user.logout"
    TOKEN_CREATE = "token.create"  # noqa: S105  no password
    TOKEN_DELETE = "token.delete"  # noqa: S105
    LOGIN = "login"
    LOGOUT = "logout"
    REQUEST = "request"  # one that was refused before it was known what it would do


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the audit log. `actor` and `address` say who asked, `target` and `name` what it was about.

    `refused` is the sentence of a refusal, empty for what was done. `changed` has the old and the new value of each
    field that was changed, `***` for what can be a secret.
    """

    id: int = 0
    at: datetime
    actor: str
    address: str
    action: Action
    target: str = ""
    name: str = ""
    refused: str = ""
    changed: dict[str, Any] = {}
