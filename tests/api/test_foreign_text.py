"""Foreign text reaches a log, a message, an event or a response only escaped, and passwords not at all.

Text that would forge a line, clear a screen or leak a login is put into every field, as a client may send it and as an
older Kala may have stored it. Then everything that Kala logged and sent is checked.
"""

import io
import json
import logging
import re
import socket
import tempfile
import threading
import time
import unicodedata
from concurrent.futures import wait
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from journald import Journald

from kala.api import job_input, views
from kala.api.events import EventSource
from kala.api.http import Failure, error_response
from kala.api.routes import ROUTES
from kala.app import App
from kala.config import Config
from kala.core.caller import KALA
from kala.core.job import FIELDS, Command, HttpCall, Overlap, Spec
from kala.core.limits import LOG_LINE, MESSAGE
from kala.core.run import MOVES
from kala.engine.messages import CreateJob
from kala.heartbeat import Heartbeat
from kala.service import journal, logs
from kala.store.run_search import RunFilter

PASSWORD = "TopSecret"
LOGIN = f"http://user:{PASSWORD}@127.0.0.1:9/x"
FORGED = "2027-11-27T00:00:00.000+00:00 backup: run 7 succeeded"
HOSTILE = f"\x1b[2J\r{FORGED}\n{FORGED}\t\x9b31m\u202egpj\u200b {LOGIN} \x7f"
HOSTILE_PATH = f"/no/{HOSTILE}"
# The hostile text in a value of each type that a field may have.
HOSTILE_VALUES = [
    HOSTILE,
    LOGIN,
    f"{HOSTILE}@",
    [HOSTILE],
    {HOSTILE: HOSTILE},
    {"A": HOSTILE},
    {"A": [HOSTILE]},
    HOSTILE_PATH,
]
UNSAFE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
PATIENCE = 60


class Records(logging.Handler):
    """Formats each record in every format of the log."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._journald = Journald(str(folder / "j"))
        self.forms = {form: io.StringIO() for form in logs._FORMATTERS}
        self._handlers = []
        for form, stream in self.forms.items():
            self._handlers.append(logging.StreamHandler(stream))
            self._handlers[-1].setFormatter(logs._FORMATTERS[form]())
        self._native = journal.JournalHandler(logging.NullHandler(), self._journald.path)
        self.fields: list[str] = []
        self.addFilter(logs.Presentable())

    def emit(self, record: logging.LogRecord) -> None:
        for handler in self._handlers:
            handler.emit(record)
        self._native.emit(record)
        self.fields += self._journald.heard().values()

    def close(self) -> None:
        self._native.close()
        self._journald.close()
        super().close()


class Server:
    """Answers each request with hostile headers, in one of several ways, chosen by the path."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        hostile = HOSTILE.replace("\n", "").encode()
        self._answers = {
            b"/reason": b"HTTP/1.1 500 " + hostile + b"\r\n\r\n",
            b"/redirect": b"HTTP/1.1 302 Found\r\nLocation: " + hostile + b"\r\n\r\n",
            b"/login": b"HTTP/1.1 302 Found\r\nLocation: " + LOGIN.encode() + b"\r\n\r\n",
            b"/nothing": hostile + b"\r\n\r\n",
            b"/header": b"HTTP/1.1 200 OK\r\n" + hostile + b": x\r\nContent-Length: " + hostile + b"\r\n\r\n",
            b"/coding": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: " + hostile + b"\r\n\r\nx",
        }
        self.paths = [path.decode() for path in self._answers]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                head = connection.recv(65536)
                path = head.split(b" ")[1].partition(b"?")[0] if b" " in head else b""
                connection.sendall(self._answers.get(path, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"))

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)  # close() would not wake accept() in the thread
        self._socket.close()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The lines that Kala wrote, by where it wrote them."""
    kala = logging.getLogger("kala")
    level = kala.level
    kala.setLevel(logging.DEBUG)
    with tempfile.TemporaryDirectory() as short, closing(Records(Path(short))) as records, closing(Server()) as server:
        kala.addHandler(records)
        app = App(Config(data_dir=tmp_path_factory.mktemp("hostile"), port=0, workers=8), Heartbeat())
        try:
            app.start()
            yield Attack(app, server).all(records)
        finally:
            app.stop()
            kala.removeHandler(records)
            kala.setLevel(level)


class Attack:
    """Sends hostile text to a Kala by each way in, and collects what comes out."""

    def __init__(self, app: App, server: Server) -> None:
        self._app, self._server = app, server
        self.responses: list[str] = []

    def all(self, records: Records) -> dict[str, list[str]]:
        self._send_jobs()
        self._send_requests()
        self._store_jobs()
        self._call()
        messages = self._run_messages()
        source = EventSource(self._app.feed, f"{self._app.feed.token}-0")
        events = [source.read().decode()]
        while part := source.read().decode():
            events.append(part)
        lines = {form: stream.getvalue().split("\n") for form, stream in records.forms.items()}
        return lines | {
            "journald": [line for field in records.fields for line in field.split("\n")],
            "responses": self.responses,
            "messages": messages,
            "events": [line for part in events for line in part.split("\n")],
        }

    def _ask(self, method: str, path: str, body: object = None) -> None:
        with socket.create_connection(self._app._server.address, PATIENCE) as connection:
            data = b"" if body is None else json.dumps(body).encode()
            head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
            connection.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
            response = b"".join(iter(lambda: connection.recv(65536), b""))
        head, _, text = response.partition(b"\r\n\r\n")
        if int(head.split()[1]) >= 400:
            self.responses.append(text.decode())
            self.responses.append(json.loads(text)["error"])

    def _send_jobs(self) -> None:
        job = {"name": "a job", "command": "true"}
        for value in HOSTILE_VALUES:
            for name in job_input._FIELDS:
                self._ask("POST", "/api/v1/job/", job | {name: value})
            for name in job_input._REMOTE_FIELDS:
                self._ask("POST", "/api/v1/job/", job | {"type": 1, "remote_properties": {"url": LOGIN, name: value}})
            self._ask("POST", "/api/v1/job/", job | {str(value)[:60]: 1})
            self._ask("POST", "/api/v1/job/", value)
            self._ask("POST", "/api/v1/schedule/preview/", {"schedule": value})
            self._ask("POST", "/api/v1/job/", job | {"command": f"{{{{ {value} }}}}", "TemplateDelimiters": "{{ }}"})

    def _send_requests(self) -> None:
        quoted = "".join(f"%{byte:02x}" for byte in HOSTILE.encode())
        for route in ROUTES:
            path = re.sub(r"{\w+}", quoted, route.path)
            # With an unknown parameter no route carries out its request.
            for query in (f"{quoted}=1", *(f"{name}={quoted}" for name in route.in_query)):
                self._ask(route.method, f"{path}?{query}")
        self._ask("GET", f"/{quoted}")

    def _store_jobs(self) -> None:
        """Store jobs that only an older Kala would have accepted."""
        texts = [field.attribute for field in FIELDS.values() if field.default in ("", msgspec.NODEFAULT)]
        wanted = {"name": "a job", "action": Command("true"), "overlap": Overlap.ALLOW}
        changes = [
            *({name: HOSTILE} for name in texts),
            {"working_directory": HOSTILE_PATH},
            {"shell": HOSTILE_PATH},
            {"env": (("A", HOSTILE),), "action": Command(HOSTILE)},
            {"template_delimiters": "{{ }}", "action": Command(f"{{{{ {HOSTILE} }}}}")},
        ]
        self._create([Spec(**wanted | change) for change in changes])

    def _call(self) -> None:
        places = [f"http://user:{PASSWORD}@127.0.0.1:{self._server.port}{path}?{LOGIN}" for path in self._server.paths]
        urls = [*places, LOGIN, f"http://user:{PASSWORD}@no.invalid/", f"http://user:{PASSWORD}@127.0.0.1:x/", HOSTILE]
        urls += [f"http://user:{PASSWORD}/@127.0.0.1:9/", f"ftp://user:{PASSWORD}@127.0.0.1/"]
        self._create([Spec(name="a call", action=HttpCall(url=url, timeout=5)) for url in urls])

    def _create(self, specs: list[Spec]) -> None:
        made = [self._app._engine.ask(CreateJob(spec), KALA) for spec in specs]
        wait(made, PATIENCE)
        failures = [Failure(400, str(one.exception())) for one in made if one.exception()]
        self.responses += [error_response(failure).body.decode() for failure in failures]

    def _run_messages(self) -> list[str]:
        deadline = time.monotonic() + PATIENCE
        while True:
            with self._app._store.reading(()) as session:
                runs = session.history.search(RunFilter(limit=100_000))
            if all(run.state not in MOVES or run.waiting for run in runs):
                return [json.loads(msgspec.json.encode(views.run_view(run)))["message"] for run in runs]
            assert time.monotonic() < deadline, [run for run in runs if run.state in MOVES]
            time.sleep(0.05)


WHERE = ("text", "journal", "json", "journald", "responses", "messages", "events")


@pytest.mark.parametrize("where", WHERE)
def test_hostile_text_reaches_each_place(written, where):
    """Otherwise the other tests would check nothing."""
    assert len(written[where]) > 20
    assert where == "events" or [line for line in written[where] if "\\u202e" in line.replace("\\\\", "\\")]


@pytest.mark.parametrize("where", WHERE)
def test_no_character_is_left_that_a_terminal_would_act_on(written, where):
    assert [line for line in written[where] if any(unicodedata.category(one) in UNSAFE for one in line)] == []


@pytest.mark.parametrize("where", WHERE)
def test_no_line_is_forged(written, where):
    assert [line for line in written[where] if re.match(rf"(<\d>)?{re.escape(FORGED)}", line)] == []


@pytest.mark.parametrize("where", WHERE)
def test_no_password_is_shown(written, where):
    assert [line for line in written[where] if PASSWORD in line] == []


@pytest.mark.parametrize(
    ("where", "longest"), [("messages", MESSAGE), ("responses", 2 * MESSAGE), ("text", LOG_LINE + 100)]
)
def test_no_line_exceeds_its_limit(written, where, longest):
    assert max(map(len, written[where])) <= longest
