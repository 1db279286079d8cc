"""One HTTP call, from start to outcome. The response's body is the run's output."""

import ssl
import time
from datetime import UTC, datetime

from kala.core.job import HttpCall
from kala.core.limits import REDIRECTS
from kala.core.masking import MASK
from kala.core.reach import Reach
from kala.core.run import Outcome, State
from kala.core.url import Url
from kala.runner import content, proxy
from kala.runner.cancellation import Cancellation
from kala.runner.connection import Link, NotPermittedError, connect
from kala.runner.exchange import BrokenError, Exchange, Head
from kala.runner.http_request import FOLLOWED, Request, first_request
from kala.runner.lifeline import Lifeline
from kala.runner.output import Output
from kala.runner.scarcity import Scarce


def run(call: HttpCall, timeout: float, output: Output, cancellation: Cancellation, job_id: str) -> Outcome:
    """Make the request, follow redirects, and judge the final response, all within `timeout` seconds.

    Raise Scarce if the system lacks what the first connection needs.
    """
    clock = time.monotonic_ns()
    lifeline = Lifeline(timeout)
    running = _RunningCall(call, job_id, lifeline, output)
    problem, is_late = "", False
    try:
        with cancellation.notifying(lifeline.cut):
            running.run()
    except Scarce as scarce:
        if not running.has_connected:
            raise
        problem = str(scarce)
    except Exception as error:  # noqa: BLE001  sockets, TLS and threads have no common ancestor to name
        is_late = isinstance(error, TimeoutError) and not error.errno  # ETIMEDOUT is the kernel's own timeout
        problem = _reason(error)
    if cancellation.reason:
        state, message = cancellation.state, cancellation.reason
    elif is_late:
        state, message = State.TIMED_OUT, f"no complete response from {running.description} within {timeout:g} s"
    else:
        state, message = running.judge(problem)
    return Outcome(
        state=state,
        ended_at=datetime.now(UTC),
        duration=time.monotonic_ns() - clock,
        message=message,
        http_status=running.status,
    )


class _RunningCall:
    """The requests of one call, one after the other, until a response is final.

    `status` is the status of the newest response; it is known before the body.
    """

    def __init__(self, call: HttpCall, job_id: str, lifeline: Lifeline, output: Output) -> None:
        self._call = call
        self._job_id = job_id
        self._lifeline = lifeline
        self._output = output
        self._farthest_in: Reach | None = None  # the reach of the job's own URL, known once connected
        self._route = ""
        self._redirect_problem = ""
        self.status: int | None = None

    def run(self) -> None:
        request = first_request(self._call)
        for _ in range(REDIRECTS + 1):
            next_request = self._exchange(request)
            if next_request is None:
                return
            request = next_request
        self._route = ""
        raise BrokenError(f"more than {REDIRECTS} redirects; use the final URL")

    @property
    def has_connected(self) -> bool:
        """Whether there was a connection, so that a server may have received the call."""
        return self._farthest_in is not None

    @property
    def description(self) -> str:
        """The URL that was called, with redirects and proxies, for a message."""
        return f"{_shown(self._call.url)} {self._route}".rstrip()

    def judge(self, problem: str) -> tuple[State, str]:
        if not problem and self.status in self._call.expected_codes:
            return State.SUCCEEDED, ""
        description = f"{self._call.method} {self.description}"
        if problem:
            return State.FAILED, f"{description}: {problem}"
        expected = ", ".join(map(str, self._call.expected_codes))
        return State.FAILED, f"{description} answered {self.status}, expected {expected}{self._redirect_problem}"

    def _exchange(self, request: Request) -> Request | None:
        """Send a request and read its response. Return the next request if the response is a redirect."""
        via = proxy.proxy_for(request.url)
        if via:
            self._route = f"{self._route} (through the proxy {via.place})".lstrip()
        with self._connect(request.url, via) as link:
            exchange = self._send(link, request, via)
            head = exchange.head()
            self.status = head.status
            next_request = self._next_request(request, head)
            if next_request is None:
                for piece in content.decoded(exchange.body(), head.words("content-encoding")):
                    self._output.write(piece)
        # The body of a redirect is not read: it can be endless.
        return next_request

    def _connect(self, url: Url, via: Url | None) -> Link:
        farthest_in = Reach.LOOPBACK if self._farthest_in is None else self._farthest_in
        if via:
            reach = proxy.known_reach(url.host)
            if reach > farthest_in:
                raise NotPermittedError(url.host, reach)
            link = connect(via.host, via.port, self._lifeline)
        else:
            link = connect(url.host, url.port, self._lifeline, farthest_in)
            reach = link.reach
        if self._farthest_in is None:
            self._farthest_in = reach
        return link

    def _send(self, link: Link, request: Request, via: Url | None) -> Exchange:
        is_secure = request.url.scheme == "https"
        if via and is_secure:
            proxy.tunnel(link, via, request.url)
        elif via and not request.has("proxy-authorization"):
            request = request.with_headers(proxy.credentials(via))
        if is_secure:
            link.secure(request.url.host)
        exchange, url = Exchange(link), request.url
        # A proxy that forwards the request gets the whole URL (RFC 9112, section 3.2.2).
        target = url.place + url.target if via and not is_secure else url.target
        exchange.send(request.method, target, request.all_headers(self._job_id), request.body)
        return exchange

    def _next_request(self, request: Request, head: Head) -> Request | None:
        if head.status not in FOLLOWED or head.status in self._call.expected_codes:
            return None
        locations = set(filter(None, head.values("location")))
        if len(locations) != 1:
            self._redirect_problem = f"; it has {len(locations) or 'no'} Location header{'s' * bool(locations)}"
            return None
        try:
            next_request = request.redirected(head.status, locations.pop())
        except ValueError:
            self._redirect_problem = "; its Location header is not an http or https URL without credentials"
            return None
        self._route = f"redirected to {next_request.url.place}"
        return next_request


def _shown(text: str) -> str:
    """Return a URL for a message, without its login and without spaces, so that the rest can be masked, too."""
    try:
        url = Url.parse(text)
    except ValueError:  # what a template made
        return MASK
    return url.place + url.target


def _reason(error: Exception) -> str:
    """Return the reason for a failure in words that help to fix it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"invalid server certificate: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {(error.reason or str(error)).replace('_', ' ').lower()}"
    return (isinstance(error, OSError) and error.strerror) or str(error)
