"""The routes about runs."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from msgspec.structs import replace

from kala.api import histogram, schema, views
from kala.api.explanation import explanation
from kala.api.http import Request, Response, json, no_content
from kala.api.idempotency import Repeatable
from kala.api.output import WHOLE_HEADERS, Outputs, part_of
from kala.core.caller import Caller
from kala.core.errors import Invalid, no_run
from kala.core.masking import masked_run
from kala.core.run import Run
from kala.engine.engine import Engine
from kala.engine.messages import CancelRun, DeleteRun, RetryRun
from kala.runner.executor import Executor
from kala.store.run_search import RunFilter
from kala.store.store import Session, Store

# Of at most this many runs in a list it is also told what takes queries for each.
_MOST_TOLD = 100


class RunRoutes:
    """The handlers of `/api/v1/run/`."""

    def __init__(
        self,
        engine: Engine,
        store: Store,
        outputs: Outputs,
        executor: Executor,
        pools: Callable[[], Mapping[str, int]],
    ) -> None:
        self._engine = engine
        self._pools = pools
        self._store = store
        self._outputs = outputs
        self._executor = executor
        self._repeatable = Repeatable(engine, store)

    def search(self, request: Request) -> Response:
        with self._store.reading(request.caller.owners) as session:
            runs = _search(session, request, job_id_of(session, request.query["job"]))
            return self._page(session, request, runs)

    def of_job(self, request: Request) -> Response:
        with self._store.reading(request.caller.owners) as session:
            runs = _search(session, request, session.jobs.id_of(request.path["id"]))
            return self._page(session, request, runs)

    def _page(self, session: Session, request: Request, runs: list[Run]) -> Response:
        limit = request.query["limit"]
        for name in ("explain", "usual"):
            if request.query[name] and limit > _MOST_TOLD:
                raise Invalid(f"limit: must be between 1 and {_MOST_TOLD} with {name}, not {limit}")
        following = runs[-1].id if len(runs) == limit else None
        return json(schema.Runs([self._told(session, request, run) for run in runs], following))

    def histogram(self, request: Request) -> Response:
        query = request.query
        period = histogram.period(query["since"], query["until"], query["step"], datetime.now(UTC))
        with self._store.reading(request.caller.owners) as session:
            return json(histogram.histogram(session, period, job_id_of(session, query["job"])))

    def chain(self, request: Request) -> Response:
        run, limit = self._run(request), request.query["limit"]
        with self._store.reading(request.caller.owners) as session:
            # One more than wanted: so it is known whether there are more.
            causes, caused = session.history.causes(run.id, limit + 1), session.history.caused(run.id, limit + 1)
        has_more = max(len(causes), len(caused)) > limit
        causes, caused = causes[-limit:], caused[:limit]
        view, *led_here = (views.run_view(self._as_shown(one, request.caller)) for one in [run, *causes])
        led_to = [views.run_view(self._as_shown(one, request.caller)) for one in caused]
        return json(schema.Chain(view, led_here, led_to, has_more))

    def get(self, request: Request) -> Response:
        run = self._run(request)
        with self._store.reading(request.caller.owners) as session:
            return json(schema.OneRun(self._told(session, request, run)))

    def _told(self, session: Session, request: Request, run: Run) -> schema.Run:
        """Return a run's JSON with what the request also wants to know."""
        run = self._as_shown(run, request.caller)
        view = views.run_view(run)
        if request.query["explain"]:
            sentence = explanation(session, run, self._pools(), self._executor.workers)
            view = replace(view, explain=sentence)
        if request.query["usual"]:
            usual = session.history.usual_duration(run.job_id)
            view = replace(view, usual_duration=None if usual is None else usual / 1e9)
        return view

    def _as_shown(self, run: Run, caller: Caller) -> Run:
        """Return a run as the caller sees it.

        The database has a claimed run as running; only the executor knows if it has started.
        """
        run = self._executor.as_it_stands(run)
        return run if caller.sees_secrets else masked_run(run)

    def retry(self, request: Request) -> Response:
        return self._repeatable.call(request, "retry", lambda: RetryRun(request.path["id"]), run_created)

    def cancel(self, request: Request) -> Response:
        self._engine.call(CancelRun(request.path["id"]), request.caller)
        return no_content()

    def delete(self, request: Request) -> Response:
        self._engine.call(DeleteRun(request.path["id"]), request.caller)
        return no_content()

    def output(self, request: Request) -> Response:
        run, owners = self._run(request), request.caller.owners
        response = self._output(request, run)

        def is_seen() -> bool:
            with self._store.reading(owners) as session:
                return session.runs.get(run.id) is not None

        # Somebody may give the job another owner while the caller reads.
        return replace(response, is_seen=is_seen) if owners else response

    def _output(self, request: Request, run: Run) -> Response:
        query, wanted = request.query, request.headers.get("Range", "")
        lines, offset = query["tail"], query["from"]
        if offset is not None:
            if lines is not None:
                raise Invalid("tail: not together with from; use one of them")
            return self._outputs.part_from(run, offset, is_followed=query["follow"])
        if query["follow"]:
            return self._outputs.follow(run, lines)
        if lines is not None:
            return self._outputs.last_lines(run, lines)
        if wanted:
            return part_of(self._outputs.open(run.id), wanted)
        return Response(body=self._outputs.parts(run.id), headers=WHOLE_HEADERS)

    def _run(self, request: Request) -> Run:
        with self._store.reading(request.caller.owners) as session:
            run = session.runs.get(request.path["id"])
        if run is None:
            raise no_run(request.path["id"])
        return run


def run_created(run: Run) -> Response:
    """Return the response to a request that has created a run."""
    return json(schema.OneRun(views.run_view(run)), 201, views.run_location(run))


def _search(session: Session, request: Request, job_id: str | None) -> list[Run]:
    wanted = RunFilter(
        job_id=job_id,
        limit=request.query["limit"],
        before=request.query["before"],
        states=request.query["state"],
        cause=request.query["cause"],
        since=request.query["since"],
        until=request.query["until"],
        q=request.query.get("q") or "",
        owner=request.query.get("owner"),
        tags=request.query.get("tag", ()),
        pool=request.query["pool"],
        cause_run=request.query["cause_run"],
        longer_than=request.query["longer_than"] and request.query["longer_than"].longest,
        now=datetime.now(UTC),
    )
    return session.history.search(wanted)


def job_id_of(session: Session, given: str | None) -> str | None:
    """Return the id of a job, which may have been deleted but left runs."""
    if given is None or session.history.search(RunFilter(job_id=given, limit=1)):
        return given
    return session.jobs.id_of(given, "job")
