"""Kala as a whole: builds the parts, starts them in order, and stops them in reverse."""

import gc
import logging
import os
import resource
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socket import AF_UNIX, socket
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from kala.access.gate import Gate
from kala.api.accounts import TokenRoutes, UserRoutes
from kala.api.application import application
from kala.api.audit import AuditRoutes
from kala.api.bulk import BulkRoutes
from kala.api.job_lists import JobLists
from kala.api.jobs import JobRoutes
from kala.api.openapi import OpenApiRoutes
from kala.api.output import Outputs
from kala.api.overview import OverviewRoutes
from kala.api.route import Table, bind
from kala.api.routes import ROUTES
from kala.api.runs import RunRoutes
from kala.api.sessions import SessionRoutes
from kala.api.status import StatusRoutes
from kala.api.system import SystemRoutes
from kala.api.upcoming import UpcomingRoutes
from kala.config import DEFAULT_ORIGINS, Config, Loaded, check_reach, is_loopback
from kala.core.caller import KALA
from kala.core.errors import Busy, KalaError
from kala.core.limits import FOLLOWED
from kala.engine.boot import boot_id
from kala.engine.engine import Engine
from kala.engine.feed import Feed
from kala.engine.messages import Drain, ReconsiderPools
from kala.engine.pruner import Retention
from kala.heartbeat import Heartbeat
from kala.runner import cgroup
from kala.runner.executor import Executor
from kala.runner.launch import RunDefaults
from kala.server.certificate import Certificate
from kala.server.listener import SocketFile, listen
from kala.server.server import Server
from kala.server.streamer import Streamer
from kala.store.store import Store
from kala.ui.backend import Calls
from kala.ui.login_cookie import LoginCookie
from kala.ui.routes import pages
from kala.ui.site import Renderer
from kala.zone import ServerZone

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

# A thread that computes must let another start its run; Python's own 5 ms made runs late by seconds under load.
_SWITCH_SECONDS = 1e-4
# How long requests in flight have to finish when Kala stops.
_REQUEST_SECONDS = 5.0
# How long the end of a run may take to be recorded after its processes are killed.
_REAP_SECONDS = 5.0
_NO_THREADS = "Kala has reached its limit of threads; raise TasksMax= of its unit or ulimit -u, or reduce workers"
# The group whose members can connect to the Unix socket; the package creates it.
_SOCKET_GROUP = "kala"
_PLAIN_HTTP = (
    "others on the network can read passwords and tokens that are sent to %s; set tls_certificate and tls_key, or put a"
    " proxy in front and name it in trusted_proxies"
)
_STOPPED = "cancelled because Kala was stopped"

logger = logging.getLogger("kala.app")


class App:
    """One running Kala. Owned by one thread, which starts it once and stops it once or more."""

    def __init__(
        self,
        config: Config,
        heartbeat: Heartbeat,
        listeners: Sequence[socket] = (),
        *,
        socket_path: Path | None = None,
        origins: Mapping[str, str] = DEFAULT_ORIGINS,
        admin_token: str = "",
    ) -> None:
        """Open the sockets and the database, and build the parts. Raises KalaError if that fails.

        `listeners`, which App then closes, replace the interface and port of the settings. At `socket_path`, Kala also
        listens for programs of the same user and of the group kala. `origins` has where each setting comes from, to be
        shown. `admin_token` is a token of an administrator that is not in the database.
        """
        self.config = config
        self._origins = dict(origins)
        with ExitStack() as undo:
            listening = [undo.enter_context(one) for one in listeners or [listen(config.interface, config.port)]]
            self._certificate = _certificate(config)
            self._store = Store(_data_dir(config, undo), config.durability)
            undo.callback(self._store.close)
            self._check_reach(listening, has_admin=bool(admin_token))
            self._zone = ServerZone(os.environ)
            self.feed = Feed()
            self.streamer = Streamer(min(FOLLOWED, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4))
            self.feed.subscribe(self.streamer.wake)
            groups = cgroup.set_up()
            self._executor = Executor(
                config.workers, self._store.outputs, self._run_defaults, groups, self.streamer.wake
            )
            self._engine = Engine(
                self._store,
                self._executor,
                self.feed,
                self._zone,
                pools=lambda: self.config.pools,
                keep=self._retention,
                beat=heartbeat.beat,
                beat_interval=heartbeat.interval,
                boot_id=boot_id(),
                own_user="root" if os.geteuid() == 0 else "",
                access_changed=self._access_changed,
            )
            self._gate = Gate(self._engine, self._store, config, admin_token)
            wsgi = self._application(groups)
            # After the store, which only one Kala can open: the file is not that of another one.
            listening += _open_socket(socket_path, undo) if socket_path else []
            self._server = Server(wsgi, *listening, streamer=self.streamer, certificate=self._certificate)
            self.address = _address(listening[0].family, *self._server.address, is_tls=self._certificate is not None)
            self._undo = undo.pop_all()

    def _application(self, groups: cgroup.Groups) -> "WSGIApplication":
        """Return the API and the web UI, as the server calls them."""
        outputs = Outputs(self._store, self._executor)
        self._lists = JobLists(self._store, outputs, lambda: self._zone.current)
        bulk, overview = BulkRoutes(self._engine, self._store), OverviewRoutes(self._store, self._executor)
        self._jobs = JobRoutes(self._engine, self._store, lambda: self.config, groups, lambda: self._zone.current)
        runs = RunRoutes(self._engine, self._store, outputs, self._executor, lambda: self.config.pools)
        system = SystemRoutes(self._store, self.feed, lambda: self._zone.current)
        status = StatusRoutes(
            self._engine,
            self._store,
            lambda: Loaded(self.config, self._origins),
            zone=lambda: self._zone.current,
            tzdata=lambda: self._zone.tzdata,
            groups=groups,
            usage=lambda: self._server.usage,
            certificate_expires_at=lambda: self._certificate.expires_at if self._certificate else None,
        )
        upcoming = UpcomingRoutes(self._store, lambda: self._zone.current)
        access = (
            SessionRoutes(self._engine, self._store, self._gate),
            UserRoutes(self._engine, self._store),
            TokenRoutes(self._engine, self._store),
            AuditRoutes(self._store),
        )
        about_jobs = (self._lists, bulk, overview, self._jobs, runs, upcoming)
        routes = bind(ROUTES, *about_jobs, *access, system, status, OpenApiRoutes(ROUTES))
        cookie = LoginCookie(self._gate, self.config.base_path)
        renderer = Renderer(Calls(routes), lambda: self._zone.current, self.config.base_path, cookie)
        return application(
            Table([*routes, *pages(renderer)]),
            self._gate,
            lambda: self.config.allowed_hosts,
            error_page=renderer.error_page,
            base_path=self.config.base_path,
        )

    def start(self) -> None:
        """Start, and return once requests are answered. Raises KalaError if that fails; then stop() undoes the rest."""
        sys.setswitchinterval(_SWITCH_SECONDS)
        with _thread_limit_as_busy():
            self._engine.start()
            self._undo.callback(self._engine.stop)
            self._undo.callback(self._end_runs)
            self._server.start()
            self._undo.callback(self._server.stop, _REQUEST_SECONDS)
        gc.collect()
        gc.freeze()

    def _access_changed(self) -> None:
        self._gate.forget()
        self.streamer.wake()  # those that may no longer be read end

    def _check_reach(self, listening: Sequence[socket], *, has_admin: bool) -> None:
        with self._store.reading(()) as session:
            has_callers = has_admin or session.accounts.are_any()
        config = self.config
        if config.is_open:
            logger.warning("anyone who can reach Kala can run commands as its user, as auth is off")
        is_safe = config.is_open or config.tls_certificate or config.trusted_proxies
        for address in (one.getsockname()[0] for one in listening if one.family != AF_UNIX):
            check_reach(address, config, has_callers=has_callers)
            if not is_safe and not is_loopback(address):
                logger.warning(_PLAIN_HTTP, address)

    def _run_defaults(self) -> RunDefaults:
        config = self.config  # once, as a reload can replace it meanwhile
        return RunDefaults(
            output_bytes=config.output_limit,
            kill_grace=config.kill_grace,
            refuse_unenforceable=config.missing_limits == "refuse",
        )

    def _retention(self) -> Retention:
        config = self.config
        return Retention(config.keep_for, config.keep_runs, config.keep_bytes, config.keep_audit)

    def status(self) -> str:
        """Return one line for people, such as `1,203 jobs, 2 running, next run in 3 s`."""
        try:
            with self._store.reading(()) as session:
                totals = session.jobs.totals()
        except Busy as error:
            return str(error)
        jobs = f"{totals.jobs:,} job{'' if totals.jobs == 1 else 's'}"
        return f"{jobs}, {self._engine.running} running, {_until(totals.next_due)}"

    def reload(self, config: Config, origins: Mapping[str, str] = {}) -> None:
        """Apply the settings that can change while Kala runs, and load the certificate again. If that fails, keep all.

        `origins` has where those come from that are applied.
        """
        if self._certificate:
            self._certificate.reload()
        before, self.config = self.config, config
        self._zone.refresh()
        try:
            self._engine.call(ReconsiderPools(), KALA)
        except KalaError:
            self.config = before
            raise
        self._gate.configure(config)
        self._origins = {**self._origins, **origins}

    def drain(self) -> None:
        """Start no more runs and accept no more requests; those in flight are answered."""
        self._engine.call(Drain(), KALA)
        self._server.stop(_REQUEST_SECONDS)

    def wait_idle(self, timeout: float) -> bool:
        """Wait until no run is running, for at most `timeout` seconds; return whether none is."""
        return self._engine.wait_idle(timeout)

    def stop(self) -> None:
        """Cancel runs that are still running, record their ends, and close everything. Idempotent."""
        self._undo.close()

    def _end_runs(self) -> None:
        self._engine.call(Drain(), KALA)
        if not self.wait_idle(0):
            self._executor.cancel_all(_STOPPED)
            if not self.wait_idle(self.config.kill_grace):
                self._executor.cancel_all(_STOPPED, force=True)
                self.wait_idle(_REAP_SECONDS)
        self._executor.stop(_REAP_SECONDS)


def _data_dir(config: Config, undo: ExitStack) -> Path:
    return config.data_dir if config.persist else Path(undo.enter_context(TemporaryDirectory(prefix="kala-")))


def _certificate(config: Config) -> Certificate | None:
    return Certificate(config.tls_certificate, config.tls_key) if config.tls_certificate and config.tls_key else None


def _open_socket(path: Path, undo: ExitStack) -> list[socket]:
    """Listen at a path. Not all file systems have sockets, and no path of one is longer than 107 bytes."""
    try:
        opened = SocketFile(path, _SOCKET_GROUP)
    except OSError as error:
        logger.warning("cannot listen on %s: %s; clients can use the port", path, error.strerror or error)
        return []
    undo.callback(opened.remove)
    return [undo.enter_context(opened.socket)]


@contextmanager
def _thread_limit_as_busy() -> Iterator[None]:
    """Raise Busy if Python cannot start a thread."""
    try:
        yield
    except RuntimeError as error:
        if "start new thread" not in str(error):
            raise
        raise Busy(_NO_THREADS) from error


def _address(family: int, host: str, port: int, *, is_tls: bool) -> str:
    if family == AF_UNIX:
        return f"unix:{host}"
    scheme = "https" if is_tls else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _until(due: datetime | None) -> str:
    if due is None:
        return "nothing due"
    seconds = max(0, round((due - datetime.now(UTC)).total_seconds()))
    return f"next run in {timedelta(seconds=seconds) if seconds >= 60 else f'{seconds} s'}"
