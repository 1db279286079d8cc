"""Examples of requests and responses for the OpenAPI document, built as Kala builds its responses."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec.structs import replace

from kala.api import graph_schema, schema, system_schema, views
from kala.api.access_examples import ACCESS_EXAMPLES
from kala.api.route import NOT_LOGGED_IN
from kala.config.shown import Setting
from kala.core.errors import TooManyTries
from kala.core.job import Command, Counts, Job, Spec
from kala.core.limits import BODY_BYTES, HEAD_BYTES, HEADER_LINES, URL_BYTES
from kala.core.run import Cause, Outcome, Run, State
from kala.core.summary import JobState
from kala.engine.status import Trouble
from kala.server.body import BodyTooLarge
from kala.server.connections import Usage
from kala.store.jobs import Totals

_SLOT = datetime(2030, 1, 1, 3, tzinfo=UTC)
_STARTED = _SLOT + timedelta(microseconds=1_981)
_DURATION = 5_734_443
_ENDED = _STARTED + timedelta(microseconds=_DURATION // 1000)
_CHECK_ID = "ca40d9c4-edd0-4e75-8e8b-7502c5fb8f2b"
_JOB = Job(
    id="d49ef221-642e-4374-8cc4-8a429d06aefd",
    spec=Spec(
        name="backup",
        action=Command("tar cf /tmp/b.tar /etc/hostname"),
        schedule="R/2030-01-01T03:00:00Z/P1D",
        retries=2,
        owner="ops@example.org",
    ),
    created_at=_SLOT - timedelta(days=1),
    next_due=_SLOT + timedelta(days=1),
    children=(_CHECK_ID,),
    counts=Counts(successes=1, finished=1, last_success=_ENDED, last_attempt=_STARTED),
)
_RUN = Run(
    id=1,
    job_id=_JOB.id,
    job_name=_JOB.spec.name,
    cause=Cause.SCHEDULE,
    queued_at=_SLOT,
    due_at=_SLOT,
    state=State.SUCCEEDED,
    slot=_SLOT,
    started_at=_STARTED,
    outcome=Outcome(state=State.SUCCEEDED, ended_at=_ENDED, duration=_DURATION, exit_code=0),
)
_TOTALS = Totals(jobs=2, disabled=0, successes=2, errors=0, last_attempt=_STARTED, next_due=_JOB.next_due)

ERRORS = {
    400: 'limit: must be a whole number between 1 and 1000, not "0"',
    401: NOT_LOGGED_IN,
    403: "Origin: 'http://evil.example' is another site; requests from other websites are not allowed",
    404: "no job has the id or name 'backup'",
    409: "more than one job has the name 'backup'; use an id",
    412: f"job {_JOB.id} (backup) was changed since you read it; read it again",
    413: str(BodyTooLarge(BODY_BYTES)),
    414: f"URL: longer than {URL_BYTES} bytes; use a shorter URL",
    416: "Range: 'bytes=100-' starts after the end of the output, which is 35 bytes long",
    429: str(TooManyTries(90)),
    431: f"headers: more than {HEADER_LINES}, or larger than {HEAD_BYTES} bytes together; send fewer",
    503: "no response within 30 s; check whether the change was made before you try again",
}
"""A sentence for each status of an error."""

_SHOWN: list[Any] = [
    schema.Created(_JOB.id),
    schema.Deleted([schema.DeletedJob(_JOB.id, "backup"), schema.DeletedJob(_CHECK_ID, "check")]),
    schema.Deletion([schema.DeletedJob(_JOB.id, "backup"), schema.DeletedJob(_CHECK_ID, "check")]),
    schema.OneRun(views.run_view(_RUN)),
    schema.Runs([views.run_view(_RUN)], next_before=None),
    schema.Chain(
        views.run_view(_RUN),
        causes=[],
        caused=[
            views.run_view(replace(_RUN, id=2, job_id=_CHECK_ID, job_name="check", cause=Cause.PARENT, cause_run=1))
        ],
        has_more=False,
    ),
    schema.Histogram(
        3600, [schema.HistogramStep(_SLOT - timedelta(hours=1)), schema.HistogramStep(_SLOT, succeeded=2, failed=1)]
    ),
    schema.JobStats([views.stat_view(_RUN)]),
    schema.Stats(views.totals_view(_TOTALS, _ENDED)),
    schema.Preview(schedule="30 2 * * *", timezone="Europe/Berlin", count=2),
    schema.Slots(
        slots=[datetime(2026, 11, day, 1, 30, tzinfo=UTC) for day in (29, 30)],
        local=[f"2026-11-{day}T02:30:00+01:00" for day in (29, 30)],
        sentence="At 02:30 every day (Europe/Berlin)",
        timezone="Europe/Berlin",
        resolved="30 2 * * *",
        clock_changes=[
            schema.ClockChange(
                datetime(2027, 3, 28, 1, tzinfo=UTC), "02:30 does not exist on 28 March 2027; runs at 03:00"
            )
        ],
    ),
    graph_schema.Graph(
        [
            graph_schema.GraphNode(_JOB.id, "backup", disabled=False),
            graph_schema.GraphNode(_CHECK_ID, "check", disabled=False),
        ],
        [graph_schema.GraphEdge(_JOB.id, _CHECK_ID, "success")],
    ),
    graph_schema.Components([graph_schema.Component(_JOB.id, "backup", 2, failing=0)], count=1, alone=3),
    system_schema.Upcoming(
        _ENDED,
        _ENDED + timedelta(hours=21),
        [
            system_schema.UpcomingJob(
                _JOB.id,
                "backup",
                "Every 8 hours from 1 January 2030 at 03:00 (UTC)",
                count=2,
                slots=[_SLOT + timedelta(hours=8 * n) for n in (1, 2)],
            )
        ],
        has_more=False,
    ),
    system_schema.System(
        versions=system_schema.Versions("0.2.0", "1a2b3c4", "3.11.7", "3.40.1", "2025b"),
        started_at=_SLOT - timedelta(days=1),
        uptime=86_400.012,
        is_draining=False,
        zone="Europe/Berlin",
        workers=system_schema.Workers(busy=1, all=128),
        pools={"db": system_schema.Pool(size=2, running=1, waiting=3)},
        queue={"worker": 0, "pool": 3, "retry": 1, "disabled": 0, "job": 0},
        storage=system_schema.Storage(database=3_781_360, outputs=1_240, free=82_119_995_392, disk=105_089_261_568),
        retention=system_schema.Retention(
            "P90D", 0, 10 * 1024**3, system_schema.OldestRun(1, _ENDED, _ENDED + timedelta(days=90))
        ),
        connections=Usage(open=3, limit=2_000),
        streams=Usage(open=1, limit=1_000),
        run_limits=system_schema.RunLimits(are_available=True, reason=""),
        certificate_expires_at=None,
        last_outage=Trouble("storage: the database cannot be written: disk I/O error", _SLOT, _ENDED),
        lag=system_schema.Lag(_STARTED, 0.001981, 0.000845, 0.011065),
    ),
    system_schema.Settings(
        [Setting("port", 9000, 8000, "KALA_PORT", "variable", unit="", is_reloadable=False, meaning="The port.")]
    ),
    system_schema.Health("pass", []),
    schema.Summaries(
        [
            schema.Summary(
                id=_JOB.id,
                name="backup",
                owner="ops@example.org",
                tags=("nightly",),
                schedule=_JOB.spec.schedule,
                sentence="Every day at 03:00 (UTC) from 1 January 2030",
                next_run_at=_JOB.next_due,
                disabled=False,
                is_done=False,
                state=(JobState.OK,),
                error_count=0,
                last_success=_ENDED,
                last_run=schema.LastRun(1, State.SUCCEEDED, _ENDED, _DURATION / 1e9),
                recent=(State.SUCCEEDED,),
            )
        ],
        next_after=None,
        total=1,
        is_total_capped=False,
    ),
    schema.Bulk(schema.BulkAction.DISABLE, ids=["backup", "check"]),
    schema.BulkResult(schema.BulkAction.DISABLE, 1, [schema.BulkFailure("check", "no job has the id or name 'check'")]),
    schema.OneOverview(
        schema.Overview(
            jobs=2,
            disabled=0,
            failing=1,
            running=3,
            starting=0,
            queued=schema.Queued(total=1, worker=0, pool=0, job=1, retry=0, disabled=0),
            next_run_at=_JOB.next_due,
            skipped_24h=0,
            created=_ENDED,
        )
    ),
]
_JOB_VIEW = msgspec.to_builtins(views.job_view(_JOB, [_RUN]))
EXAMPLES: dict[Any, Any] = {
    schema.NewJob: {
        "name": "backup",
        "command": "tar cf /tmp/b.tar /etc/hostname",
        "schedule": "R/2030-01-01T03:00:00Z/P1D",
        "retries": 2,
        "owner": "ops@example.org",
    },
    schema.JobChange: {"retries": 5, "epsilon": "PT10M"},
    schema.OneJob: {"job": _JOB_VIEW},
    schema.CheckedJob: {"job": _JOB_VIEW, "slots": ["2030-01-02T03:00:00Z", "2030-01-03T03:00:00Z"]},
    schema.Jobs: {"jobs": {_JOB.id: msgspec.to_builtins(views.job_view(_JOB))}},
    **{type(shown): msgspec.to_builtins(shown) for shown in _SHOWN},
    **ACCESS_EXAMPLES,
}
