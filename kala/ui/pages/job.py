"""One job: when it runs, how its latest runs went, what it is; and what people do to it."""

import json
import shlex
from collections.abc import Mapping
from datetime import datetime
from statistics import median
from typing import Any, NamedTuple
from urllib.parse import quote

from kala.api import schema
from kala.api.graph_schema import Graph, GraphNode
from kala.api.http import Request, Response
from kala.api.job_fields import HTTP_CALL, JOB, REMOTE
from kala.core.errors import Conflict, KalaError, NotFound
from kala.core.masking import MASK
from kala.core.run import State
from kala.ui import sentences, svg
from kala.ui.forms import Form
from kala.ui.job_texts import flat, texts_of, tidied, without_defaults
from kala.ui.site import Site, see_other

# How many runs the chart shows, and for how many it has room at least.
_CHART, _FEWEST = 100, 40
_RECENT = 10
_SLOTS = 5
# The page shows these in other places.
_SHOWN_ELSEWHERE = frozenset(
    "name description tags command owner disabled parent_jobs on_failure_job schedule type remote_properties"
    " url method".split()
)


class _Setting(NamedTuple):
    name: str
    value: str
    meaning: str


class _Slot(NamedTuple):
    """A slot, and what the clock of the job's zone shows then (RFC 3339)."""

    at: datetime
    in_zone: str


class _Relative(NamedTuple):
    """A job that starts this one, or that this one starts. `kind` is `success` or `failure`."""

    node: GraphNode
    kind: str


class JobPage:
    """`/jobs/{id}`, and the actions there."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._backend = site.backend

    def show(self, request: Request) -> Response:
        given = request.path["id"]
        try:
            job = self._job(given)
        except NotFound as error:
            return self._gone(given, error)
        summary = self._summary(job["id"])
        runs = self._backend.read(schema.Runs, "listRunsOfJob", job["id"], limit=_CHART).runs
        bars = [schema.NewestRun(run.id, run.state, run.duration) for run in runs]
        lengths = [run.duration for run in runs if run.state is State.SUCCEEDED and run.duration is not None]
        held = self._held(job["id"])
        failed, ended = svg.failed_of(bars)
        before, after = self._relatives(job["id"])
        definition = without_defaults(tidied(job), is_new=True)
        address = f"{self._site.address(request)}/api/v1/job/"
        return self._site.page(
            "job.html",
            events=f"job={job['id']}",
            job=job,
            short=summary,
            runs=runs,
            recent=_RECENT,
            bars=bars,
            most=max(len(bars), _FEWEST),
            failed=failed,
            ended=ended,
            median=median(lengths) if lengths else None,
            longest=max((run.duration or 0 for run in runs), default=0),
            held=held,
            why=sentences.why(held) if held else [],
            slots=self._slots(job, summary),
            before=before,
            after=after,
            is_http=job["type"] == HTTP_CALL,
            settings=_settings(definition),
            is_masked=not request.caller.sees_secrets and _is_masked(definition),
            definition=json.dumps(definition, indent=2, ensure_ascii=False),
            curl=f"curl {shlex.quote(address)} -d {shlex.quote(json.dumps(definition, ensure_ascii=False))}",
        )

    def _job(self, given: str) -> dict[str, Any]:
        job: dict[str, Any] = self._backend.read(dict[str, Any], "getJob", given)["job"]
        return job

    def _summary(self, job_id: str) -> schema.Summary:
        found = self._backend.read(schema.Summaries, "listJobs", fields="summary", ids=job_id).jobs
        if not found:  # deleted meanwhile
            raise NotFound(f"no job has the id or name {job_id!r}")
        return found[0]

    def _gone(self, given: str, error: NotFound) -> Response:
        try:
            runs = self._backend.read(schema.Runs, "listRuns", job=given, limit=1).runs
        except NotFound:
            runs = []
        return self._site.page("job_gone.html", status=404, given=given, runs=runs, sentence=str(error))

    def _held(self, job_id: str) -> schema.Run | None:
        """Return the queued run that is next, with why it waits; None if no run is queued."""
        queued = self._backend.read(schema.Runs, "listRunsOfJob", job_id, state="queued", limit=1000).runs
        if not queued:
            return None
        run = self._backend.read(schema.OneRun, "getRun", str(queued[-1].id), explain="true").run
        return run if run.state is State.QUEUED else None

    def _slots(self, job: Mapping[str, Any], summary: schema.Summary) -> list[_Slot]:
        """Return the next slots; none for a job that is disabled or has no schedule."""
        if summary.next_run_at is None or not job["schedule"]:
            return []
        wanted = {name: job[name] for name in ("schedule", "timezone", "jitter", "name")} | {"count": _SLOTS}
        try:
            found = self._backend.ask(schema.Slots, "previewSchedule", wanted)
            slots = list(map(_Slot, found.slots, found.local))
        except KalaError:  # the last slot has passed since the job was read
            slots = []
        first = _Slot(summary.next_run_at, job["next_run_local"])
        return [first, *(slot for slot in slots if slot.at > first.at)][:_SLOTS]

    def _relatives(self, job_id: str) -> tuple[list[_Relative], list[_Relative]]:
        """Return the jobs that start this one, and those that this one starts."""
        graph = self._backend.read(Graph, "getGraph", job=job_id, depth=1)
        nodes = {node.id: node for node in graph.nodes}
        before = [_Relative(nodes[edge.start], edge.kind) for edge in graph.edges if edge.end == job_id]
        after = [_Relative(nodes[edge.end], edge.kind) for edge in graph.edges if edge.start == job_id]
        return before, after

    def start(self, request: Request) -> Response:
        form, given = Form(request.body), request.path["id"]
        if form.get("enable"):
            self._backend.do("enableJob", given)
        try:
            run = self._backend.do("startJob", given, query={"return": "run"})["run"]
        except Conflict as error:
            job = self._job(given)
            if not job["disabled"]:
                raise
            return self._site.page("job_disabled.html", status=409, job=job, sentence=str(error))
        return see_other(f"/runs/{run['id']}")

    def enable(self, request: Request) -> Response:
        self._backend.do("enableJob", request.path["id"])
        return self._back(request)

    def disable(self, request: Request) -> Response:
        self._backend.do("disableJob", request.path["id"])
        return self._back(request)

    def _back(self, request: Request) -> Response:
        return see_other(Form(request.body).back or f"/jobs/{quote(request.path['id'], safe='')}")

    def ask_to_delete(self, request: Request) -> Response:
        job = self._job(request.path["id"])
        jobs = self._backend.read(schema.Deletion, "getDeletion", job["id"]).jobs
        return self._site.page("job_delete.html", job=job, with_it=[one for one in jobs if one.id != job["id"]])

    def delete(self, request: Request) -> Response:
        self._backend.do("deleteJob", request.path["id"])
        return see_other("/jobs")


def _settings(definition: Mapping[str, Any]) -> list[_Setting]:
    """Return the fields of a definition that the page does not show elsewhere."""
    given = [(JOB[name], value) for name, value in definition.items() if name in JOB]
    given += [(REMOTE[name], value) for name, value in definition.get("remote_properties", {}).items()]
    return [
        _Setting(field.json, _shown(value), field.meaning)
        for field, value in given
        if field.json not in _SHOWN_ELSEWHERE
    ]


def _is_masked(definition: Mapping[str, Any]) -> bool:
    """Whether a definition, as it was read without secrets, has had some."""
    texts = texts_of(definition)
    return any(MASK in texts[path] for path, field in flat().items() if field.can_be_secret)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
