"""A server on the Internet redirects a job to an address that only this machine or its network can reach.

Kala and the servers are in a network namespace whose loopback device has all the addresses.
"""

import ctypes
import os
import shutil
import threading

import pytest
from process import eventually
from scene import FAR
from stranger import redirect

# Public addresses, as documentation addresses (RFC 5737) count as private. They exist in the namespace only.
PUBLIC = "9.9.9.9"
OTHER = "1.1.1.1"
INNER = ("10.1.2.3", "169.254.169.254", "192.168.3.4", "172.16.5.6", "100.64.7.8", "fd00::9", "fe80::a")
# The same loopback device under other names.
LOOPBACK = ("127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]")
PORT = 8765
_CLONE_NEWNET = 0x40000000

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("unshare"),
    reason="only root can make a network; needs ip (iproute2) and unshare (util-linux)",
)


def inside(kala, act):
    """Call `act` in a thread in Kala's network namespace. A socket stays in the namespace where it was created."""
    result = []

    def work():
        with open(f"/proc/{kala.process.pid}/ns/net") as network:  # noqa: PTH123
            if ctypes.CDLL(None, use_errno=True).setns(network.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        result.append(act())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return result[0]


@pytest.fixture
def isolated(make):
    """A running Kala in its own network namespace."""
    kala = make()
    addresses = "; ".join(f"ip address add {one} dev lo" for one in (PUBLIC, OTHER, *INNER))
    script = f'ip link set lo up; {addresses}; exec "$@"'
    kala.command = ["unshare", "--net", "sh", "-e", "-c", script, "sh", *kala.command]
    return kala.start()


def ok(client, _) -> None:
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def outcome(kala, server):
    """Return how a job ended that calls a server on the Internet."""
    remote = {"url": server.address, "timeout": 5}
    job = inside(kala, lambda: kala.create(name="call", type=1, command="", remote_properties=remote))
    return kala.runs(job, 1)[0]


def test_a_redirect_of_a_public_server_leads_only_to_other_public_ones(isolated, stranger):
    other = inside(isolated, lambda: stranger(ok, OTHER, PORT))
    server = inside(isolated, lambda: stranger(redirect(302, f"http://{OTHER}:{PORT}/"), PUBLIC))
    assert outcome(isolated, server)["state"] == "succeeded"
    assert other.heads

    witnesses = [inside(isolated, lambda: stranger(ok, "::", PORT + 1))]
    witnesses += [inside(isolated, lambda: stranger(ok, "0.0.0.0", PORT + 2))]
    inner = [f"[{one}]" if ":" in one else one for one in INNER]
    for place in (*LOOPBACK, *inner):
        for port in (PORT + 1, PORT + 2):
            server = inside(isolated, lambda: stranger(redirect(307, f"http://{place}:{port}/"), PUBLIC))  # noqa: B023
            assert outcome(isolated, server)["state"] == "failed", place
    assert [witness.heads for witness in witnesses] == [[], []]


def test_a_redirect_of_a_public_server_does_not_reach_kala(isolated, stranger):
    kept = inside(isolated, lambda: isolated.create(name="kept", schedule=FAR))
    server = inside(isolated, lambda: stranger(redirect(307, f"{isolated.address}/api/v1/job/all/"), PUBLIC))
    remote = {"url": server.address, "method": "DELETE"}
    inside(isolated, lambda: isolated.create(name="call", type=1, command="", remote_properties=remote))
    eventually(lambda: server.heads)
    inside(isolated, isolated.settle)
    assert inside(isolated, lambda: isolated.get(f"/job/{kept}/")).status == 200
