"""Users, tokens, logins and invitations in the database. Of each secret there is only a digest."""

from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import astuple

from kala.core.account import Account, Login, Token
from kala.core.caller import Role
from kala.store.instants import from_column, from_nullable, to_column, to_nullable
from kala.store.statements import Statements

_OF_ACCOUNTS = "name, role, owners, run_as, password, created_at, last_login"
_ACCOUNTS = f"SELECT {_OF_ACCOUNTS} FROM account ORDER BY name"
_ACCOUNT_NAMED = f"SELECT {_OF_ACCOUNTS} FROM account WHERE name = ?"
_SAVE_ACCOUNT = f"""
    INSERT INTO account ({_OF_ACCOUNTS}) VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (name) DO UPDATE SET role = excluded.role, owners = excluded.owners, run_as = excluded.run_as,
        password = excluded.password, last_login = excluded.last_login
"""
_DELETE_ACCOUNT = "DELETE FROM account WHERE name = ?"
_OF_TOKENS = "name, role, owners, run_as, created_by, created_at, expires_at, last_used"
_TOKENS = f"SELECT {_OF_TOKENS} FROM token ORDER BY name"
_TOKEN_OF = f"SELECT {_OF_TOKENS} FROM token WHERE digest = ?"
_ADD_TOKEN = f"INSERT INTO token ({_OF_TOKENS}, digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_REVOKE = "DELETE FROM token WHERE name = ? RETURNING name"
_OF_LOGINS = "user_name, created_at, last_used, address, agent"
_LOGIN_OF = f"SELECT {_OF_LOGINS} FROM login WHERE digest = ?"
_LOGINS = f"SELECT {_OF_LOGINS} FROM login WHERE user_name = ? ORDER BY last_used DESC"
_ADD_LOGIN = f"INSERT INTO login ({_OF_LOGINS}, digest) VALUES (?, ?, ?, ?, ?, ?)"
_NOTE_USE = [f"UPDATE {table} SET last_used = ? WHERE digest = ?" for table in ("token", "login")]
_DELETE_LOGIN = "DELETE FROM login WHERE digest = ?"
_DELETE_LOGINS = "DELETE FROM login WHERE user_name = ? AND digest != ?"
_DELETE_ALL_BUT = """DELETE FROM login WHERE user_name = ? AND digest NOT IN (
    SELECT digest FROM login WHERE user_name = ? ORDER BY last_used - created_at DESC, created_at DESC LIMIT ?)"""
_DELETE_OLD_LOGINS = "DELETE FROM login WHERE last_used <= ? OR created_at <= ?"
_INVITE = """
    INSERT INTO invitation (user_name, digest, expires_at) VALUES (?, ?, ?)
    ON CONFLICT (user_name) DO UPDATE SET digest = excluded.digest, expires_at = excluded.expires_at
"""
_INVITED = "SELECT user_name FROM invitation WHERE digest = ? AND expires_at > ?"
_DELETE_INVITATION = "DELETE FROM invitation WHERE user_name = ?"
_ARE_ANY = "SELECT EXISTS (SELECT 1 FROM account) OR EXISTS (SELECT 1 FROM token)"
_INSTANCE = "SELECT id FROM instance"

_OWNERS = msgspec.json.Decoder(tuple[str, ...])


class Accounts:
    """The tables of who may call, on one connection."""

    def __init__(self, sql: Statements) -> None:
        self._sql = sql

    def instance(self) -> str:
        """Return the id of this database, by which browsers tell the cookies of several Kalas apart."""
        return str(self._sql(_INSTANCE).fetchone()[0])

    def are_any(self) -> bool:
        """Return whether there is a user or a token."""
        return bool(self._sql(_ARE_ANY).fetchone()[0])

    def all(self) -> list[Account]:
        return [_account(row) for row in self._sql(_ACCOUNTS).fetchall()]

    def get(self, name: str) -> Account | None:
        row = self._sql(_ACCOUNT_NAMED, (name,)).fetchone()
        return row and _account(row)

    def save(self, account: Account) -> None:
        name, role, owners, run_as, password, created_at, last_login = astuple(account)
        permissions = (str(role), _encoded(owners), run_as)
        self._sql(_SAVE_ACCOUNT, (name, *permissions, password, to_column(created_at), to_nullable(last_login)))

    def delete(self, name: str) -> None:
        """Delete a user, with the user's logins and invitation."""
        self._sql(_DELETE_ACCOUNT, (name,))
        self.end_logins(name)
        self._sql(_DELETE_INVITATION, (name,))

    def tokens(self) -> list[Token]:
        return [_token(row) for row in self._sql(_TOKENS).fetchall()]

    def token_of(self, digest: bytes) -> Token | None:
        row = self._sql(_TOKEN_OF, (digest,)).fetchone()
        return row and _token(row)

    def add_token(self, token: Token, digest: bytes) -> None:
        name, role, owners, run_as, created_by, created_at, expires_at, last_used = astuple(token)
        times = (to_column(created_at), to_nullable(expires_at), to_nullable(last_used))
        self._sql(_ADD_TOKEN, (name, str(role), _encoded(owners), run_as, created_by, *times, digest))

    def delete_token(self, name: str) -> bool:
        """Delete a token; return whether there was one."""
        return self._sql(_REVOKE, (name,)).fetchone() is not None

    def note_use(self, digest: bytes, at: datetime) -> None:
        """Note when the token or the login with a digest was used; there may be none by now."""
        for statement in _NOTE_USE:
            self._sql(statement, (to_column(at), digest))

    def login_of(self, digest: bytes) -> Login | None:
        row = self._sql(_LOGIN_OF, (digest,)).fetchone()
        return row and _login(row)

    def logins(self, user: str) -> list[Login]:
        """Return a user's logins, the one used last first."""
        return [_login(row) for row in self._sql(_LOGINS, (user,)).fetchall()]

    def add_login(self, login: Login, digest: bytes) -> None:
        times = (to_column(login.created_at), to_column(login.last_used))
        self._sql(_ADD_LOGIN, (login.user, *times, login.address, login.agent, digest))

    def end_login(self, digest: bytes) -> None:
        self._sql(_DELETE_LOGIN, (digest,))

    def end_logins(self, user: str, keep: bytes = b"") -> None:
        """Delete the logins of a user, except the one with a digest."""
        self._sql(_DELETE_LOGINS, (user, keep))

    def delete_old_logins(self, used_until: datetime, created_until: datetime) -> None:
        self._sql(_DELETE_OLD_LOGINS, (to_column(used_until), to_column(created_until)))

    def limit_logins(self, user: str, most: int) -> bool:
        """Keep the `most` logins of a user that were used for the longest time; return whether there were more.

        So those of a script that logs in for each request go first, and not that of a browser.
        """
        return bool(self._sql(_DELETE_ALL_BUT, (user, user, most)).rowcount)

    def invite(self, user: str, digest: bytes, expires_at: datetime) -> None:
        """Keep an invitation in place of the one from before."""
        self._sql(_INVITE, (user, digest, to_column(expires_at)))

    def invited(self, digest: bytes, now: datetime) -> str | None:
        """Return the user whom an invitation is for, None if it is not valid."""
        row = self._sql(_INVITED, (digest, to_column(now))).fetchone()
        return row and str(row[0])

    def end_invitation(self, user: str) -> None:
        self._sql(_DELETE_INVITATION, (user,))


def _encoded(owners: tuple[str, ...]) -> str:
    return msgspec.json.encode(owners).decode()


def _account(row: tuple[Any, ...]) -> Account:
    name, role, owners, run_as, password, created_at, last_login = row
    return Account(
        name=name,
        role=Role(role),
        owners=_OWNERS.decode(owners),
        run_as=bool(run_as),
        password=password,
        created_at=from_column(created_at),
        last_login=from_nullable(last_login),
    )


def _token(row: tuple[Any, ...]) -> Token:
    name, role, owners, run_as, created_by, created_at, expires_at, last_used = row
    return Token(
        name=name,
        role=Role(role),
        owners=_OWNERS.decode(owners),
        run_as=bool(run_as),
        created_by=created_by,
        created_at=from_column(created_at),
        expires_at=from_nullable(expires_at),
        last_used=from_nullable(last_used),
    )


def _login(row: tuple[Any, ...]) -> Login:
    user, created_at, last_used, address, agent = row
    return Login(
        user=user,
        created_at=from_column(created_at),
        last_used=from_column(last_used),
        address=address,
        agent=agent,
    )
