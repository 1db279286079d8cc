"""The table of routes, the more specific before the more general."""

from kala.api import graph_schema, schema
from kala.api.access_routes import ACCESS_ROUTES
from kala.api.bulk import BulkRoutes
from kala.api.job_lists import JobLists, Sort
from kala.api.jobs import JobRoutes
from kala.api.openapi import OpenApiRoutes
from kala.api.overview import OverviewRoutes
from kala.api.parameters import (
    HOUR,
    IDEMPOTENCY_KEY,
    IF_MATCH,
    JOB,
    RETURN_DELETED,
    RETURN_RUN,
    RUN,
    Bytes,
    Choice,
    Choices,
    Duration,
    Flag,
    JobIds,
    JobName,
    Parameter,
    Tags,
    Text,
    Time,
    Whole,
)
from kala.api.route import BYTES, DOT, EVENTS, Route
from kala.api.runs import RunRoutes
from kala.api.status import StatusRoutes
from kala.api.system import SystemRoutes
from kala.api.system_schema import Health, Settings, System, Upcoming
from kala.api.upcoming import UpcomingRoutes
from kala.core.caller import Role
from kala.core.run import Cause, State
from kala.core.summary import RECENT, JobState

_JOB_FILTERS = (
    Parameter("limit", Whole(1), "At most this many jobs."),
    Parameter("after", Text(), "Only jobs created after this job, an id or a unique name."),
    Parameter("q", Text(), "Only jobs whose name contains this text, in upper or lower case, or whose id it is."),
    Parameter("ids", JobIds(), "Only jobs with one of these ids."),
    Parameter("owner", Text(), "Only jobs of exactly this owner."),
    Parameter("tag", Tags(), "Only jobs that have this tag, or all of these.", default=()),
    Parameter("disabled", Flag(), "Only jobs that are, or are not, disabled."),
    Parameter("done", Flag(), "Only jobs that will, or will not, run again."),
    Parameter("planned", Flag(), "Only jobs that have, or have not, a slot to come, also while they are disabled."),
    Parameter("state", Choices(JobState), "Only jobs in one of these states.", default=frozenset()),
)
_SUMMARIES = (
    Parameter("fields", Choice(("summary",)), "Respond with a page of summaries instead of all fields of each job."),
    Parameter("sort", Sort(), "In summaries, the order of the jobs, such as -last,name.", default=()),
    Parameter("recent", Whole(0, RECENT), "In summaries, how many of the latest ends to show of each job.", default=0),
    Parameter("runs", Whole(0, RECENT), "In summaries, how many of the newest runs to show of each job.", default=0),
    Parameter(
        "last_line", Flag(), "In summaries, also show how the last run ended, and what it printed last.", default=False
    ),
    Parameter("count", Flag(), "In summaries, also count all jobs that match, up to 10,000.", default=False),
)
_RUN_FILTERS = (
    Parameter("limit", Whole(1, 1000), "At most this many runs.", default=100),
    Parameter("before", Whole(1), "Only runs older than the run with this id."),
    Parameter("state", Choices(State), "Only runs in one of these states.", default=frozenset()),
    Parameter("cause", Choice(Cause), "Only runs with this cause."),
    Parameter("since", Time(), "Only runs not before this time."),
    Parameter("until", Time(), "Only runs not after this time."),
    Parameter("pool", Text(), "Only runs in this pool."),
    Parameter("cause_run", Whole(1), "Only runs that the run with this id caused."),
    Parameter("longer_than", Duration(), "Only runs that took longer than this, or have been running for longer."),
)
_TOLD = (
    Parameter("explain", Flag(), "Add a sentence that says why a run waits, or how it ended.", default=False),
    Parameter("usual", Flag(), "Add how long runs of the job usually take.", default=False),
)
_RUNS_OF = Parameter("job", JobName(), "Only runs of this job, an id or a unique name; a deleted job, by its id.")
_RUNS_OF_JOBS = (
    Parameter("q", Text(), "Only runs of jobs whose name contains this text, in upper or lower case."),
    Parameter("owner", Text(), "Only runs of jobs of exactly this owner."),
    Parameter("tag", Tags(), "Only runs of jobs that have this tag, or all of these.", default=()),
)
_HISTOGRAM = (
    Parameter("since", Time(), "Begin with the step of this time; by default, a day before `until`."),
    Parameter("until", Time(), "End with the step of this time; by default, now."),
    Parameter("step", Duration(), "How long a step is, in whole minutes.", default=HOUR),
    _RUNS_OF,
)
_CHAIN = (RUN, Parameter("limit", Whole(1, 1000), "At most this many runs in each direction.", default=100))
_STATS_PAGE = (
    JOB,
    Parameter("limit", Whole(1), "Only this many of the newest entries."),
    Parameter("before", Whole(1), "Only entries older than this run_id."),
)
_OUTPUT = (
    RUN,
    Parameter("follow", Flag(), "Keep sending new output until the run ends.", default=False),
    Parameter("tail", Whole(0), "Only this many of the last lines."),
    Parameter("from", Whole(0), "Only what was printed after this many bytes, and before a cut; without `tail`."),
    Parameter("Range", Bytes(), "One range (RFC 9110, 14.2), without `follow`, `tail` and `from`.", place="header"),
)
_GRAPH = (
    Parameter("format", Choice(("json", "dot")), "JSON, or the DOT language of Graphviz.", default="json"),
    Parameter("job", JobName(), "Only the jobs around this job, an id or a unique name."),
    Parameter("depth", Whole(0, 100), "With job: how many edges away from it; 1 by default."),
    Parameter("components", Flag(), "Name the connected component of each job.", default=False),
)
_COMPONENTS = (Parameter("limit", Whole(0, 1000), "At most this many components.", default=100),)
_UPCOMING = (
    Parameter("until", Time(), "Where the period from now ends: in 24 hours by default, 31 days at most."),
    Parameter("limit", Whole(0, 1000), "At most this many jobs.", default=100),
    Parameter("per_job", Whole(0, 100), "At most this many slots of each job.", default=3),
    Parameter("step", Duration(), "Also count the slots of all jobs in each step of this length."),
)
_EVENTS = (
    Parameter("job", JobName(), "Only changes of this job, an id or a unique name, and of its runs."),
    Parameter("run", Whole(1), "Only changes of the run with this id."),
    Parameter("Last-Event-ID", Text(), "The id of the last event received: continue after it.", place="header"),
)

_CHECKED = Parameter("job", JobName(), "Check a change of this job, a merge patch, instead of a new job.")
_OFFSET = {"X-Offset": "How many bytes were printed before the first one of the response; not with a `Range`."}
_LOCATION = {"Location": "The path of the run."}
_ETAG = {"ETag": "A digest of the fields that the job's owner decides, as they are shown."}

# A table is read by its rows.
# fmt: off
ROUTES = (
    Route("GET", "/api/v1/job/", JobLists.search, "listJobs", Role.VIEWER, "List jobs.",
          (*_JOB_FILTERS, *_SUMMARIES), answers={200: (schema.Jobs, schema.Summaries)}, errors=(404, 409)),
    Route("POST", "/api/v1/job/", JobRoutes.create, "createJob", Role.EDITOR, "Create a job.",
          (IDEMPOTENCY_KEY,), body=schema.NewJob, answers={201: schema.Created}, errors=(409,)),
    Route("POST", "/api/v1/job/bulk/", BulkRoutes.carry_out, "changeJobs", Role.OPERATOR,
          "Enable, disable, start, cancel or delete many jobs.",
          (IDEMPOTENCY_KEY,), body=schema.Bulk, answers={200: schema.BulkResult}, errors=(409,)),
    Route("DELETE", "/api/v1/job/all/", JobRoutes.delete_all, "deleteAllJobs", Role.ADMIN, "Delete all jobs.",
          answers={204: None}),
    Route("POST", "/api/v1/job/check/", JobRoutes.check, "checkJob", Role.EDITOR,
          "Check a job, or a change of one, and store nothing.",
          (_CHECKED,), body=(schema.NewJob, schema.JobChange), answers={200: schema.CheckedJob}),
    Route("GET", "/api/v1/job/{id}/", JobRoutes.get, "getJob", Role.VIEWER, "Read a job.",
          (JOB,), answers={200: schema.OneJob}, headers=_ETAG),
    Route("PUT", "/api/v1/job/{id}/", JobRoutes.replace, "replaceJob", Role.EDITOR, "Replace a job.",
          (JOB, IF_MATCH), body=schema.NewJob, answers={200: schema.OneJob}, errors=(412,), headers=_ETAG),
    Route("PATCH", "/api/v1/job/{id}/", JobRoutes.patch, "changeJob", Role.EDITOR, "Change fields of a job.",
          (JOB, IF_MATCH), body=schema.JobChange, answers={200: schema.OneJob}, errors=(412,), headers=_ETAG),
    Route("DELETE", "/api/v1/job/{id}/", JobRoutes.delete, "deleteJob", Role.EDITOR,
          "Delete a job, and its descendants that have no other parent.",
          (JOB, RETURN_DELETED, IF_MATCH), answers={200: schema.Deleted, 204: None}, errors=(412,)),
    Route("GET", "/api/v1/job/{id}/deletion/", JobRoutes.deletion, "getDeletion", Role.VIEWER,
          "Read which jobs a deletion of this job would delete.", (JOB,), answers={200: schema.Deletion}),
    Route("GET", "/api/v1/job/stats/{id}/", JobRoutes.stats, "listStats", Role.VIEWER, "List the results of a job.",
          _STATS_PAGE, answers={200: schema.JobStats}),
    Route("POST", "/api/v1/job/start/{id}/", JobRoutes.start, "startJob", Role.OPERATOR, "Run a job now.",
          (JOB, RETURN_RUN, IDEMPOTENCY_KEY), answers={201: schema.OneRun, 204: None}, headers=_LOCATION),
    Route("POST", "/api/v1/job/disable/{id}/", JobRoutes.disable, "disableJob", Role.OPERATOR, "Disable a job.",
          (JOB,), answers={204: None}),
    Route("POST", "/api/v1/job/enable/{id}/", JobRoutes.enable, "enableJob", Role.OPERATOR, "Enable a job.",
          (JOB,), answers={204: None}),
    Route("GET", "/api/v1/job/{id}/runs/", RunRoutes.of_job, "listRunsOfJob", Role.VIEWER, "List the runs of a job.",
          (JOB, *_RUN_FILTERS, *_TOLD), answers={200: schema.Runs}),
    Route("GET", "/api/v1/run/", RunRoutes.search, "listRuns", Role.VIEWER, "List runs.",
          (_RUNS_OF, *_RUNS_OF_JOBS, *_RUN_FILTERS, *_TOLD), answers={200: schema.Runs}),
    Route("GET", "/api/v1/run/histogram/", RunRoutes.histogram, "getHistogram", Role.VIEWER,
          "Count the runs that ended in each step of a period, by state.",
          _HISTOGRAM, answers={200: schema.Histogram}),
    Route("GET", "/api/v1/run/{id}/chain/", RunRoutes.chain, "getChain", Role.VIEWER,
          "Read what caused a run, and what it caused.", _CHAIN, answers={200: schema.Chain}),
    Route("GET", "/api/v1/run/{id}/", RunRoutes.get, "getRun", Role.VIEWER, "Read a run.",
          (RUN, *_TOLD), answers={200: schema.OneRun}),
    Route("DELETE", "/api/v1/run/{id}/", RunRoutes.delete, "deleteRun", Role.EDITOR, "Delete a run that has ended.",
          (RUN,), answers={204: None}, errors=(409,)),
    Route("GET", "/api/v1/run/{id}/output/", RunRoutes.output, "getOutput", Role.VIEWER, "Read the output of a run.",
          _OUTPUT, answers={200: BYTES, 206: BYTES}, errors=(416,), headers=_OFFSET),
    Route("POST", "/api/v1/run/{id}/cancel/", RunRoutes.cancel, "cancelRun", Role.OPERATOR, "Cancel a run.",
          (RUN,), answers={204: None}, errors=(409,)),
    Route("POST", "/api/v1/run/{id}/retry/", RunRoutes.retry, "retryRun", Role.OPERATOR,
          "Run the job of a run that has ended again, for the same slot.",
          (RUN, IDEMPOTENCY_KEY), answers={201: schema.OneRun}, errors=(409,), headers=_LOCATION),
    Route("POST", "/api/v1/schedule/preview/", SystemRoutes.preview, "previewSchedule", Role.VIEWER,
          "Read what a schedule means, in words and slots.", body=schema.Preview, answers={200: schema.Slots}),
    Route("GET", "/api/v1/graph/", SystemRoutes.graph, "getGraph", Role.VIEWER, "Read which job starts which.",
          _GRAPH, answers={200: (graph_schema.Graph, DOT)}, errors=(404, 409)),
    Route("GET", "/api/v1/graph/components/", SystemRoutes.components, "listComponents", Role.VIEWER,
          "List which jobs are connected with each other.", _COMPONENTS, answers={200: graph_schema.Components}),
    Route("GET", "/api/v1/upcoming/", UpcomingRoutes.upcoming, "listUpcoming", Role.VIEWER,
          "List the jobs that are due next, and count their slots.", _UPCOMING, answers={200: Upcoming}),
    Route("GET", "/api/v1/system/", StatusRoutes.system, "getSystem", Role.VIEWER, "Read how Kala itself stands.",
          answers={200: System}),
    Route("GET", "/api/v1/config/", StatusRoutes.config, "getConfig", Role.ADMIN, "Read the settings in effect.",
          answers={200: Settings}),
    Route("GET", "/health/live", StatusRoutes.live, "getLiveness", Role.ANYONE, "Check that Kala works.",
          answers={200: Health, 503: Health}, any_host=True),
    Route("GET", "/health/ready", StatusRoutes.ready, "getReadiness", Role.ANYONE,
          "Check that Kala runs jobs and accepts changes.", answers={200: Health, 503: Health}, any_host=True),
    Route("GET", "/api/v1/stats/", SystemRoutes.stats, "getStats", Role.VIEWER, "Read totals over all jobs.",
          answers={200: schema.Stats}),
    Route("GET", "/api/v1/summary/", OverviewRoutes.summary, "getSummary", Role.VIEWER,
          "Read what goes on in all jobs.", answers={200: schema.OneOverview}),
    Route("GET", "/api/v1/events/", SystemRoutes.events, "followEvents", Role.VIEWER,
          "Follow changes as server-sent events.", _EVENTS, answers={200: EVENTS}),
    Route("GET", "/api/v1/openapi.json", OpenApiRoutes.get, "getOpenApi", Role.ANYONE, "Read this document.",
          answers={200: dict}),
    *ACCESS_ROUTES,
)
# fmt: on
