"""Who makes a request, and what they may do."""

import re
from collections.abc import Callable, Iterable
from enum import StrEnum
from functools import lru_cache

import msgspec


class Role(StrEnum):
    """What a caller may do. Each role may do what the ones before it may."""

    ANYONE = "anyone"  # without a login
    VIEWER = "viewer"  # reads
    OPERATOR = "operator"  # starts, cancels, retries, enables and disables
    EDITOR = "editor"  # creates, changes and deletes jobs, and so runs any command as Kala's user
    ADMIN = "admin"  # manages users and tokens, and reads the audit log and the settings

    def includes(self, other: "Role") -> bool:
        """Whether who has this role may do what `other` may."""
        return _RANKS[self] >= _RANKS[other]


_RANKS = {role: rank for rank, role in enumerate(Role)}
ROLES = tuple(role for role in Role if role is not Role.ANYONE)
"""The roles that a caller can be given."""


def highest(roles: Iterable[Role]) -> Role | None:
    """Return the role that includes all the others; None if there are no roles."""
    return max(roles, key=_RANKS.__getitem__, default=None)


ACTORS = ("local", "anyone")
"""The actors without a name: Kala's own user on the port, and everyone if nobody is asked who they are."""
ACTOR_KINDS = ("user", "token", "peer", "proxy", "offline")
"""What stands before the name of any other actor, and a colon."""


def is_actor(text: str) -> bool:
    """Return whether the audit log can name somebody like this."""
    kind, _, name = text.partition(":")
    return text in ACTORS or (kind in ACTOR_KINDS and bool(name))


class Caller(msgspec.Struct, frozen=True):
    """Who makes a request: `actor` is how the audit log names them, such as `user:ann`; empty for a stranger.

    `owners` are patterns: only jobs whose owner matches one exist for the caller; all jobs do if there are none.
    `run_as` is the permission to choose the user that a job runs as, which an admin has anyway. `user` is the
    account of a caller who has logged in, and `login` the digest of that login's secret. `place` returns where wrong
    passwords of the caller are counted; it may have to ask the kernel, so it is called only for that.
    """

    actor: str
    role: Role
    owners: tuple[str, ...] = ()
    run_as: bool = False
    address: str = ""
    user: str = ""
    login: bytes = b""
    place: Callable[[], str] = str

    def may(self, role: Role) -> bool:
        return self.role.includes(role)

    @property
    def may_choose_user(self) -> bool:
        """Whether the caller may choose the user that a job runs as."""
        return self.run_as or self.may(Role.ADMIN)

    def sees(self, owner: str) -> bool:
        """Whether a job of this owner exists for the caller."""
        return not self.owners or matches(self.owners, owner)

    def default_owner(self, configured: str) -> str:
        """Return the owner of a new job that names none: the only one that the caller may give, if it is just one."""
        only = self.owners[0] if len(self.owners) == 1 else "*"
        return configured if "*" in only else only

    @property
    def sees_secrets(self) -> bool:
        """Whether the secrets of jobs are shown: to who may write them."""
        return self.may(Role.EDITOR)


NOBODY = Caller("", Role.ANYONE)
KALA = Caller("kala", Role.ADMIN)
"""Kala itself."""


def matches(patterns: Iterable[str], owner: str) -> bool:
    """Whether an owner matches one of these patterns, in which `*` stands for any text. Case counts."""
    return any(_compiled(pattern).fullmatch(owner) for pattern in patterns)


@lru_cache(maxsize=1000)
def _compiled(pattern: str) -> re.Pattern[str]:
    first, *rest = map(re.escape, pattern.split("*"))
    if not rest:
        return re.compile(first)
    # Each part between two wildcards is found at its first place and not searched for again (?>): else an owner such as
    # "aaaa…" takes a time that grows with a power of its length, once for each wildcard.
    between = "".join(f"(?>.*?{part})" for part in rest[:-1])
    return re.compile(f"{first}{between}.*{rest[-1]}", re.DOTALL)
