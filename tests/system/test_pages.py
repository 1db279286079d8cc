"""Pages of a Kala that has just been started."""

import socket
from contextlib import closing

REQUEST = b"GET %b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
PATHS = (b"/", b"/jobs", b"/runs", b"/system", b"/graph", b"/api/v1/job/?fields=summary&after=x")


def test_the_first_pages_are_served_to_many_at_once(serve):
    for _ in range(3):
        kala = serve()
        host, port = kala.address.removeprefix("http://").split(":")
        clients = [socket.create_connection((host, int(port)), 30) for _ in range(24)]
        for number, client in enumerate(clients):
            client.sendall(REQUEST % PATHS[number % len(PATHS)])
        statuses = [read(client).split(b" ")[1] for client in clients]
        assert statuses == [b"400" if b"after" in PATHS[number % len(PATHS)] else b"200" for number in range(24)]
        assert kala.stop() == 0


def read(client) -> bytes:
    with closing(client):
        return b"".join(iter(lambda: client.recv(65536), b""))
