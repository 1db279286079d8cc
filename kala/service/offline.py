"""Users and tokens while Kala is not running: the API's routes, on the data and without a server."""

import os
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from kala.access.peers import user_name
from kala.api.access_routes import ACCESS_ROUTES
from kala.api.accounts import TokenRoutes, UserRoutes
from kala.api.http import Request
from kala.api.route import Table, bind
from kala.config import Config
from kala.core.caller import Caller, Role
from kala.core.errors import Conflict, Invalid, NotFound
from kala.engine.offline import OfflineEngine
from kala.store.owner import as_owner_of
from kala.store.store import DATABASE, Store, lock_data_dir

# To POST there adds a user or a token.
_PATHS = ("/api/v1/user/", "/api/v1/token/")


def has_database(config: Config) -> bool:
    """Return whether a Kala has been in the data directory; False also where one may not look."""
    return os.path.exists(config.data_dir / DATABASE)  # noqa: PTH110  Path.exists() raises PermissionError


def respond(config: Config, method: str, target: str, body: bytes) -> bytes:
    """Return the body of the response to a request, which is made as an administrator.

    Raises the KalaError of a response with an error; Conflict if Kala is running on the data.
    """
    if not config.persist:
        raise Invalid("persist: is off, so that users and tokens would not be kept; turn it on, or start Kala first")
    # Only what adds something makes a database where none is: any other request finds nothing in a new one.
    if not (method == "POST" and target in _PATHS) and not has_database(config):
        where = f"{config.data_dir} has no {DATABASE}, or you cannot read it"
        raise NotFound(f"data_dir: {where}; use the data directory of Kala")
    caller = Caller(f"offline:{user_name(os.getuid())}", Role.ADMIN)
    # In memory, as it can have a secret, and open in the process that works as the owner of the data, too.
    with os.fdopen(os.memfd_create("kala"), "w+b") as answer:

        def work() -> None:
            answer.write(_respond(config, caller, method, target, body))
            answer.flush()

        as_owner_of(config.data_dir, work)
        answer.seek(0)
        return answer.read()


def _respond(config: Config, caller: Caller, method: str, target: str, body: bytes) -> bytes:
    _check_not_running(config.data_dir)
    store = Store(config.data_dir, config.durability)
    try:
        engine = OfflineEngine(store)
        parts = (UserRoutes(engine, store), TokenRoutes(engine, store))
        routes = [route for route in ACCESS_ROUTES if route.path.startswith(_PATHS)]
        url = urlsplit(target)
        route, given, _ = Table(bind(routes, *parts)).find(url.path, method)
        assert route, target
        path = route.parse_path({name: unquote(value) for name, value in given.items()})
        response = route.handler(Request(path, route.parse_query(dict(parse_qsl(url.query))), body, caller=caller))
        assert isinstance(response.body, bytes)
        return response.body
    finally:
        store.close()


def _check_not_running(data_dir: Path) -> None:
    try:
        os.close(lock_data_dir(data_dir))
    except Conflict:
        raise Conflict(
            f"data_dir: Kala is running on {data_dir}, but cannot be reached; say with --url where it listens"
        ) from None
