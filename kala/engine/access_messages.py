"""What can be asked of the engine about users, tokens and logins. Secrets are hashed before they come here."""

from collections.abc import Callable
from datetime import datetime, timedelta

from msgspec.structs import replace

from kala.core import permissions
from kala.core.account import Account, Action, Login, Token
from kala.core.errors import Conflict, NotFound, Unauthorized
from kala.core.limits import LOGINS
from kala.core.masking import MASK
from kala.engine.messages import Change
from kala.engine.step import Step

# What a user or a token may do.
_PERMISSIONS = ("role", "owners", "run_as")


class CreateAccount(Change[Account], frozen=True):
    account: Account

    def carry_out(self, step: Step) -> Account:
        name = self.account.name
        if step.accounts.get(name):
            raise Conflict(f"name: a user {name} exists; use another name, or change that user")
        permissions.check_limit(self.account.role, self.account.owners)
        step.accounts.save(self.account)
        step.effects.has_changed_access = True
        step.note(Action.USER_CREATE, name, changed=_permissions(None, self.account))
        return self.account


class UpdateAccount(Change[Account], frozen=True):
    """`revise` is pure, and gets the account as it is at that moment.

    With another role or password, the logins of the user end, except the one with the digest `keep`.
    """

    name: str
    revise: Callable[[Account], Account]
    keep: bytes = b""

    def carry_out(self, step: Step) -> Account:
        before = existing(step, self.name)
        account = self.revise(before)
        _update(step, before, account, self.keep)
        return account


class DeleteAccount(Change[None], frozen=True):
    name: str

    def carry_out(self, step: Step) -> None:
        existing(step, self.name)
        step.accounts.delete(self.name)
        step.effects.has_changed_access = True
        step.note(Action.USER_DELETE, self.name)


class Invite(Change[None], frozen=True):
    """From now on, this invitation to choose a password is the only one of the user."""

    name: str
    digest: bytes
    expires_at: datetime

    def carry_out(self, step: Step) -> None:
        existing(step, self.name)
        step.accounts.invite(self.name, self.digest, self.expires_at)
        step.note(Action.USER_INVITE, self.name)


class AcceptInvitation(Change[str], frozen=True):
    """The answer is the name of the user, who has this password now."""

    digest: bytes
    password: str

    def carry_out(self, step: Step) -> str:
        name = step.accounts.invited(self.digest, step.now)
        if name is None:
            raise invalid_invitation()
        before = existing(step, name)
        _update(step, before, replace(before, password=self.password))
        return name


class CreateToken(Change[None], frozen=True):
    token: Token
    digest: bytes

    def carry_out(self, step: Step) -> None:
        name = self.token.name
        if any(token.name == name for token in step.accounts.tokens()):
            raise Conflict(f"name: a token {name} exists; use another name, or revoke that token")
        permissions.check_limit(self.token.role, self.token.owners)
        step.accounts.add_token(self.token, self.digest)
        step.effects.has_changed_access = True
        step.note(Action.TOKEN_CREATE, name, changed=_permissions(None, self.token))


class DeleteToken(Change[None], frozen=True):
    name: str

    def carry_out(self, step: Step) -> None:
        if not step.accounts.delete_token(self.name):
            raise no_token(self.name)
        step.effects.has_changed_access = True
        step.note(Action.TOKEN_DELETE, self.name)


class LogIn(Change[None], frozen=True):
    """`password` is the stored one that was checked: it takes a while, in which the user can get another one.

    Logins that were not used for `idle`, those that began before `lifetime`, and of very many those that were used
    for the shortest time are deleted at the same time.
    """

    login: Login
    password: str
    digest: bytes
    idle: timedelta
    lifetime: timedelta

    def carry_out(self, step: Step) -> None:
        account = step.accounts.get(self.login.user)
        if account is None or account.password != self.password:
            raise wrong_password()
        step.accounts.delete_old_logins(step.now - self.idle, step.now - self.lifetime)
        if step.accounts.limit_logins(self.login.user, LOGINS - 1):
            step.effects.has_changed_access = True
        step.accounts.add_login(self.login, self.digest)
        step.accounts.save(replace(account, last_login=step.now))
        step.note(Action.LOGIN, self.login.user)


class LogOut(Change[None], frozen=True):
    """One login of a user ends, or all of them without a `digest`."""

    user: str
    digest: bytes | None = None

    def carry_out(self, step: Step) -> None:
        if self.digest is None:
            existing(step, self.user)
            step.accounts.end_logins(self.user)
        else:
            step.accounts.end_login(self.digest)
        step.effects.has_changed_access = True
        step.note(Action.LOGOUT if step.caller.user == self.user else Action.USER_LOGOUT, self.user)


class NoteUse(Change[None], frozen=True):
    """A token or a login was used."""

    digest: bytes
    at: datetime

    def carry_out(self, step: Step) -> None:
        step.accounts.note_use(self.digest, self.at)


class NoteRefusal(Change[None], frozen=True):
    """A request was refused."""

    action: Action
    target: str
    sentence: str

    def carry_out(self, step: Step) -> None:
        step.note(self.action, self.target, refused=self.sentence)


def _update(step: Step, before: Account, after: Account, keep: bytes = b"") -> None:
    permissions.check_limit(after.role, after.owners)
    step.accounts.save(after)
    if (before.role, before.password) != (after.role, after.password):
        step.accounts.end_logins(after.name, keep)
    changed = _permissions(before, after)
    if before.password != after.password:
        step.accounts.end_invitation(after.name)  # whoever has it could replace the new password
        changed["password"] = [MASK, MASK]
    step.effects.has_changed_access = True
    step.note(Action.USER_UPDATE, after.name, changed=changed)


def existing(step: Step, name: str) -> Account:
    account = step.accounts.get(name)
    if account is None:
        raise no_user(name)
    return account


def no_user(name: str) -> NotFound:
    return NotFound(f"no user has the name {name[:100]!r}")


def no_token(name: str) -> NotFound:
    return NotFound(f"no token has the name {name[:100]!r}")


def wrong_password() -> Unauthorized:
    return Unauthorized("the name or the password is wrong")


def invalid_invitation() -> NotFound:
    return NotFound(
        "invitation: not valid; an invitation works once, within an hour; ask an administrator for another one"
    )


def _permissions(before: Account | None, after: Account | Token) -> dict[str, object]:
    """Return the old and the new values of the permissions that differ; of a new user or token, there is no old one."""
    return {
        name: [getattr(before, name, None), getattr(after, name)]
        for name in _PERMISSIONS
        if getattr(before, name, None) != getattr(after, name)
    }
