"""Who asked for which change, and who was refused."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from kala.api import access_schema
from kala.api.http import Request, Response
from kala.core.account import Action
from kala.core.errors import Invalid
from kala.ui.site import Site

_PAGE = 100
_FILTERS = ("actor", "action", "target", "since", "until", "refused")
_PERIODS = {"-1h": "Last hour", "-24h": "Last 24 hours", "-7d": "Last 7 days", "-30d": "Last 30 days"}
# What the target of an action is, by the beginning of the action: the page that shows it.
_PAGES = {"job": "jobs", "run": "runs", "user": "users"}


class Change(NamedTuple):
    """A field that was changed. `before` is empty where there was none, as with a new user."""

    field: str
    before: str
    after: str


class Row(NamedTuple):
    """An entry, and the page about its target."""

    entry: access_schema.Entry
    link: tuple[str, ...]
    changes: list[Change]


class AuditPage:
    """`/audit`."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def show(self, request: Request) -> Response:
        query = {name: value for name, value in request.query.items() if name in (*_FILTERS, "before")}
        error, found = None, access_schema.Entries([], None)
        try:
            found = self._site.backend.read(access_schema.Entries, "listAudit", limit=_PAGE, **query)
        except Invalid as invalid:
            error = invalid
        filters = {name: value for name, value in query.items() if name != "before"}
        return self._site.form_page(
            "audit.html",
            error,
            (),
            rows=list(map(_row, found.entries)),
            query=query,
            filters=filters,
            actions=list(Action),
            periods=_PERIODS,
            newest=self._site.url("audit", **filters) if "before" in query else "",
            older=self._site.url("audit", **filters, before=found.next_before) if found.next_before else "",
            without=lambda name: self._site.url("audit", **{key: filters[key] for key in filters if key != name}),
        )


def _row(entry: access_schema.Entry) -> Row:
    kind, _, verb = entry.action.partition(".")
    # What was deleted has no page any more.
    link = (_PAGES[kind], entry.target) if kind in _PAGES and entry.target and verb != "delete" else ()
    return Row(entry, link, list(_changes(entry.changed)))


def _changes(changed: Mapping[str, Any]) -> Iterator[Change]:
    """Yield the fields that were changed; of what is new, those that say something."""
    for field, (before, after) in changed.items():
        if before is not None or after:
            yield Change(field, "" if before is None else _shown(before), _shown(after))


def _shown(value: Any) -> str:
    """Return a value as text: lists of texts, such as owners, and pairs, such as variables, as people write them."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return ", ".join(value) or "none"
    if isinstance(value, list) and all(isinstance(one, list) and len(one) == 2 for one in value):
        return ", ".join(f"{name}={text}" for name, text in value)
    return "none" if value is None else json.dumps(value, ensure_ascii=False)
