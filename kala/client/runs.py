"""Requests about runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from .output import Output
from .run import Chain, Run
from .transport import Transport, path_of, query_of

_PAGE = 1000


class _OneRun(Struct):
    run: Run


class _Page(Struct):
    runs: tuple[Run, ...]
    next_before: int | None = None


class Runs:
    """The runs of all jobs."""

    def __init__(self, transport: Transport, call: Callable[..., Any]) -> None:
        self._transport = transport
        self._call = call

    def get(self, run_id: int) -> Run:
        """Read a run, with a sentence that says why it waits or how it ended."""
        answer: _OneRun = self._call("GET", path_of("run", run_id) + query_of({"explain": True}), type=_OneRun)
        return self.bound(answer.run)

    def list(
        self,
        *,
        job: str | None = None,
        state: str | Sequence[str] | None = None,
        cause: str | None = None,
        since: str | datetime | None = None,
        until: str | datetime | None = None,
        pool: str | None = None,
        longer_than: str | None = None,
        cause_run: int | None = None,
        q: str | None = None,
        owner: str | None = None,
        tag: str | Sequence[str] | None = None,
        before: int | None = None,
        limit: int | None = None,
    ) -> Iterator[Run]:
        """Yield runs, the newest first, page by page; at most `limit` of them. Parameters are those of the API."""
        query = {
            "job": job,
            "state": state,
            "cause": cause,
            "since": since,
            "until": until,
            "pool": pool,
            "longer_than": longer_than,
            "cause_run": cause_run,
            "q": q,
            "owner": owner,
            "tag": tag,
        }
        left = limit
        while left is None or left > 0:
            size = _PAGE if left is None else min(left, _PAGE)
            path = path_of("run") + query_of({**query, "limit": size, "before": before})
            page: _Page = self._call("GET", path, type=_Page)
            yield from map(self.bound, page.runs)
            before = page.next_before
            if before is None:
                return
            left = None if left is None else left - size

    def output(self, run_id: int, *, follow: bool = False, tail: int | None = None) -> Output:
        """Return the output of a run; with `follow`, its iteration ends when the run does."""
        return Output(self._transport, run_id, lambda: self.get(run_id).has_ended, follow=follow, tail=tail)

    def chain(self, run_id: int, *, limit: int | None = None) -> Chain:
        """Read what caused a run, and what it caused."""
        chain: Chain = self._call("GET", path_of("run", run_id, "chain") + query_of({"limit": limit}), type=Chain)
        for run in (chain.run, *chain.causes, *chain.caused):
            self.bound(run)
        return chain

    def cancel(self, run_id: int) -> None:
        """Cancel a run that is queued or running."""
        self._call("POST", path_of("run", run_id, "cancel"), is_repeatable=False)

    def retry(self, run_id: int) -> Run:
        """Run the job of a run that has ended again, for the same slot, and return the new run."""
        answer: _OneRun = self._call("POST", path_of("run", run_id, "retry"), has_key=True, type=_OneRun)
        return self.bound(answer.run)

    def delete(self, run_id: int) -> None:
        """Delete a run that has ended."""
        self._call("DELETE", path_of("run", run_id))

    def bound(self, run: Run) -> Run:
        """Let the run make requests."""
        run.__dict__["runs"] = self
        return run
