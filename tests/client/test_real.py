"""The client with a real `kala serve`."""

import errno
import http.client
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
from http.client import HTTPSConnection
from pathlib import Path

import pytest
from process import PATIENCE, eventually

from kala import client as client_module
from kala.client import Client, Conflict, ConnectionFailed, Forbidden, Invalid, NotFound, Outdated
from kala.client.transport import Transport

ROOT = Path(__file__).parents[2]
LOCALHOST = str(ROOT / "tests/runner/localhost.pem")
EXPIRED = str(ROOT / "tests/server/tls/expired.pem")
LINES = "i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo line $i; sleep 0.005; done"
OWN_CA = (
    "if the certificate is from a CA of your own, give the file with that CA's certificate in KALA_CA, "
    "with kala login --ca, or as ca in cli.toml"
)
WITHOUT_TLS = ": the server does not speak HTTPS on this port; use http://, or check the port$"
PRINTED = "".join(f"line {number}\n" for number in range(1, 401)).encode()


@pytest.fixture
def connect():
    """Make clients, which are closed in the end."""
    made = []

    def connect(kala, **options):
        made.append(Client(kala.address, **options))
        return made[-1]

    yield connect
    for one in made:
        one.close()


@pytest.fixture
def client(kala, connect):
    return connect(kala)


def test_a_job_is_created_started_followed_and_explained(client):
    job = client.jobs.create(name="hello", command="echo hello; exit 3", schedule="manual")
    run = client.jobs.start("hello").wait(timeout=PATIENCE)
    assert (run.job_id, run.state, run.exit_code, run.ok) == (job.id, "failed", 3, False)
    assert run.explain.startswith(f"run {run.id} failed: exit status 3")
    assert (run.output().text(), list(run.output(follow=True).lines())) == ("hello\n", ["hello"])


def test_a_job_changes_only_if_it_is_as_it_was_read(client):
    client.jobs.create(name="a", command="true", schedule="manual", retries=3)
    before = client.jobs.get("a")
    changed = client.jobs.change("a", if_match=before.etag, retries=None)
    assert (before.retries, changed.retries) == (3, 0)
    with pytest.raises(Outdated, match="was changed since you read it"):
        client.jobs.replace("a", if_match=before.etag, name="a", command="false")


def test_a_list_goes_over_all_pages(client, monkeypatch):
    monkeypatch.setattr("kala.client.jobs._PAGE", 2)
    names = [f"job {number}" for number in range(5)]
    for name in names:
        client.jobs.create(name=name, command="true", schedule="manual")
    assert [job.name for job in client.jobs.list()] == names
    assert [job.name for job in client.jobs.list(limit=3)] == names[:3]
    assert [job.name for job in client.jobs.list(q="JOB 4")] == ["job 4"]


def test_any_name_leads_to_its_job(client):
    for name in ("a/b", "all", 'it\'s "quoted"', "näme 🙂", "100%"):
        job = client.jobs.create(name=name, command="true", schedule="manual")
        assert client.jobs.find(name) == client_module.JobRef(job.id, name)
    with pytest.raises(NotFound):
        client.jobs.find("nothing")


def test_a_wait_ends_with_its_timeout(client, gate):
    client.jobs.create(name="slow", command=gate.wait, schedule="manual")
    run = client.jobs.start("slow")
    with pytest.raises(TimeoutError, match=r"run 1 \(slow\) is running after 0\.1 s"):
        run.wait(timeout=0.1)
    gate.open()
    assert run.wait(timeout=PATIENCE).ok


def test_a_cancelled_run_ends_and_can_be_retried(client):
    client.jobs.create(name="long", command="sleep 600", schedule="manual")
    run = client.jobs.start("long")
    run.cancel()
    assert run.wait(timeout=PATIENCE).state == "cancelled"
    with pytest.raises(Conflict, match="has ended"):
        run.cancel()
    again = run.retry()
    again.cancel()
    assert (again.cause_run_id, again.wait(timeout=PATIENCE).state) == (run.id, "cancelled")
    chain = client.runs.chain(run.id)
    assert [one.id for one in chain.caused] == [again.id]


def test_events_come_as_they_happen(client):
    seen, are_open = [], threading.Event()

    def read():
        events = client.events()
        for event in events:
            are_open.set()
            seen.append((event.kind, event.what))
            if event.what == "succeeded":
                events.close()

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    while not are_open.wait(0.05):  # what happens before the stream is open is not in it
        client.jobs.create(name="probe", command="true", schedule="manual")
    job = client.jobs.create(name="a", command="true", schedule="manual")
    client.jobs.start(job.id)
    thread.join(PATIENCE)
    assert seen[-2:] == [("run", "running"), ("run", "succeeded")]


def test_what_is_cut_out_of_a_large_output_is_one_line_in_it(serve, connect):
    kala = serve("--output-limit", "1024")
    client = connect(kala)
    client.jobs.create(name="much", command="yes | head -c 5000", schedule="manual")
    run = client.jobs.start("much").wait(timeout=PATIENCE)
    whole = kala.output(run.id)[1]
    assert b"bytes omitted here" in whole
    assert run.output().read() == run.output(follow=True).read() == whole


def test_a_run_is_followed_byte_for_byte_through_cut_connections(client, monkeypatch):
    streams, stream = [], Transport.stream
    monkeypatch.setattr(
        Transport, "stream", lambda *given, **options: streams.append(stream(*given, **options)) or streams[-1]
    )
    client.jobs.create(name="lines", command=LINES, schedule="manual")
    received = b""
    for chunk in client.jobs.start("lines").output(follow=True):
        received += chunk
        if len(streams) <= 3 and len(received) > 600 * len(streams):
            streams[-1]._response.fp.raw._sock.shutdown(2)
    assert len(streams) >= 4
    assert received == PRINTED


def test_a_run_is_followed_through_a_restart_of_kala(make, connect):
    kala = make("--port", str(free_port()), "--shutdown-grace", "30").start()
    client = connect(kala)
    client.jobs.create(name="lines", command=LINES, schedule="manual")
    received, restart = b"", threading.Thread(target=kala.restart)
    for chunk in client.jobs.start("lines").output(follow=True):
        received += chunk
        if len(received) > 1000 and not restart.ident:
            restart.start()
    restart.join(PATIENCE)
    assert received == PRINTED


def test_a_creation_that_kala_was_killed_during_is_made_once(make, connect):
    kala = make("--port", str(free_port())).start()
    client = connect(kala, retries=8)
    getresponse = http.client.HTTPConnection.getresponse
    created = []

    def kill_first(connection):
        if not created:
            created.append(eventually(lambda: kala.query("SELECT id FROM job")))
            kala.kill()
            kala.launch()
        return getresponse(connection)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(http.client.HTTPConnection, "getresponse", kill_first)
        job = client.jobs.create(name="once", command="true", schedule="manual")
    assert [job.id] == [row["id"] for row in kala.query("SELECT id FROM job")] == [row["id"] for row in created[0]]


def test_a_server_with_a_ca_of_ones_own_is_trusted_where_it_is_named(make, tmp_path):
    kala = make("--tls-certificate", LOCALHOST, "--tls-key", LOCALHOST)
    kala.launch()
    port = kala.says("answers on https://").rpartition(":")[2].split()[0]
    url, environ = f"https://localhost:{port}", {"HOME": str(tmp_path)}
    with Client(url, ca=LOCALHOST, environ=environ) as client:
        assert client.me().actor == "local"
    with Client(url, environ=environ | {"KALA_CA": LOCALHOST}) as client:
        assert client.me().role == "admin"
    with (
        Client(url, retries=0, environ=environ) as client,
        pytest.raises(ConnectionFailed, match=rf"cannot be verified: .*; {re.escape(OWN_CA)}$"),
    ):
        client.me()
    for wrong in (str(tmp_path / "none.pem"), __file__):
        with Client(url, ca=wrong, environ=environ) as client, pytest.raises(Invalid, match=f"ca {wrong}: .*in PEM"):
            client.me()


def test_a_client_uses_the_token_of_its_login_until_it_logs_out(client, connect, kala):
    client.users.create("ann", role="viewer", password="four plain English words")
    with Client(kala.address, token="kala_not_valid") as other:
        session = other.log_in("ann", "four plain English words")
        assert (session.user, other.me().actor) == ("ann", "user:ann")
        with pytest.raises(Forbidden, match="needs the role admin"):
            other.users.list()
        other.log_out()
        assert other.me().actor == "local"
    assert [entry.action for entry in client.audit(actor="user:ann", limit=9)] == ["logout", "request", "login"]


def test_an_expired_certificate_is_not_taken_for_one_of_an_unknown_ca(make, tmp_path):
    kala = make("--tls-certificate", EXPIRED, "--tls-key", EXPIRED)
    kala.launch()
    port = kala.says("answers on https://").rpartition(":")[2].split()[0]
    with (
        Client(f"https://localhost:{port}", ca=EXPIRED, retries=0, environ={"HOME": str(tmp_path)}) as client,
        pytest.raises(ConnectionFailed, match="has expired; check the URL, and the certificate of the server"),
    ):
        client.me()


@pytest.mark.parametrize("reason", ["RECORD_LAYER_FAILURE", None])
def test_newer_releases_of_openssl_tell_it_in_other_words(monkeypatch, reason):
    def connect(_):
        error = ssl.SSLError(1, "[SSL] record layer failure (_ssl.c:1033)")
        error.library, error.reason = "SSL", reason
        raise error

    monkeypatch.setattr(HTTPSConnection, "connect", connect)
    with Client("https://127.0.0.1:1", retries=0) as client, pytest.raises(ConnectionFailed, match=WITHOUT_TLS):
        client.summary()


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", WITHOUT_TLS),
        (b"", "the connection was closed; is Kala running"),
        (b"\x15\x03\x01\x00\x02\x02\x28", "handshake failure"),
        (None, r"timed out; if the server does not speak HTTPS on this port, use http://$"),
    ],
)
def test_a_server_that_does_not_speak_https_is_told_apart(sent, sentence):
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def respond():
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                if sent is None:
                    connection.recv(1)  # until the client has given up
                else:
                    connection.sendall(sent)

        responding = threading.Thread(target=respond)
        responding.start()
        url = f"https://127.0.0.1:{listening.getsockname()[1]}"
        timeout = 0.1 if sent is None else PATIENCE
        with Client(url, retries=0, timeout=timeout) as client, pytest.raises(ConnectionFailed, match=sentence):
            client.summary()
        responding.join(PATIENCE)


def test_without_a_server_the_error_says_where_it_looked():
    with (
        Client(f"http://127.0.0.1:{free_port()}", retries=0) as client,
        pytest.raises(
            ConnectionFailed, match=r"cannot connect to http://127.0.0.1:\d+: Connection refused; is Kala running\?"
        ),
    ):
        client.summary()


def test_the_error_for_a_socket_that_one_may_not_open_says_who_may(monkeypatch, tmp_path):
    def refuse(_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("kala.client.transport._UnixConnection.connect", refuse)
    with (
        Client(f"unix://{tmp_path}/kala.sock", retries=0) as client,
        pytest.raises(ConnectionFailed, match=r"Permission denied; use sudo, or become a member of the socket's group"),
    ):
        client.summary()


def test_a_client_goes_on_after_a_restart_on_a_new_connection(make, connect):
    kala = make("--port", str(free_port())).start()
    client = connect(kala)
    client.summary()
    kala.restart()
    job = client.jobs.create(name="a", command="true", schedule="manual")
    assert client.jobs.change(job.id, retries=1).retries == 1


def test_a_program_that_uses_the_client_passes_mypy_strict(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "from kala.client import Client, Job, Run\n"
        "with Client() as kala:\n"
        "    job = kala.jobs.create(name='a', command='true', env={'A': '1'}, retries=2)\n"
        "    run: Run = kala.jobs.start(job.id).wait(timeout=1.5)\n"
        "    lines: list[str] = list(run.output(follow=True).lines())\n"
        "    full: Job = kala.jobs.change(job.id, if_match='x', timeout=None)\n"
        "    names: list[str] = [one.name for one in kala.jobs.list(tag=['db'])]\n"
        "    kala.jobs.create(name='a', retries='2')  # must fail\n"
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", str(tmp_path), str(program)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=110)
    assert [line.split(": ", 1)[0] for line in done.stdout.splitlines() if ": error: " in line] == [f"{program}:8"]


def test_the_client_needs_nothing_but_msgspec():
    code = (
        "import sys; before = {*sys.modules}; import kala.client; "
        "print(*sorted({name.partition('.')[0] for name in {*sys.modules} - before} - sys.stdlib_module_names))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
    )
    others = [name for name in done.stdout.split() if not name.startswith("_")]
    assert set(others) <= {"kala", "msgspec", "typing_extensions"}


def free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]
