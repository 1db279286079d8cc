"""The list of runs."""

from collections.abc import Mapping
from datetime import datetime

from kala.api import schema
from kala.api.http import Request, Response
from kala.core.errors import Conflict, Invalid, KalaError, NotFound
from kala.core.instants import rfc3339
from kala.core.run import Cause, State
from kala.ui.forms import Form, number_in
from kala.ui.site import Site, path, see_other

_PAGE = 50
_MOST_NEW = 100
_FILTERS = {
    "state": "State",
    "q": "Name",
    "job": "Job",
    "owner": "Owner",
    "tag": "Tag",
    "cause": "Cause",
    "cause_run": "Caused by run",
    "pool": "Pool",
    "longer_than": "Longer than",
    "since": "Since",
    "until": "Until",
}
_PERIODS = {"-1h": "Last hour", "-24h": "Last 24 hours", "-7d": "Last 7 days"}
# The fields of the form for a time on the server's clock, and the filters that they set.
_CLOCKS = {"from": "since", "to": "until"}


class RunsPage:
    """`/runs`."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def show(self, request: Request) -> Response:
        query = dict(request.query)
        newest = query.pop("newest", "")
        error = None
        try:
            query = self._with_times(query)
            shown, new = self._found(query, newest)
        except (Invalid, NotFound, Conflict) as caught:  # a filter to correct
            shown, new, error = schema.Runs([], None), 0, caught
        runs = shown.runs
        filters = {name: value for name, value in query.items() if name in _FILTERS}
        return self._site.page(
            "runs.html",
            status=400 if error else 200,
            error=error,
            runs=runs,
            query=query,
            filters=filters,
            labels=_FILTERS,
            chosen=frozenset(query.get("state", "").split(",")),
            states=list(State),
            causes=list(Cause),
            periods=_PERIODS,
            new=new,
            most_new=_MOST_NEW,
            clock=self._clock,
            newest=self._url(filters),
            older=shown.next_before and self._url(query, before=shown.next_before),
            without=lambda name: self._url({key: value for key, value in filters.items() if key != name}),
            here=path("runs", **query),
            again=self._url(query, newest=None if "before" in query else newest or (runs[0].id if runs else None)),
        )

    def cancel(self, request: Request) -> Response:
        """Cancel the ticked runs; some may have ended meanwhile."""
        form = Form(request.body)
        errors = []
        for run_id in form.all("id"):
            try:
                self._site.backend.do("cancelRun", run_id)
            except KalaError as error:
                errors.append(str(error))
        if errors:
            count = len(form.all("id"))
            return self._site.page(
                "runs_cancelled.html", status=409, count=count, done=count - len(errors), errors=errors, back=form.back
            )
        return see_other(form.back or "/runs")

    def _found(self, query: Mapping[str, str], newest: str) -> tuple[schema.Runs, int]:
        """Return the runs of the page, and how many there are after the newest that the person has seen."""
        seen = number_in(newest, -1, digits=18)
        if seen < 0:
            return self._list(query, _PAGE), 0
        new = [run for run in self._list(query, _MOST_NEW).runs if run.id > seen]
        return self._list({**query, "before": str(seen + 1)}, _PAGE), len(new)

    def _list(self, query: Mapping[str, str], limit: int) -> schema.Runs:
        return self._site.backend.read(schema.Runs, "listRuns", **{"limit": str(limit), **query})

    def _with_times(self, query: dict[str, str]) -> dict[str, str]:
        """Return the query with the times of the form, which are on the server's clock, as times of the API."""
        for field, name in _CLOCKS.items():
            if given := query.pop(field, ""):
                try:
                    local = datetime.fromisoformat(given)
                    query[name] = rfc3339(local if local.tzinfo else local.replace(tzinfo=self._site.zone))
                except (ValueError, OverflowError):
                    raise Invalid(f'{field}: must be a time such as 2030-01-31T08:00, not "{given[:80]}"') from None
        return query

    def _clock(self, text: str) -> str:
        """Return a time of the API as the form's fields show it, empty for an age."""
        try:
            return datetime.fromisoformat(text).astimezone(self._site.zone).strftime("%Y-%m-%dT%H:%M")
        except (ValueError, OverflowError):
            return ""

    def _url(self, query: Mapping[str, str], **changes: object) -> str:
        return self._site.url("runs", **(dict(query) | changes))
