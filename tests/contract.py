"""The cases of clients/contract.json, and the server that plays them."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

_FILE = Path(__file__).parent.parent / "clients/contract.json"
CONTRACT = json.loads(_FILE.read_text())
CASES = CONTRACT["cases"]
TOKEN = CONTRACT["token"]


class Script:
    """The exchanges of one case, in their order. `faults` says what differed from it."""

    def __init__(self, exchanges: list[dict[str, Any]]) -> None:
        self._exchanges = list(exchanges)
        self._names: dict[str, str] = {}
        self._lock = threading.Lock()
        self.faults: list[str] = []

    def answer(self, method: str, target: str, headers: Any, body: bytes) -> dict[str, Any]:
        with self._lock:
            if not self._exchanges:
                self.faults.append(f"unexpected request: {method} {target}")
                return {"dropped": True}
            exchange = self._exchanges.pop(0)
            for name, wanted, got in self._compared(exchange["request"], method, target, headers, body):
                if wanted != got:
                    self.faults.append(f"{method} {target}: {name} is {got!r}, not {wanted!r}")
            return exchange["answer"]

    def _compared(self, request, method, target, headers, body) -> Iterator[tuple[str, Any, Any]]:
        parts = urlsplit(target)
        yield "method", request["method"], method
        yield "path", request["path"], unquote(parts.path)
        if "query" in request:
            yield "query", request["query"], dict(parse_qsl(parts.query, keep_blank_values=True))
        if "body" in request:
            yield "body", request["body"], json.loads(body) if body else None
        for name, wanted in request.get("headers", {}).items():
            got = headers.get(name)
            is_name = wanted and wanted.startswith("$")
            yield name, self._names.setdefault(wanted, got or "any text") if is_name else wanted, got

    @property
    def rest(self) -> list[str]:
        return [f"missing request: {one['request']['method']} {one['request']['path']}" for one in self._exchanges]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = self.server.script.answer(self.command, self.path, self.headers, body)
        if answer.get("dropped"):
            self.close_connection = True
            return
        if "chunks" in answer:
            self._start(answer, {"Transfer-Encoding": "chunked"})
            for chunk in answer["chunks"]:
                data = chunk.encode()
                self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
            if answer.get("broken"):
                self.close_connection = True
            else:
                self.wfile.write(b"0\r\n\r\n")
            return
        if answer["status"] == 204:
            self._start(answer, {})
            return
        data = answer["text"].encode() if "text" in answer else json.dumps(answer["body"]).encode()
        self._start(answer, {"Content-Length": str(len(data))})
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815  names of http.server

    def _start(self, answer, headers) -> None:
        self.send_response(answer["status"])
        for name, value in {**answer.get("headers", {}), **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    script: Script


@contextmanager
def playing(case: dict[str, Any]) -> Iterator[str]:
    """Serve the exchanges of a case at the URL. At the end, all must have been requested, and nothing else."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.script = Script(case["exchanges"])
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
    assert server.script.faults + server.script.rest == []


def ids(case: dict[str, Any]) -> str:
    return case["name"]
