"""Other users of the machine: they reach Kala's port, and get nothing."""

import ctypes
import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import closing
from pathlib import Path

import pytest
from crowd import request
from process import PATIENCE, Api
from scene import FAR
from somebody import GID, ROOT, UID, forwarder, place, program, statuses, talk

pytestmark = ROOT

BODY = {"name": "evil", "command": "id", "schedule": FAR}
CREATE = request("POST", "/job/", BODY)
LAST = {"Connection": "close"}
# What a proxy tells about its client.
FORWARDED = [
    {"X-Forwarded-For": "127.0.0.1"},
    {"X-Forwarded-For": "::1"},
    {"Forwarded": "for=127.0.0.1;by=127.0.0.1"},
    {"X-Real-IP": "127.0.0.1"},
    {"Via": "1.1 localhost"},
    {"X-Remote-User": "root", "Remote-User": "root", "X-Forwarded-User": "root"},
    {"X-Original-URL": "/api/v1/health/", "X-Rewrite-URL": "/api/v1/health/"},
    {"X-HTTP-Method-Override": "GET"},
]


@pytest.fixture(params=["127.0.0.1", "::1"])
def served(request, serve):
    """A Kala of root's on an address of each family."""
    kala = serve("--interface", request.param)
    kala.where = request.param, kala.address.rpartition(":")[2]
    return kala


def job_names(kala):
    return [row["name"] for row in kala.query("SELECT name FROM job")]


def test_another_user_gets_401_with_a_sentence_that_says_what_to_do(served):
    answer = talk(served.where, request("GET", "/job/", **LAST))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert statuses(answer) == [401]
    assert b"WWW-Authenticate: Bearer" in head
    assert "sudo kala" in json.loads(body)["error"]


def test_another_user_creates_no_job_whatever_the_headers(served):
    for headers in FORWARDED:
        answer = talk(served.where, request("POST", "/job/", BODY, **LAST, **headers))
        assert statuses(answer) == [401], headers
    assert job_names(served) == []


def test_another_user_stays_a_stranger_on_a_connection_that_is_kept(served):
    requests = [CREATE] * 3 + [request("GET", "/me/"), request("POST", "/job/", BODY, **LAST)]
    assert statuses(talk(served.where, b"".join(requests))) == [401] * 5
    assert job_names(served) == []


@pytest.mark.parametrize("then", ["half-close", "leave it to a child"])
def test_another_user_stays_a_stranger_on_a_connection_that_is(served, then):
    assert statuses(talk(served.where, request("POST", "/job/", BODY, **LAST), then)) == [401]
    assert job_names(served) == []


@pytest.mark.parametrize("then", ["close", "reset", "shut down", "half-close"])
def test_a_request_of_another_user_who_has_gone_is_not_taken_for_roots(served, then):
    """The kernel shows root as the owner of a connection that no process has open, and here Kala is root's."""
    served.send(signal.SIGSTOP)
    try:
        if then == "half-close":  # killed while it waits for a response
            waiting = subprocess.Popen(
                program(_SEND_AND_WAIT, *served.where), stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            waiting.stdin.write(CREATE)
            waiting.stdin.close()
            waiting.stdout.readline()
            waiting.kill()
            waiting.wait()
            waiting.stdout.close()
        else:
            for _ in range(5):
                talk(served.where, CREATE, then)
    finally:
        served.send(signal.SIGCONT)
    # Requests of connections that came later are answered later: with these, those before have been looked at.
    for _ in range(20):
        assert statuses(talk(served.where, request("GET", "/job/", **LAST))) == [401]
    assert job_names(served) == []


_SEND_AND_WAIT = """
import socket, sys
client = socket.create_connection((sys.argv[1], int(sys.argv[2])))
client.sendall(sys.stdin.buffer.read())
client.shutdown(socket.SHUT_WR)
print("sent", flush=True)
client.recv(1)
"""


def test_requests_of_another_user_who_leaves_at_once_run_nothing(kala):
    """The same without stopping Kala, so that the connection can be closed at any moment of the look-up."""
    address = place(kala)
    spray = """
import socket, sys
data = sys.stdin.buffer.read()
for _ in range(1500):
    with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as client:
        client.sendall(data)
"""
    subprocess.run(program(spray, *address), input=CREATE, timeout=PATIENCE, check=True)
    assert statuses(talk(address, request("GET", "/job/", **LAST))) == [401]
    assert job_names(kala) == []


def test_a_proxy_of_another_user_makes_nobody_an_administrator(kala):
    """Such as socat, started by that user, and called by whom it likes: by root, too."""
    with forwarder(kala) as proxy:
        try:
            port = int(proxy.stdout.readline())
            with closing(Api(f"127.0.0.1:{port}")) as api:
                assert api.post("/job/", BODY).status == 401
        finally:
            proxy.kill()
    assert job_names(kala) == []


@pytest.mark.parametrize("headers", FORWARDED[:5])
def test_what_a_proxy_of_kalas_own_user_passes_on_is_a_strangers(kala, headers):
    host, port = place(kala)
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as own:
        own.sendall(request("POST", "/job/", BODY, **LAST, **headers))
        assert statuses(own.makefile("rb").read()) == [401]
    assert job_names(kala) == []


def test_a_stranger_gets_401_wherever_nothing_is(kala):
    """Or else it could be found out which jobs and runs there are."""
    known = kala.create(schedule=FAR)
    kala.go(known)
    kala.runs(known, 1)
    paths = [f"/job/{known}/", "/job/none/", "/run/1/", "/run/999/", "/run/1/output", "/run/999/output", "/events/"]
    sent = [request("GET", path) for path in paths]
    answer = talk(place(kala), b"".join(sent) + request("GET", "/stats/", **LAST))
    assert statuses(answer) == [401] * (len(paths) + 1)
    bodies = {part.partition(b"\r\n\r\n")[2] for part in answer.split(b"HTTP/1.1 ")[1:]}
    assert len(bodies) == 1


# The Unix socket


@pytest.fixture
def open_folder():
    """A folder that every user can enter."""
    with tempfile.TemporaryDirectory(prefix="kala-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def open_socket(make, open_folder):
    """A Kala whose Unix socket every user can connect to, and the path of that socket."""

    def start(settings=""):
        kala = make(home=open_folder)
        kala.config.write_text(settings)
        kala.start()
        path = kala.data / "kala.sock"
        kala.data.chmod(0o755)
        path.chmod(0o666)
        return kala, (str(path), "")

    return start


def test_another_user_cannot_connect_to_the_unix_socket(make, open_folder):
    kala = make(home=open_folder).start()
    path = kala.data / "kala.sock"
    with pytest.raises(PermissionError, match="Permission denied"):
        talk((str(path), ""), CREATE)
    kala.data.chmod(0o755)
    with pytest.raises(PermissionError, match="Permission denied"):
        talk((str(path), ""), CREATE)


def test_another_user_gets_401_on_an_open_unix_socket(open_socket):
    kala, where = open_socket()
    for headers in FORWARDED:
        assert statuses(talk(where, request("POST", "/job/", BODY, **LAST, **headers))) == [401]
    for then in ("close", "shut down"):
        kala.send(signal.SIGSTOP)
        talk(where, CREATE, then)
        kala.send(signal.SIGCONT)
    assert statuses(talk(where, request("POST", "/job/", BODY, **LAST))) == [401]
    assert job_names(kala) == []


def test_the_kernel_tells_users_and_groups_of_the_unix_socket(open_socket):
    """Also supplementary groups; a number stands for a user or a group without a name."""
    kala, where = open_socket(f'peers = {{ operator = ["{UID}", "@64400"], viewer = ["@{GID}"] }}\n')
    create, read = (request(method, "/job/", body, **LAST) for method, body in (("POST", BODY), ("GET", None)))
    asked = {
        "a user": {},
        "a group": {"uid": UID + 1},
        "a supplementary group": {"uid": UID + 1, "gid": 64399, "groups": [64398, 64400]},
        "no group": {"uid": UID + 1, "gid": 64399, "groups": [64398]},
    }
    found = {
        name: (*statuses(talk(where, read, **who)), *statuses(talk(where, create, **who)))
        for name, who in asked.items()
    }
    assert found == {
        "a user": (200, 403),
        "a group": (200, 403),
        "a supplementary group": (200, 403),
        "no group": (401, 401),
    }
    assert job_names(kala) == []
    start = request("POST", f"/job/start/{kala.create(schedule=FAR)}/", **LAST)
    assert statuses(talk(where, start, uid=UID + 1)) == [403]
    assert statuses(talk(where, start, uid=UID + 1, gid=64399, groups=[64400])) == [204]


def test_a_user_in_hundreds_of_groups_is_known_by_those_of_the_system(open_socket):
    """Python reads at most 256 groups of a peer. Of one with more, only what the system has of the user counts."""
    kala, where = open_socket('peers = { viewer = ["@64400", "daemon"] }\n')
    many = [*range(64400, 64400 + 300)]
    read = request("GET", "/job/", **LAST)
    assert statuses(talk(where, read, uid=1, gid=1, groups=many)) == [200]
    assert statuses(talk(where, read, uid=2, gid=2, groups=many)) == [401]
    assert statuses(talk(where, read, uid=2, gid=2, groups=many[:256])) == [200]
    assert kala.process.poll() is None


def test_a_process_that_lowers_itself_after_connecting_is_who_it_was(open_socket):
    """SO_PEERCRED has who connected: so a daemon that connects as root must keep that connection to itself."""
    _, where = open_socket()
    lowered = """
import os, socket, sys
sent = sys.stdin.buffer.read()
client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
os.setgroups([]); os.setresgid(64322, 64322, 64322); os.setresuid(64321, 64321, 64321)
other = socket.socket(socket.AF_UNIX)
other.connect(sys.argv[1])
for one in (client, other):
    one.sendall(sent)
    print(one.makefile("rb").readline().decode().split()[1])
"""
    command = [sys.executable, "-c", lowered, where[0]]
    done = subprocess.run(
        command, input=request("GET", "/job/", **LAST), capture_output=True, check=True, timeout=PATIENCE
    )
    assert done.stdout.split() == [b"200", b"401"]


# Other addresses


@pytest.mark.skipif(not shutil.which("ip") or not shutil.which("unshare"), reason="needs ip and unshare")
def test_root_at_another_address_of_the_machine_or_in_a_container_gets_401(make):
    """In a namespace with addresses of a network: only the loopback addresses prove who connects."""
    kala = make("--interface", "0.0.0.0")
    token = kala.home / "token"
    token.write_text("t" * 40)
    kala.environ["KALA_ADMIN_TOKEN_FILE"] = str(token)
    script = (
        "ip link set lo up; ip link add name here type veth peer name there; ip address add 10.9.8.1/24 dev here;"
        ' ip link set here up; ip address add 9.9.9.9 dev lo; exec "$@"'
    )
    kala.command = ["unshare", "--net", "sh", "-e", "-c", script, "sh", *kala.command]
    kala.start()
    port = kala.address.rpartition(":")[2]
    container = subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "echo; read x"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        container.stdout.readline()
        enter = ["nsenter", f"--net=/proc/{kala.process.pid}/ns/net"]
        subprocess.run([*enter, "ip", "link", "set", "there", "netns", str(container.pid)], check=True)
        for arguments in (("address", "add", "10.9.8.2/24", "dev", "there"), ("link", "set", "there", "up")):
            subprocess.run(["nsenter", f"--net=/proc/{container.pid}/ns/net", "ip", *arguments], check=True)
        wanted = request("GET", "/job/", **LAST)
        asked = {
            ("own", "127.0.0.1"): (kala.process.pid, 200),
            ("own", "127.0.0.2"): (kala.process.pid, 200),
            ("own", "9.9.9.9"): (kala.process.pid, 401),
            ("own", "10.9.8.1"): (kala.process.pid, 401),
            ("container", "10.9.8.1"): (container.pid, 401),
        }
        found = {key: (pid, in_network(pid, key[1], port, wanted)) for key, (pid, _) in asked.items()}
        assert found == asked
    finally:
        container.kill()
        container.communicate()


def in_network(pid, host, port, sent):
    """Return the status of the response to a request from the network namespace of a process."""
    result = []

    def work():
        with Path(f"/proc/{pid}/ns/net").open() as network:
            if ctypes.CDLL(None, use_errno=True).setns(network.fileno(), 0x40000000):
                raise OSError(ctypes.get_errno(), "setns")
        with socket.create_connection((host, int(port)), timeout=PATIENCE) as client:
            client.sendall(sent)
            result.extend(statuses(client.makefile("rb").read()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return result[0]
