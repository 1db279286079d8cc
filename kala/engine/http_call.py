"""One HTTP request, from start to outcome. The response's body is the run's output."""

import socket
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from threading import Timer
from typing import Any

from kala.core.job import HttpCall
from kala.core.run import Outcome, State
from kala.engine.control import Control
from kala.engine.output import Output

_CHUNK = 1 << 16


class _Lifeline:
    """The sockets of one call, so that a deadline or a cancel can cut it off wherever it waits."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []
        self._is_cut = False
        self.is_late = False

    def hold(self, connection: socket.socket) -> None:
        self._sockets.append(connection)
        if self._is_cut:
            raise ConnectionAbortedError("cut off")

    def cut(self) -> None:
        self._is_cut = True
        for connection in list(self._sockets):
            with suppress(OSError):  # it closed by itself
                connection.shutdown(socket.SHUT_RDWR)

    def expire(self) -> None:
        self.is_late = True
        self.cut()


def execute(call: HttpCall, timeout: float, output: Output, control: Control) -> Outcome:
    """Make the request, following redirects as `requests` does, and judge the status of the response.

    All of it must be done within `timeout` seconds.
    """
    clock = time.monotonic_ns()
    line = _Lifeline()
    deadline = Timer(timeout, line.expire)
    deadline.daemon = True
    status, problem = None, ""
    try:
        deadline.start()
        with control.heard_by(line.cut):
            status = _request(call, timeout, line, output)
    except Exception as error:  # noqa: BLE001  requests, urllib3 and the socket have no common ancestor to name
        cause = _innermost(error)
        problem = (isinstance(cause, OSError) and cause.strerror) or str(cause)
        line.is_late = line.is_late or isinstance(cause, TimeoutError)  # the socket's clock can ring before ours
    finally:
        deadline.cancel()
    if control.reason:
        state, message = control.state, control.reason
    elif line.is_late:
        state, message = State.TIMED_OUT, f"no complete response from {call.url} within {timeout:g} s"
    else:
        state, message = _judge(call, status, problem)
    return Outcome(
        state=state,
        ended_at=datetime.now(UTC),
        duration=time.monotonic_ns() - clock,
        message=message,
        http_status=status,
    )


def _request(call: HttpCall, timeout: float, line: _Lifeline, output: Output) -> int:
    # Importing requests takes longer than starting a run, and many installations call no URL.
    import requests  # noqa: PLC0415

    with requests.Session() as session:
        session.auth = _authorized
        session.mount("http://", _adapter(line.hold))
        session.mount("https://", _adapter(line.hold))
        headers = {name: ", ".join(values) for name, values in call.headers}
        body = call.body.encode() or None
        if body and not any(name.lower() == "content-type" for name in headers):
            headers["Content-Type"] = "application/json"  # as in Go's Kala, whose users send JSON
        with session.request(
            call.method, call.url, data=body, headers=headers, timeout=timeout, stream=True
        ) as response:
            for chunk in response.iter_content(_CHUNK):
                output.write(chunk)
            return response.status_code


def _authorized(request: Any) -> Any:
    """In place of what a .netrc file of Kala's user would add: a job sends what it says, and nothing else."""
    from requests.auth import HTTPBasicAuth  # noqa: PLC0415
    from requests.utils import get_auth_from_url  # noqa: PLC0415

    user, password = get_auth_from_url(request.url)
    if (user or password) and "Authorization" not in request.headers:
        return HTTPBasicAuth(user, password)(request)
    return request


def _adapter(hold: Callable[[socket.socket], None]) -> Any:
    """An adapter of requests that shows each socket that it opens."""
    from requests.adapters import HTTPAdapter  # noqa: PLC0415
    from urllib3 import HTTPConnectionPool, HTTPSConnectionPool  # noqa: PLC0415

    def showing(pool: Any) -> Any:
        class Connection(pool.ConnectionCls):  # type: ignore[misc]  # made from the pool's own class
            def _new_conn(self) -> socket.socket:
                return _connected((self._dns_host, self.port), self.timeout, hold)

            def connect(self) -> None:
                super().connect()
                hold(self.sock)  # with TLS it is another one now

        return type(pool.__name__, (pool,), {"ConnectionCls": Connection})

    class Adapter(HTTPAdapter):
        def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
            manager = super().proxy_manager_for(*args, **kwargs)
            manager.pool_classes_by_scheme = pools
            return manager

    pools = {"http": showing(HTTPConnectionPool), "https": showing(HTTPSConnectionPool)}
    adapter = Adapter()
    adapter.poolmanager.pool_classes_by_scheme = pools
    return adapter


def _connected(address: tuple[str, int], timeout: float, hold: Callable[[socket.socket], None]) -> socket.socket:
    """What socket.create_connection does, but the socket can be cut off while it connects."""
    problem = OSError(f"no address of {address[0]}")
    for family, kind, protocol, _, found in socket.getaddrinfo(*address, type=socket.SOCK_STREAM):
        connection = socket.socket(family, kind, protocol)
        try:
            hold(connection)
            connection.settimeout(timeout)
            connection.connect(found)
        except OSError as error:
            connection.close()
            problem = error
        else:
            return connection
    raise problem


def _judge(call: HttpCall, status: int | None, problem: str) -> tuple[State, str]:
    if problem:
        return State.FAILED, f"{call.method} {call.url}: {problem}"
    if status in call.expected_codes:
        return State.SUCCEEDED, ""
    expected = ", ".join(map(str, call.expected_codes))
    return State.FAILED, f"{call.method} {call.url} answered {status}, expected {expected}"


def _innermost(error: BaseException) -> BaseException:
    """The reason that a person can act on, `Connection refused`, and not a connection pool's view of it."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return error
