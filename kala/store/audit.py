"""The audit log: who asked for which change, written in the transaction of the change."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec
from peewee import SQL, Expression, Table

from kala.core.account import Action, Entry
from kala.store.instants import from_column, to_column
from kala.store.statements import Statements

_ADD = """
    INSERT INTO audit (at, actor, address, action, target, name, refused, changed) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
# The oldest entries come first in the table; a clock that was set back only makes some stay longer.
_DELETE = """
    DELETE FROM audit WHERE id IN (
        SELECT id FROM (SELECT id, at FROM audit ORDER BY id LIMIT ?) AS oldest WHERE at <= ?)
"""
_AUDIT = Table("audit")
_COLUMNS = ("id", "at", "actor", "address", "action", "target", "name", "refused", "changed")


class AuditFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries to list, newest first. `target` is an id or a name."""

    limit: int
    before: int | None = None
    actor: str | None = None
    action: Action | None = None
    target: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    refused: bool | None = None


class Audit:
    """The audit table on one connection."""

    def __init__(self, sql: Statements) -> None:
        self._sql = sql

    def add(self, entry: Entry) -> None:
        changed = msgspec.json.encode(entry.changed).decode() if entry.changed else ""
        values = (entry.actor, entry.address, str(entry.action), entry.target, entry.name, entry.refused, changed)
        self._sql(_ADD, (to_column(entry.at), *values))

    def search(self, wanted: AuditFilter) -> list[Entry]:
        columns = [getattr(_AUDIT.c, name) for name in _COLUMNS]
        query = _AUDIT.select(*columns).order_by(_AUDIT.c.id.desc()).limit(wanted.limit)
        for condition in _conditions(wanted):
            query = query.where(condition)
        return [_entry(row) for row in self._sql.select(query)]

    def delete_older(self, until: datetime, limit: int) -> None:
        """Delete those of the `limit` oldest entries that were written until an instant."""
        self._sql(_DELETE, (limit, to_column(until)))


def _conditions(wanted: AuditFilter) -> Iterator[Expression | SQL]:
    table = _AUDIT.c
    if wanted.before is not None:
        yield table.id < wanted.before
    if wanted.actor is not None:
        yield table.actor == wanted.actor
    if wanted.action is not None:
        yield table.action == str(wanted.action)
    if wanted.target is not None:
        yield (table.target == wanted.target) | (table.name == wanted.target)
    if wanted.since is not None:
        yield table.at >= to_column(wanted.since)
    if wanted.until is not None:
        yield table.at <= to_column(wanted.until)
    if wanted.refused is not None:
        yield (table.refused != "") if wanted.refused else (table.refused == "")


def _entry(row: tuple[Any, ...]) -> Entry:
    number, at, actor, address, action, target, name, refused, changed = row
    return Entry(
        id=number,
        at=from_column(at),
        actor=actor,
        address=address,
        action=Action(action),
        target=target,
        name=name,
        refused=refused,
        changed=msgspec.json.decode(changed) if changed else {},
    )
