"""Who makes a request: the one place that finds it out, before any route is called.

What a request says about its caller beats what is known about the connection: a token or a login, then the user of a
trusted proxy, then the user of this machine at the other end.
"""

import base64
import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hmac import compare_digest
from itertools import chain
from threading import Lock
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from kala.access import credentials
from kala.access.buckets import Tries
from kala.access.peers import Peers, unknown_names
from kala.access.proxies import Proxies, is_forwarded, is_https
from kala.config import Config
from kala.core import duration
from kala.core.account import Action
from kala.core.caller import NOBODY, Caller, Role
from kala.core.errors import Busy, Forbidden, Unauthorized
from kala.engine.access_messages import NoteRefusal, NoteUse
from kala.engine.engine import Engine
from kala.server.peer import PEER, Peer
from kala.store.store import Store

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

# How many secrets are remembered. Each is that of a token or a login, so an attacker cannot make more.
_REMEMBERED = 10_000
# How often it is stored that a token or a login was used; for a login, at least twice while it may be idle.
_NOTE_EVERY = timedelta(minutes=1)
# How many refusals of one caller are written to the audit log in a minute.
_REFUSALS = 30
_SAFE_METHODS = ("GET", "HEAD")

logger = logging.getLogger("kala.access")


class _Known(msgspec.Struct):
    """A secret that is valid until `ends_at`, and whose it is. `idle_since` counts for logins."""

    caller: Caller
    ends_at: datetime | None
    noted_at: datetime | None
    idle_since: datetime | None = None


class _Place(msgspec.Struct, frozen=True):
    """Where wrong passwords and tokens are counted. Users of this machine share an address, but no tries.

    `peer` is None if a trusted proxy has said what the address is.
    """

    address: str
    peer: Peer | None

    def __call__(self) -> str:
        uid = self.peer.uid if self.peer else None
        return self.address if uid is None else f"uid {uid}"


class Gate:
    """Finds out who makes each request. For all HTTP threads.

    It forgets what it knows of tokens and logins whenever the engine has changed any of them, before the caller who
    asked for the change gets an answer: so the next request meets the new state. `generation` is another number after
    each such change, and after one of the settings or of a job's owner.
    """

    def __init__(self, engine: Engine, store: Store, config: Config, admin_token: str = "") -> None:
        """`admin_token` is a token that is not in the database."""
        self._engine = engine
        self._store = store
        self.tries = Tries()
        self._lock = Lock()
        self._known: dict[bytes, _Known] = {}
        self.generation = 0
        self._admin_digest = credentials.hashed(admin_token) if admin_token else b""
        self._refusals: dict[str, tuple[int, int]] = {}
        with store.reading(()) as session:
            self.cookie = f"kala-{session.accounts.instance()}"
        self.configure(config)

    def configure(self, config: Config) -> None:
        """Use these settings from now on."""
        self._is_open = config.is_open
        self._peers = Peers(config.peers)
        # Perhaps they are made later, so they are no error.
        if unknown := unknown_names(chain.from_iterable(config.peers.values())):
            logger.warning("peers: this machine has no user or @group named %s", ", ".join(unknown))
        self._proxies = Proxies(
            config.trusted_proxies, config.proxy_user_header, config.proxy_groups_header, config.group_roles
        )
        self.idle = duration.parse(config.session_idle, "session_idle").longest
        self.lifetime = duration.parse(config.session_lifetime, "session_lifetime").longest
        self._note_every = min(_NOTE_EVERY, self.idle / 2)
        self.forget()

    def forget(self) -> None:
        """Read tokens and logins again, as some were changed, or the settings."""
        with self._lock:
            self.generation += 1
            self._known.clear()

    def identify(self, environ: "WSGIEnvironment", headers: Mapping[str, str], *, counts: bool = True) -> Caller:
        """Return who makes a request. Raise Unauthorized for a wrong token, Forbidden for another site's request.

        A wrong token counts as a try. `counts` is false for a request that was let in before.
        """
        peer: Peer = environ[PEER]
        address = self._proxies.client_address(peer, headers)
        place = _Place(address, peer if address == peer.address else None)
        if self._is_open:
            return Caller("anyone", Role.ADMIN, address=address, place=place)
        caller = (
            self._by_token(headers, peer, place, counts=counts)
            or self._by_login(environ, headers)
            or self._proxies.caller(peer, headers)
            or self._by_connection(peer, headers)
            or NOBODY
        )
        return replace(caller, address=address, place=place)

    def _by_token(self, headers: Mapping[str, str], peer: Peer, place: _Place, *, counts: bool) -> Caller | None:
        scheme, secret = _secret_in(headers.get("Authorization", ""))
        if not secret:
            return None
        digest = credentials.hashed(secret)
        if self._admin_digest and compare_digest(digest, self._admin_digest):
            return Caller("token:admin", Role.ADMIN)
        if credentials.is_secret(secret):
            if caller := self._holder(digest):
                return caller
        elif scheme == "basic" or self._proxies.caller(peer, headers):
            return None  # what a proxy has asked for and passes on
        if counts:
            self.tries.take("", place(), time.monotonic())
        raise Unauthorized("Authorization: the token is not valid; it has expired, was revoked, or is mistyped")

    def _by_connection(self, peer: Peer, headers: Mapping[str, str]) -> Caller | None:
        """Return the user of this machine at the other end, unless that is a proxy, and others make the request."""
        return None if is_forwarded(headers) or self._proxies.is_user_of_one(peer) else self._peers.caller(peer)

    def _by_login(self, environ: "WSGIEnvironment", headers: Mapping[str, str]) -> Caller | None:
        secret = self._cookie_in(headers.get("Cookie", ""), is_https=is_https(headers, environ["wsgi.url_scheme"]))
        caller = self._holder(credentials.hashed(secret)) if credentials.is_secret(secret) else None
        if caller is None or not caller.login:  # a token is no cookie
            return None
        is_change = environ["REQUEST_METHOD"] not in _SAFE_METHODS
        # A browser adds the cookie to requests of other sites, too. The guard has refused a foreign Origin already.
        if is_change and "Origin" not in headers and headers.get("Sec-Fetch-Site") != "same-origin":
            raise Forbidden(
                "Origin: missing; a change with a cookie needs it, as browsers send it; programs use a token instead"
            )
        return caller

    def _cookie_in(self, header: str, *, is_https: bool) -> str:
        if self.cookie not in header:
            return ""
        wanted = f"{self.cookie_name(is_https=is_https)}="
        cookies = {
            part.strip(" ").removeprefix(wanted) for part in header.split(";") if part.strip(" ").startswith(wanted)
        }
        # A browser sends two if a page of another port has set one for a path: perhaps that of an attacker's login.
        if len(cookies) > 1:
            raise Unauthorized(
                f"Cookie: {wanted[:-1]} is given twice, so another server of this host has set it, too;"
                " delete the cookies of this host, and log in again"
            )
        return cookies.pop() if cookies else ""

    def cookie_name(self, *, is_https: bool) -> str:
        """Return the name of the cookie: over HTTPS one that no other host or plain request can set (RFC 6265bis)."""
        return f"__Host-{self.cookie}" if is_https else self.cookie

    def _holder(self, digest: bytes) -> Caller | None:
        """Return whose secret this is; None if it is not valid."""
        now = datetime.now(UTC)
        known = self._known.get(digest) or self._read(digest)
        if known is None or (known.ends_at and now >= known.ends_at):
            return None
        if known.idle_since is not None:
            if now - known.idle_since >= self.idle:
                return None
            known.idle_since = now
        if known.noted_at is None or not timedelta() <= now - known.noted_at < self._note_every:
            known.noted_at = now
            self._engine.ask(NoteUse(digest, now), known.caller)
        return known.caller

    def _read(self, digest: bytes) -> _Known | None:
        generation = self.generation
        with self._store.reading(()) as session:
            if token := session.accounts.token_of(digest):
                caller = Caller(f"token:{token.name}", token.role, token.owners, token.run_as)
                known = _Known(caller, token.expires_at, token.last_used)
            elif (login := session.accounts.login_of(digest)) and (account := session.accounts.get(login.user)):
                caller = Caller(
                    f"user:{account.name}",
                    account.role,
                    account.owners,
                    account.run_as,
                    user=account.name,
                    login=digest,
                )
                known = _Known(caller, login.created_at + self.lifetime, login.last_used, login.last_used)
            else:
                return None
        with self._lock:
            if generation == self.generation:  # else it was read before a change
                if len(self._known) >= _REMEMBERED:
                    self._known.clear()
                self._known[digest] = known
        return known

    def refused(self, caller: Caller, method: str, path: str, sentence: str) -> None:
        """Write to the audit log that a caller may not do something; of many times, the first of each minute."""
        minute = int(time.monotonic() // 60)
        with self._lock:
            last, count = self._refusals.get(caller.actor, (minute, 0))
            count = count + 1 if last == minute else 1
            if len(self._refusals) >= _REMEMBERED:
                self._refusals.clear()
            self._refusals[caller.actor] = (minute, count)
        if count <= _REFUSALS:
            request = f"{method} {path}"[:200]
            try:
                self._engine.call(NoteRefusal(Action.REQUEST, request, sentence), caller)
            except Busy as error:
                # The request stays refused: an answer such as 503 would ask the client to try again.
                logger.warning("%s: %s is refused, and not in the audit log: %s", caller.actor, request, error)
        elif count == _REFUSALS + 1:
            logger.warning("%s: many requests are refused; the rest of this minute is not logged", caller.actor)


def _secret_in(authorization: str) -> tuple[str, str]:
    """Return the scheme of an Authorization header, and the Bearer token or the password of Basic (RFC 7617) in it."""
    scheme, _, given = authorization.partition(" ")
    scheme = scheme.lower()
    if scheme == "bearer":
        return scheme, given.strip()
    if scheme != "basic":
        return scheme, ""
    try:
        return scheme, base64.b64decode(given.strip(), validate=True).decode().partition(":")[2]
    except ValueError:
        return scheme, ""
