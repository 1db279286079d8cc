"""A run: what became of it, why, and what it printed."""

from typing import Any, NamedTuple

from kala.api import schema
from kala.api.http import Request, Response
from kala.core.errors import Conflict, KalaError, NotFound
from kala.core.run import MOVES, Cause
from kala.ui import output_text, sentences
from kala.ui.forms import Form
from kala.ui.run_bar import run_bar
from kala.ui.site import Site, see_other

_CHAIN = 100


class Link(NamedTuple):
    """A run in the chain, and how many steps it is away from the first one there."""

    run: schema.Run
    depth: int


class RunPage:
    """`/runs/{id}`."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def show(self, request: Request) -> Response:
        return self._page(request.path["id"], request.query.get("tail", ""))

    def cancel(self, request: Request) -> Response:
        run_id = request.path["id"]
        try:
            self._site.backend.do("cancelRun", run_id)
        except Conflict as error:
            return self._page(run_id, "", error)
        return see_other(Form(request.body).back or f"/runs/{run_id}")

    def retry(self, request: Request) -> Response:
        run_id = request.path["id"]
        try:
            created = self._site.backend.do("retryRun", run_id)
        except Conflict as error:
            return self._page(run_id, "", error)
        return see_other(f"/runs/{created['run']['id']}")

    def ask_to_delete(self, request: Request) -> Response:
        return self._site.page("run_delete.html", run=self._run(request.path["id"]))

    def delete(self, request: Request) -> Response:
        run_id = request.path["id"]
        try:
            self._site.backend.do("deleteRun", run_id)
        except Conflict as error:
            return self._page(run_id, "", error)
        return see_other("/runs")

    def _run(self, run_id: str) -> schema.Run:
        return self._site.backend.read(schema.OneRun, "getRun", run_id, explain="true").run

    def _page(self, run_id: str, tail: str, error: KalaError | None = None) -> Response:
        run = self._run(run_id)
        chain = self._site.backend.read(schema.Chain, "getChain", run_id, limit=_CHAIN)
        job = self._job(run.job_id)
        return self._site.page(
            "run.html",
            status=409 if error else 200,
            error=error,
            run=run,
            job=job,
            has_ended=run.state not in MOVES,
            why=sentences.why(run),
            announcement=sentences.announcement(run),
            bar=lambda now: run_bar(run, now),
            attempts=attempts(chain),
            tries=(job or {}).get("retries", 0) + 1,
            above=_above(chain),
            below=_below(chain),
            has_more=chain.has_more,
            output=output_text.read(self._site.backend, run_id, tail),
            lines=tail or output_text.LINES,
            file_name=file_name(run),
        )

    def _job(self, job_id: str) -> dict[str, Any] | None:
        """Return the job's JSON, None if the job was deleted."""
        try:
            return self._site.backend.read(dict[str, dict[str, Any]], "getJob", job_id)["job"]
        except NotFound:
            return None


def attempts(chain: schema.Chain) -> list[schema.Run]:
    """Return the attempts of the run's slot or start, oldest first: the run that is retried, and its retries."""
    by_id = {run.id: run for run in (*chain.causes, chain.run, *chain.caused)}
    first = chain.run
    while first.cause is Cause.RETRY and first.cause_run_id in by_id:
        first = by_id[first.cause_run_id]
    found = [first]
    for run in sorted(by_id.values(), key=lambda run: run.id):
        if run.cause is Cause.RETRY and run.cause_run_id == found[-1].id:
            found.append(run)
    return found


def _above(chain: schema.Chain) -> list[Link]:
    return [Link(run, depth) for depth, run in enumerate(chain.causes)]


def _below(chain: schema.Chain) -> list[Link]:
    """Return what the run led to, each run after the one that led to it."""
    following: dict[int | None, list[schema.Run]] = {}
    for run in reversed(chain.caused):
        following.setdefault(run.cause_run_id, []).append(run)
    links: list[Link] = []
    left = [Link(run, 0) for run in following.get(chain.run.id, ())]
    while left:
        link = left.pop()
        links.append(link)
        left += [Link(run, link.depth + 1) for run in following.get(link.run.id, ())]
    return links


def file_name(run: schema.Run) -> str:
    """Return the name of a download: the job's name, as far as every file system takes it, and the run's id."""
    words = "".join(character if character.isalnum() else " " for character in run.job_name).split()
    return f"{'-'.join([*words, str(run.id)])[-100:]}.txt"
