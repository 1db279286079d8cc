"""The overview: what fails, what runs, what waits and what comes."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import takewhile

from kala.api import schema, system_schema
from kala.api.http import Request, Response
from kala.core.instants import rfc3339
from kala.core.run import FAILURES, State
from kala.core.summary import RECENT
from kala.ui import sentences, strip
from kala.ui.site import Site

_SHOWN = 20
_FAILING = "failing,lost"
_FAILED = "failed,timed_out,lost"
# A run is conspicuous when it takes this many times as long as usual, but not before this many seconds.
_LONG, _LEAST_LONG = 2, 5
_MICROSECOND = timedelta(microseconds=1)


class OverviewPage:
    """`/`."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def show(self, request: Request) -> Response:
        read = self._site.backend.read
        whole = read(schema.OneOverview, "getSummary").summary
        if not whole.jobs:
            return self._site.page("welcome.html", address=self._site.address(request))
        coming = read(system_schema.Upcoming, "listUpcoming", limit=_SHOWN, per_job=1, step="1h")
        assert coming.histogram
        failing = read(
            schema.Summaries,
            "listJobs",
            fields="summary",
            state=_FAILING,
            sort="-last",
            recent=RECENT,
            last_line="true",
            count="true",
            limit=_SHOWN,
        )
        past = read(schema.Histogram, "getHistogram", since=rfc3339(strip.first_hour(whole.created)), step="1h")
        return self._site.page(
            "overview.html",
            whole=whole,
            failing_jobs=failing.jobs,
            failing_count=failing.total or 0,
            failing_url=self._site.url("jobs", state=_FAILING, sort="-last"),
            last_failure=None if failing.jobs else self._last_failure(),
            running=read(schema.Runs, "listRuns", state=State.RUNNING, limit=_SHOWN, usual="true").runs,
            held=read(schema.Runs, "listRuns", state=State.QUEUED, limit=_SHOWN, explain="true").runs,
            coming=coming.jobs,
            strip=strip.strip(past, coming.histogram),
            legend=strip.LEGEND,
            bar_url=self._bar_url,
            in_a_row=_in_a_row,
            is_long=lambda run: _is_long(run, whole.created),
            why=sentences.why,
            skipped_url=self._site.url("runs", state=State.SKIPPED, since="-24h"),
        )

    def _last_failure(self) -> schema.Run | None:
        runs = self._site.backend.read(schema.Runs, "listRuns", state=_FAILED, limit=1).runs
        return runs[0] if runs else None

    def _bar_url(self, bar: strip.Bar) -> str:
        if bar.is_past:
            return self._site.url("runs", since=rfc3339(bar.start), until=rfc3339(bar.end - _MICROSECOND))
        return self._site.url("jobs", sort="next")


def _in_a_row(recent: Sequence[State]) -> str:
    """Return how many of the latest ends are failures, in words."""
    count = sum(1 for _ in takewhile(lambda state: state in FAILURES or state is State.LOST, recent))
    if count < 2:
        return ""
    return f"{count}{' or more' if count == RECENT else ''} times in a row"


def _is_long(run: schema.Run, now: datetime) -> bool:
    """Whether a run takes much longer than is usual for its job."""
    if run.started_at is None or not run.usual_duration:
        return False
    return (now - run.started_at).total_seconds() > max(_LEAST_LONG, _LONG * run.usual_duration)
