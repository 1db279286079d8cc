"""The route of the audit log."""

from kala.api import access_schema
from kala.api.http import Request, Response, json
from kala.core.account import Entry
from kala.store.audit import AuditFilter
from kala.store.store import Store


class AuditRoutes:
    """The handler of `/api/v1/audit/`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def search(self, request: Request) -> Response:
        wanted = AuditFilter(**request.query)
        with self._store.reading(()) as session:
            entries = session.audit.search(wanted)
        following = entries[-1].id if len(entries) == wanted.limit else None
        return json(access_schema.Entries(list(map(_view, entries)), following))


def _view(entry: Entry) -> access_schema.Entry:
    return access_schema.Entry(
        id=entry.id,
        at=entry.at,
        actor=entry.actor,
        address=entry.address,
        action=entry.action,
        target=entry.target,
        name=entry.name,
        refused=entry.refused or None,
        changed=entry.changed,
    )
