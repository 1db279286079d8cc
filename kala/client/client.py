"""The client: one object for all requests."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from . import access, events
from .access import Entry, Me, Session, Tokens, Users
from .address import Address, find
from .jobs import Jobs
from .json_call import call
from .runs import Runs
from .schedule import Slots, Upcoming
from .transport import Response, Transport, path_of, query_of

if TYPE_CHECKING:
    from typing_extensions import Self


class Client:
    """A client of one server, for any number of threads.

    Without a `url`, it is that of KALA_URL, of ~/.config/kala/cli.toml, of the first Unix socket of a Kala on this
    machine that you may use, or http://127.0.0.1:8000. The `token` is that of KALA_TOKEN, KALA_TOKEN_FILE or
    cli.toml if it is not given; with `is_anonymous`, none is sent until you log in. `ca` is a file with the
    certificates of a CA of your own, in PEM, or else that of KALA_CA or of cli.toml.
    `timeout` is how many seconds the server may be silent within a request; `retries` is how many times a request is
    repeated that can be.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        server: str | None = None,
        ca: str | None = None,
        is_anonymous: bool = False,
        timeout: float = 60.0,
        retries: int = 2,
        agent: str = "kala-client",
        environ: Mapping[str, str] | None = None,
    ) -> None:
        environ = os.environ if environ is None else environ
        address = find(url, token, server=server, ca=ca, is_anonymous=is_anonymous, environ=environ)
        self._transport = Transport(address, timeout=timeout, retries=retries, agent=agent)
        self._call = partial(call, self._transport.request, address.url)
        self.runs = Runs(self._transport, self._call)
        self.jobs = Jobs(self._call, self.runs)
        self.users = Users(self._call)
        self.tokens = Tokens(self._call)

    @property
    def address(self) -> Address:
        """Where the server is."""
        return self._transport.address

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def preview(
        self,
        schedule: str,
        *,
        timezone: str | None = None,
        jitter: str | None = None,
        name: str | None = None,
        count: int | None = None,
        after: str | None = None,
    ) -> Slots:
        """Return what a schedule means, in words and slots."""
        body: dict[str, object] = {"schedule": schedule, "timezone": timezone, "jitter": jitter, "name": name}
        body |= {"count": count, "after": after}
        given = {key: value for key, value in body.items() if value is not None}
        slots: Slots = self._call("POST", path_of("schedule", "preview"), given, type=Slots)
        return slots

    def upcoming(self, *, limit: int | None = None, per_job: int | None = None, until: str | None = None) -> Upcoming:
        """Return the jobs that are due next."""
        query = query_of({"limit": limit, "per_job": per_job, "until": until})
        upcoming: Upcoming = self._call("GET", path_of("upcoming") + query, type=Upcoming)
        return upcoming

    def events(self, *, job: str | None = None, run: int | None = None) -> Iterator[events.Event]:
        """Yield changes from now on, without an end; an event `refetch` says that some were missed."""
        return events.follow(self._transport, {"job": job, "run": run})

    def summary(self) -> dict[str, Any]:
        """Return a few numbers about all jobs, as the API has them."""
        found: dict[str, Any] = self._call("GET", path_of("summary"), type=dict[str, Any])["summary"]
        return found

    def system(self) -> dict[str, Any]:
        """Return how the server itself stands, as the API has it."""
        found: dict[str, Any] = self._call("GET", path_of("system"), type=dict[str, Any])
        return found

    def config(self) -> list[dict[str, Any]]:
        """Return the settings in effect, as the API has them."""
        found: list[dict[str, Any]] = self._call("GET", path_of("config"), type=dict[str, Any])["settings"]
        return found

    def graph(
        self, *, job: str | None = None, depth: int | None = None, components: bool | None = None
    ) -> dict[str, Any]:
        """Return which job starts which, as the API has it."""
        query = query_of({"job": job, "depth": depth, "components": components})
        found: dict[str, Any] = self._call("GET", path_of("graph") + query, type=dict[str, Any])
        return found

    def me(self) -> Me:
        """Return who makes the requests of this client, and what they may do."""
        return access.me(self._call)

    def log_in(self, name: str, password: str) -> Session:
        """Log in with a name and a password. From now on, this client uses the token of the login."""
        # A token that is no longer valid must not keep anybody from logging in.
        with self._transport.without_token() as transport:
            session = access.log_in(partial(call, transport.request, self.address.url), name, password)
        self._transport.use_token(session.token)
        return session

    def log_out(self, *, everywhere: bool = False) -> None:
        """End the login, or all logins of the user. From now on, this client uses no token."""
        access.log_out(self._call, everywhere=everywhere)
        self._transport.use_token("")

    def change_password(self, old: str, new: str) -> None:
        """Change the password of who is logged in. All their other logins end."""
        access.change_password(self._call, old, new)

    def accept_invitation(self, invitation: str, password: str) -> str:
        """Choose a password with an invitation; return the name of the user, who can log in now."""
        return access.accept(self._call, invitation, password)

    def audit(
        self,
        *,
        actor: str | None = None,
        action: str | None = None,
        target: str | None = None,
        since: str | datetime | None = None,
        until: str | datetime | None = None,
        refused: bool | None = None,
        limit: int | None = None,
    ) -> Iterator[Entry]:
        """Yield what was asked for and by whom, the newest first, page by page; at most `limit` entries."""
        filters = {"actor": actor, "action": action, "target": target, "since": since, "until": until}
        return access.audit(self._call, {**filters, "refused": refused}, limit)

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        """Make any request; the path begins with a slash. Only GET, PUT and DELETE are repeated."""
        is_repeatable = method in ("GET", "HEAD", "PUT", "DELETE")
        return self._transport.request(method, path, body, headers or {}, is_repeatable=is_repeatable)

    def stream(self, path: str) -> Iterator[bytes]:
        """Yield the response to a GET request as it comes; it may take as long as it likes."""
        return self._transport.stream(path, has_timeout=False).chunks()
