"""The list of jobs."""

from collections.abc import Mapping
from typing import NamedTuple

from kala.api import schema
from kala.api.http import Request, Response
from kala.core.errors import Invalid
from kala.core.foreign import presentable
from kala.core.summary import JobState
from kala.ui.forms import number_in
from kala.ui.site import Site, path

_PAGE = 50
_RUNS = 20
FILTERS = ("q", "state", "owner", "tag", "planned", "disabled", "done")
"""The parameters of the list of jobs by which people filter it."""
_OTHERS = ("sort", "after", "from")
# These have a field in the form above the list; the others come with links.
_IN_FORM = ("q", "state", "owner", "tag", "planned")


class _Column(NamedTuple):
    """A column of the table, and how the list is sorted after the first click on it."""

    label: str
    sort: str = ""

    @property
    def key(self) -> str:
        return self.sort.removeprefix("-")


_COLUMNS = (
    _Column("State", "state"),
    _Column("Name", "name"),
    _Column("Schedule"),
    _Column("Next", "next"),
    _Column("Last", "-last"),
    _Column("Latest runs", "-failures"),
)


class JobsPage:
    """`/jobs`."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def show(self, request: Request) -> Response:
        query = dict(request.query)
        for name in query:
            if name not in (*FILTERS, *_OTHERS):
                raise Invalid(f"{presentable(name)}: not a filter of this list; use one of {', '.join(FILTERS)}")
        first = query.pop("from", "1")
        first_number = number_in(first, 1)
        query.setdefault("sort", "name")
        found = self._site.backend.read(
            schema.Summaries, "listJobs", fields="summary", runs=_RUNS, count="true", limit=_PAGE, **query
        )
        filters = {name: query[name] for name in FILTERS if name in query}
        return self._site.page(
            "jobs.html",
            jobs=found.jobs,
            most=_RUNS,
            total=found.total,
            is_capped=found.is_total_capped,
            first=first_number,
            address=self._site.address(request),
            query=query,
            filters=filters,
            beside={name: value for name, value in filters.items() if name not in _IN_FORM},
            states=list(JobState),
            columns=_COLUMNS,
            first_page=self._url(query) if "after" in query else "",
            following=found.next_after and self._url(query, after=found.next_after, from_=first_number + _PAGE),
            sorted_by=lambda column: self._url(query, sort=_next_sort(query["sort"], column)),
            without=lambda name: self._url({key: value for key, value in query.items() if key != name}),
            here=path("jobs", **query | ({"from": first} if first_number > 1 else {})),
        )

    def _url(self, query: Mapping[str, str], **changes: object) -> str:
        kept = {name: value for name, value in query.items() if name != "after"}
        return self._site.url("jobs", **(kept | changes))


def _next_sort(sort: str, column: _Column) -> str:
    """Return the sorting after a click on a column: by it or, if it is that already, in the other direction."""
    if sort.removeprefix("-") != column.key:
        return column.sort
    return column.key if sort.startswith("-") else f"-{column.key}"
