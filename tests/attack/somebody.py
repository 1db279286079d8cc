"""Another user of this machine, who connects to Kala; and requests byte for byte."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable

import pytest

ROOT = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root can act as another user; needs setpriv"
)
UID, GID = 64321, 64322
_PATIENCE = 30
# Connect to an address or a path, send what comes as input, act, and print what comes back.
_TALK = """
import os, socket, struct, sys
address, port, then = sys.argv[1:]
family = socket.AF_UNIX if not port else socket.AF_INET6 if ":" in address else socket.AF_INET
client = socket.socket(family)
client.connect((address, int(port)) if port else address)
client.sendall(sys.stdin.buffer.read())
if then == "close":
    sys.exit()
if then == "reset":
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sys.exit()
if then == "shut down":
    client.shutdown(socket.SHUT_RDWR)
    sys.exit()
if then == "half-close":
    client.shutdown(socket.SHUT_WR)
if then == "leave it to a child" and os.fork():
    os._exit(0)
while part := client.recv(65536):
    sys.stdout.buffer.write(part)
sys.stdout.buffer.flush()
"""
# Pass on each connection to another port, byte for byte, as socat does.
_FORWARD = """
import socket, sys, threading
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
def copy(source, target):
    while part := source.recv(65536):
        target.sendall(part)
    target.shutdown(socket.SHUT_WR)
while True:
    client, _ = listener.accept()
    server = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    for pair in ((client, server), (server, client)):
        threading.Thread(target=copy, args=pair, daemon=True).start()
"""


def place(kala, host: str = "127.0.0.1") -> tuple[str, str]:
    """Return the host and the port for `talk`."""
    return host, kala.address.rpartition(":")[2]


def program(source: str, *arguments: str, uid: int = UID, gid: int = GID, groups: Iterable[int] = ()) -> list[str]:
    """Return the command that runs a Python program as another user."""
    given = f"--groups={','.join(map(str, groups))}" if groups else "--clear-groups"
    become = ["setpriv", f"--reuid={uid}", f"--regid={gid}", given] if os.geteuid() == 0 else []
    return [*become, sys.executable, "-c", source, *arguments]


def talk(where: tuple[str, str], sent: bytes, then: str = "", **who) -> bytes:
    """Send bytes as another user, on a connection of its own, and return what comes back until it is closed."""
    command = program(_TALK, *where, then, **who)
    done = subprocess.run(command, input=sent, capture_output=True, timeout=_PATIENCE, check=False)
    if done.returncode:
        raise PermissionError(done.stderr.decode().strip().rpartition("\n")[2])
    return done.stdout


def forwarder(kala, **who) -> "subprocess.Popen[bytes]":
    """Start a proxy of another user in front of Kala; its first line of output is its port."""
    return subprocess.Popen(program(_FORWARD, place(kala)[1], **who), stdout=subprocess.PIPE)


def statuses(answer: bytes) -> list[int]:
    """Return the status of each response."""
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]
