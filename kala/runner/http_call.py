"""One HTTP call, from start to outcome. The response's body is the run's output."""

import ssl
import time
from datetime import UTC, datetime

from kala.core.foreign import masked
from kala.core.job import HttpCall
from kala.core.limits import REDIRECTS
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


def execute(call: HttpCall, timeout: float, output: Output, control: Cancellation, job_id: str) -> Outcome:
    """Make the request, follow redirects, and judge the final response, all within `timeout` seconds.

    Raise Scarce if the system lacks what the first connection needs.
    """
    clock = time.monotonic_ns()
    line = Lifeline(timeout)
    talk = _Talk(call, job_id, line, output)
    problem, is_late = "", False
    try:
        with control.heard_by(line.cut):
            talk.run()
    except Scarce as scarce:
        if not talk.is_begun:
            raise
        problem = str(scarce)
    except Exception as error:  # noqa: BLE001  sockets, TLS and threads have no common ancestor to name
        is_late = isinstance(error, TimeoutError) and not error.errno  # ETIMEDOUT is the kernel's own timeout
        problem = _in_words(error)
    if control.reason:
        state, message = control.state, control.reason
    elif is_late:
        state, message = State.TIMED_OUT, f"no complete response from {talk.asked} within {timeout:g} s"
    else:
        state, message = talk.judge(problem)
    return Outcome(
        state=state,
        ended_at=datetime.now(UTC),
        duration=time.monotonic_ns() - clock,
        message=message,
        http_status=talk.status,
    )


class _Talk:
    """The requests of one call, one after the other, until a response is final.

    `status` is the status of the newest response; it is known before the body.
    """

    def __init__(self, call: HttpCall, job_id: str, line: Lifeline, output: Output) -> None:
        self._call = call
        self._job_id = job_id
        self._line = line
        self._output = output
        self._farthest_in: Reach | None = None  # the reach of the job's own URL, known once connected
        self._way = ""
        self._flaw = ""
        self.status: int | None = None

    def run(self) -> None:
        request = first_request(self._call)
        for _ in range(REDIRECTS + 1):
            next_one = self._exchange(request)
            if next_one is None:
                return
            request = next_one
        self._way = ""
        raise BrokenError(f"more than {REDIRECTS} redirects; use the final URL")

    @property
    def is_begun(self) -> bool:
        """Whether there was a connection, so that a server may have received the call."""
        return self._farthest_in is not None

    @property
    def asked(self) -> str:
        """The URL that was called, with redirects and proxies, for a message."""
        return f"{masked(self._call.url)} {self._way}".rstrip()

    def judge(self, problem: str) -> tuple[State, str]:
        if not problem and self.status in self._call.expected_codes:
            return State.SUCCEEDED, ""
        asked = f"{self._call.method} {self.asked}"
        if problem:
            return State.FAILED, f"{asked}: {problem}"
        expected = ", ".join(map(str, self._call.expected_codes))
        return State.FAILED, f"{asked} answered {self.status}, expected {expected}{self._flaw}"

    def _exchange(self, request: Request) -> Request | None:
        """Send a request and read its response. Return the next request if the response is a redirect."""
        asked = proxy.proxy_for(request.url)
        if asked:
            self._way = f"{self._way} (through the proxy {asked.place})".lstrip()
        with self._connected(request.url, asked) as link:
            exchange = self._send(link, request, asked)
            head = exchange.head()
            self.status = head.status
            next_one = self._redirected(request, head)
            if next_one is None:
                for piece in content.decoded(exchange.body(), head.words("content-encoding")):
                    self._output.write(piece)
        # The body of a redirect is not read: it can be endless.
        return next_one

    def _connected(self, url: Url, asked: Url | None) -> Link:
        farthest_in = Reach.LOOPBACK if self._farthest_in is None else self._farthest_in
        if asked:
            reach = proxy.known_reach(url.host)
            if reach > farthest_in:
                raise NotPermittedError(url.host, reach)
            link = connect(asked.host, asked.port, self._line)
        else:
            link = connect(url.host, url.port, self._line, farthest_in)
            reach = link.reach
        if self._farthest_in is None:
            self._farthest_in = reach
        return link

    def _send(self, link: Link, request: Request, asked: Url | None) -> Exchange:
        is_secure = request.url.scheme == "https"
        if asked and is_secure:
            proxy.tunnel(link, asked, request.url)
        elif asked and not request.has("proxy-authorization"):
            request = request.with_headers(proxy.credentials(asked))
        if is_secure:
            link.secure(request.url.host)
        exchange, url = Exchange(link), request.url
        # A proxy that forwards the request gets the whole URL (RFC 9112, section 3.2.2).
        target = url.place + url.target if asked and not is_secure else url.target
        exchange.send(request.method, target, request.all_headers(self._job_id), request.body)
        return exchange

    def _redirected(self, request: Request, head: Head) -> Request | None:
        if head.status not in FOLLOWED or head.status in self._call.expected_codes:
            return None
        locations = set(filter(None, head.values("location")))
        if len(locations) != 1:
            self._flaw = f"; it has {len(locations) or 'no'} Location header{'s' * bool(locations)}"
            return None
        try:
            next_one = request.redirected(head.status, locations.pop())
        except ValueError:
            self._flaw = "; its Location header is not an http or https URL without credentials"
            return None
        self._way = f"redirected to {next_one.url.place}"
        return next_one


def _in_words(error: Exception) -> str:
    """Return the reason for a failure in words that help to fix it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"invalid server certificate: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {(error.reason or str(error)).replace('_', ' ').lower()}"
    return (isinstance(error, OSError) and error.strerror) or str(error)
