"""The server, as cheroot's requests and its WSGI gateway see it."""

from typing import TYPE_CHECKING, Any

from cheroot import wsgi

from kala.core.limits import HEAD_BYTES
from kala.server.connections import Connections

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication


# What responses name as the server.
NAME = "Kala"


class CherootServer:
    """Application, names and limits, under the names that cheroot reads. It owns no socket and no thread."""

    protocol = "HTTP/1.1"
    gateway = wsgi.Gateway_10
    ssl_adapter = None
    server_name = software = NAME
    max_request_header_size = HEAD_BYTES

    def __init__(
        self,
        app: "WSGIApplication",
        address: tuple[str, int],
        connections: Connections[Any],
        *,
        max_body: int,
        idle_timeout: float,
    ) -> None:
        host, port = address
        self.wsgi_app = app
        self.bind_addr = address if port else host
        self.max_request_body_size = max_body
        self.timeout = idle_timeout
        self.is_stopping = False
        self._connections = connections

    @property
    def can_add_keepalive_connection(self) -> bool:
        return not self.is_stopping and not self._connections.is_nearly_full
