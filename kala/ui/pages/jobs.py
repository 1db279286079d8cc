"""The list of jobs."""

from collections.abc import Mapping
from typing import NamedTuple

from kala.api import schema
from kala.api.http import Request, Response
from kala.core.summary import JobState
from kala.ui.site import Site

_PAGE = 50
_RECENT = 20
_FILTERS = ("q", "state", "owner", "tag", "disabled", "done")


class Column(NamedTuple):
    """A column of the table, and the key that sorts by it."""

    label: str
    key: str = ""


_COLUMNS = (
    Column("State", "state"),
    Column("Name", "name"),
    Column("Schedule"),
    Column("Next", "next"),
    Column("Last", "last"),
    Column("Latest runs", "failures"),
)


class JobsPage:
    """`/jobs`."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def show(self, request: Request) -> Response:
        query = dict(request.query)
        first = int(query.pop("from", "1")) if query.get("from", "1").isdigit() else 1
        query.setdefault("sort", "name")
        found = self._site.backend.read(
            schema.Summaries, "listJobs", fields="summary", recent=_RECENT, count="true", limit=_PAGE, **query
        )
        return self._site.page(
            "jobs.html",
            jobs=found.jobs,
            total=found.total,
            is_capped=found.is_total_capped,
            first=first,
            query=query,
            filters={name: query[name] for name in _FILTERS if name in query},
            states=list(JobState),
            columns=_COLUMNS,
            following=found.next_after and self._url(query, after=found.next_after, from_=first + len(found.jobs)),
            sorted_by=lambda key: self._url(query, sort=_toggled(query["sort"], key)),
            without=lambda name: self._url({key: value for key, value in query.items() if key != name}),
            here=self._url(query),
        )

    def _url(self, query: Mapping[str, str], **changes: object) -> str:
        kept = {name: value for name, value in query.items() if name != "after"}
        return self._site.url("jobs", **(kept | changes))


def _toggled(sort: str, key: str) -> str:
    """Return the sorting after a click on a column: by it or, if it is that already, in the other direction."""
    return f"-{key}" if sort == key else key
