"""The names of cheroot that Kala overrides, calls or provides.

If an upgrade of cheroot fails here, compare the code behind the name in the message with its counterpart in kala/server
before you change this file.
"""

import inspect
import re
from operator import attrgetter

import cheroot.errors
import cheroot.server
import cheroot.wsgi
import pytest

from kala.server.cheroot_server import CherootServer
from kala.server.connection import Connection
from kala.server.connections import Connections
from kala.server.strict_request import StrictRequest

REQUEST, CONNECTION, GATEWAY = cheroot.server.HTTPRequest, cheroot.server.HTTPConnection, cheroot.wsgi.Gateway_10

OVERRIDDEN = {
    "server.HTTPRequest.header_reader.__call__": "(rfile, hdict=None)",
    "server.HTTPRequest.parse_request": "(self)",
    "server.HTTPRequest.read_request_headers": "(self)",
    "server.HTTPRequest.read_request_line": "(self)",
    "server.HTTPRequest.respond": "(self)",
    "server.HTTPRequest.send_headers": "(self)",
    "server.HTTPRequest.simple_response": "(self, status, msg='')",
    "server.HTTPRequest.write": "(self, chunk)",
    "server.HTTPConnection.__init__": f"(self, server, sock, makefile={cheroot.server.MakeFile})",
    "server.HTTPConnection.close": "(self)",
}
CALLED = {
    "server.HTTPRequest.__init__": "(self, server, conn, proxy_mode=False, strict_mode=True)",
    "server.HTTPRequest.ensure_headers_sent": "(self)",
    "wsgi.Gateway_10.__init__": "(self, req)",
    "wsgi.Gateway_10.respond": "(self)",
}
# Attributes of a request that StrictRequest and Connection read or set.
OF_A_REQUEST = {
    "chunked_read",
    "chunked_write",
    "close_connection",
    "conn",
    "inheaders",
    "method",
    "outheaders",
    "ready",
    "request_protocol",
    "response_protocol",
    "rfile",
    "sent_headers",
    "server",
    "uri",
}
# Attributes of a server that cheroot's requests and gateway read. CherootServer provides them.
READ_OF_A_SERVER = {
    "bind_addr",
    "can_add_keepalive_connection",
    "gateway",
    "max_request_body_size",
    "max_request_header_size",
    "protocol",
    "server_name",
    "software",
    "ssl_adapter",
    "timeout",
    "wsgi_app",
}
# Attributes of a connection that cheroot's requests and gateway read. Connection provides or inherits them.
READ_OF_A_CONNECTION = {
    "peer_gid",
    "peer_group",
    "peer_pid",
    "peer_uid",
    "peer_user",
    "remote_addr",
    "remote_port",
    "rfile",
    "ssl_env",
    "wfile",
}


@pytest.mark.parametrize(("name", "signature"), (OVERRIDDEN | CALLED).items())
def test_each_function_has_the_signature_that_kala_relies_on(name, signature):
    assert str(inspect.signature(attrgetter(name)(cheroot))) == signature


@pytest.mark.parametrize(("ours", "theirs"), [(StrictRequest, REQUEST), (Connection, CONNECTION)])
def test_each_override_is_listed_here(ours, theirs):
    defined = {name for name, value in vars(ours).items() if inspect.isfunction(value)}
    overridden = {f"server.{theirs.__name__}.{name}" for name in defined & set(dir(theirs))}
    assert overridden == {name.removesuffix(".__call__") for name in OVERRIDDEN if theirs.__name__ in name}


def read_by_cheroot(owner):
    """Return the attributes of `owner` that the source of cheroot's requests and gateway reads."""
    classes = (REQUEST, *(one for one in GATEWAY.__mro__ if one is not object))
    source = "".join(inspect.getsource(one) for one in classes)
    return set(re.findall(rf"\b(?:self|req)[._]{owner}\.(\w+)", source))


def test_cheroot_reads_only_these_attributes_of_a_server():
    server = CherootServer(lambda *_: [], ("127.0.0.1", 1), Connections(1), max_body=1, idle_timeout=1)
    assert read_by_cheroot("server") == READ_OF_A_SERVER
    assert not {name for name in READ_OF_A_SERVER if not hasattr(server, name)}


def test_cheroot_reads_only_these_attributes_of_a_connection():
    assert read_by_cheroot("conn") == READ_OF_A_CONNECTION
    assert not READ_OF_A_CONNECTION - {"rfile", "wfile"} - set(dir(Connection))


def test_a_request_has_the_attributes_that_kala_reads():
    source = inspect.getsource(REQUEST)
    assert not {name for name in OF_A_REQUEST if f"self.{name} = " not in source}


def test_the_error_for_an_oversized_head_has_its_name():
    assert issubclass(cheroot.errors.MaxSizeExceeded, Exception)
