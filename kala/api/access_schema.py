"""The JSON about users, tokens, logins and the audit log. Each struct is also a schema in the OpenAPI document."""

from datetime import datetime
from typing import Annotated, Any

import msgspec

from kala.access.passwords import LONGEST, SHORTEST
from kala.api.schema import said
from kala.core.account import Action
from kala.core.caller import ROLES, Role

Time = Annotated[datetime, msgspec.Meta(tz=True)]
Actor = Annotated[str, said("Who it was, such as user:ann, token:ci, peer:root, proxy:ann or local.")]
Owners = Annotated[
    list[str], said("Patterns; the caller sees only jobs whose owner matches one. An empty list means all jobs.")
]
GivenRole = Annotated[Role, msgspec.Meta(extra_json_schema={"enum": [role.value for role in ROLES]})]
RunAs = Annotated[bool, said("Whether they may choose the user that a job runs as.")]
Password = Annotated[str, said(f"At least {SHORTEST} characters, at most {LONGEST}.")]
VALID_FOR = "P1Y"
"""How long a token is valid, unless the request says otherwise."""


class Login(msgspec.Struct, frozen=True):
    """A session of a user in a browser or a terminal."""

    created_at: Time
    last_used: Time
    address: str
    agent: Annotated[str, said("The User-Agent of the program.")]
    is_this: Annotated[bool, said("Whether this request has it.")]


class Me(msgspec.Struct, frozen=True):
    """Who makes the request. `user` is null without a login, as with a token."""

    actor: Actor
    role: GivenRole
    owners: Owners
    run_as: RunAs
    address: str
    user: str | None
    logins: list[Login]


class OneCaller(msgspec.Struct, frozen=True):
    """Who makes the request."""

    me: Me


class NewPassword(msgspec.Struct, frozen=True):
    """A new password for who is logged in. All their other logins end."""

    old_password: str
    password: Password


class Credentials(msgspec.Struct, frozen=True):
    """A name and a password."""

    name: str
    password: str


class Session(msgspec.Struct, frozen=True):
    """A login. The token is shown once."""

    token: Annotated[str, said("For Authorization: Bearer.")]
    user: str
    role: GivenRole
    expires_at: Annotated[Time, said("When the login ends at the latest; without a request, it ends earlier.")]


class NewUser(msgspec.Struct, frozen=True, omit_defaults=True):
    """A new user. Without a password, invite them: with an invitation they choose one."""

    name: str
    role: GivenRole
    owners: Owners = []
    run_as: RunAs = False
    password: Password | None = None


class UserChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """A change of a user; what is not given stays. With a new role or password, all their logins end."""

    role: GivenRole | None = None
    owners: Owners | None = None
    run_as: RunAs | None = None
    password: Password | None = None


class User(msgspec.Struct, frozen=True):
    """A user."""

    name: str
    role: GivenRole
    owners: Owners
    run_as: RunAs
    has_password: Annotated[bool, said("Without one, nobody can log in as this user yet.")]
    created_at: Time
    last_login: Time | None


class OneUser(msgspec.Struct, frozen=True):
    """A user, and where they are logged in."""

    user: User
    logins: list[Login]


class Users(msgspec.Struct, frozen=True):
    """All users, by name."""

    users: list[User]


class Invitation(msgspec.Struct, frozen=True):
    """An invitation to choose a password. It works once, and is shown once."""

    invitation: Annotated[str, said("For POST /api/v1/invitation/, or the page /invitation.")]
    user: str
    expires_at: Time


class Acceptance(msgspec.Struct, frozen=True):
    """An invitation, and the password that the user chooses."""

    invitation: str
    password: Password


class Accepted(msgspec.Struct, frozen=True):
    """The user who can log in now."""

    user: str


class NewToken(msgspec.Struct, frozen=True, omit_defaults=True):
    """A new token for a program."""

    name: str
    role: GivenRole
    owners: Owners = []
    run_as: RunAs = False
    expires_in: Annotated[str, said("An ISO 8601 duration, or never.")] = VALID_FOR


class Token(msgspec.Struct, frozen=True):
    """A token, without its secret."""

    name: str
    role: GivenRole
    owners: Owners
    run_as: RunAs
    created_by: Actor
    created_at: Time
    expires_at: Time | None
    last_used: Time | None


class CreatedToken(msgspec.Struct, frozen=True):
    """A new token. Its secret is shown once."""

    secret: Annotated[str, said("For Authorization: Bearer.")]
    token: Token


class Tokens(msgspec.Struct, frozen=True):
    """All tokens, by name."""

    tokens: list[Token]


class Entry(msgspec.Struct, frozen=True):
    """One line of the audit log."""

    id: int
    at: Time
    actor: Actor
    address: Annotated[str, said("Where the request came from; unix for the Unix socket.")]
    action: Action
    target: Annotated[str, said("The id or name of what it was about.")]
    name: Annotated[str, said("The name of the job, if it was about one.")]
    refused: Annotated[str | None, said("Why it was refused; null if it was done.")]
    changed: Annotated[dict[str, Any], said("The old and the new value of each field that was changed.")]


class Entries(msgspec.Struct, frozen=True):
    """Entries of the audit log, newest first."""

    entries: list[Entry]
    next_before: Annotated[int | None, said("The `before` of the next page; null if this page is not full.")]
