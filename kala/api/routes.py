"""The table of routes, the more specific before the more general."""

from kala.api.jobs import JobRoutes
from kala.api.parameters import (
    JOB,
    RETURN_DELETED,
    RETURN_RUN,
    RUN,
    Choice,
    Choices,
    Flag,
    JobName,
    Parameter,
    Tags,
    Text,
    Time,
    Whole,
)
from kala.api.route import Media, Role, Route
from kala.api.runs import RunRoutes
from kala.api.system import SystemRoutes
from kala.core.run import Cause, State

_JOB_FILTERS = (
    Parameter("limit", Whole(1), "At most this many jobs."),
    Parameter("after", Text(), "Only jobs created after this job, an id or a unique name."),
    Parameter("q", Text(), "Only jobs whose name contains this text, in upper or lower case."),
    Parameter("owner", Text(), "Only jobs of exactly this owner."),
    Parameter("tag", Tags(), "Only jobs that have this tag, or all of these.", default=()),
    Parameter("disabled", Flag(), "Only jobs that are, or are not, disabled."),
    Parameter("done", Flag(), "Only jobs that will, or will not, run again."),
)
_RUN_FILTERS = (
    Parameter("limit", Whole(1, 1000), "At most this many runs.", default=100),
    Parameter("before", Whole(1), "Only runs older than the run with this id."),
    Parameter("state", Choices(State), "Only runs in one of these states.", default=frozenset()),
    Parameter("cause", Choice(Cause), "Only runs with this cause."),
    Parameter("since", Time(), "Only runs not before this time."),
    Parameter("until", Time(), "Only runs not after this time."),
)

ROUTES = (
    Route("GET", "/api/v1/job/", JobRoutes.search, "listJobs", Role.VIEWER, "List jobs.", _JOB_FILTERS, errors=(404,)),
    Route("POST", "/api/v1/job/", JobRoutes.create, "createJob", Role.EDITOR, "Create a job.", body=dict),
    Route("DELETE", "/api/v1/job/all/", JobRoutes.delete_all, "deleteAllJobs", Role.ADMIN, "Delete all jobs."),
    Route("GET", "/api/v1/job/{id}/", JobRoutes.get, "getJob", Role.VIEWER, "Read a job.", (JOB,)),
    Route("PUT", "/api/v1/job/{id}/", JobRoutes.replace, "replaceJob", Role.EDITOR, "Replace a job.", (JOB,), dict),
    Route("PATCH", "/api/v1/job/{id}/", JobRoutes.patch, "changeJob", Role.EDITOR, "Change a job.", (JOB,), dict),
    Route(
        "DELETE",
        "/api/v1/job/{id}/",
        JobRoutes.delete,
        "deleteJob",
        Role.EDITOR,
        "Delete a job and its descendants that have no other parent.",
        (JOB, RETURN_DELETED),
    ),
    Route(
        "GET",
        "/api/v1/job/stats/{id}/",
        JobRoutes.stats,
        "listStats",
        Role.VIEWER,
        "List the results of a job.",
        (
            JOB,
            Parameter("limit", Whole(1), "Only this many of the newest entries."),
            Parameter("before", Whole(1), "Only entries older than this run_id."),
        ),
    ),
    Route(
        "POST",
        "/api/v1/job/start/{id}/",
        JobRoutes.start,
        "startJob",
        Role.OPERATOR,
        "Run a job now.",
        (JOB, RETURN_RUN),
    ),
    Route(
        "POST", "/api/v1/job/disable/{id}/", JobRoutes.disable, "disableJob", Role.OPERATOR, "Disable a job.", (JOB,)
    ),
    Route("POST", "/api/v1/job/enable/{id}/", JobRoutes.enable, "enableJob", Role.OPERATOR, "Enable a job.", (JOB,)),
    Route(
        "GET",
        "/api/v1/job/{id}/runs/",
        RunRoutes.of_job,
        "listRunsOfJob",
        Role.VIEWER,
        "List the runs of a job.",
        (JOB, *_RUN_FILTERS),
    ),
    Route(
        "GET",
        "/api/v1/run/",
        RunRoutes.search,
        "listRuns",
        Role.VIEWER,
        "List runs.",
        (
            Parameter("job", JobName(), "Only runs of this job, an id or a unique name; a deleted job, by its id."),
            *_RUN_FILTERS,
        ),
    ),
    Route("GET", "/api/v1/run/{id}/", RunRoutes.get, "getRun", Role.VIEWER, "Read a run.", (RUN,)),
    Route("DELETE", "/api/v1/run/{id}/", RunRoutes.delete, "deleteRun", Role.EDITOR, "Delete a run.", (RUN,)),
    Route(
        "GET",
        "/api/v1/run/{id}/output/",
        RunRoutes.output,
        "getOutput",
        Role.VIEWER,
        "Read the output of a run.",
        (
            RUN,
            Parameter("follow", Flag(), "Keep sending new output until the run ends.", default=False),
            Parameter("tail", Whole(0), "Only this many of the last lines."),
        ),
        answers={200: Media("application/octet-stream")},
    ),
    Route("POST", "/api/v1/run/{id}/cancel/", RunRoutes.cancel, "cancelRun", Role.OPERATOR, "Cancel a run.", (RUN,)),
    Route(
        "POST",
        "/api/v1/schedule/preview/",
        SystemRoutes.preview,
        "previewSchedule",
        Role.VIEWER,
        "List the next slots of a schedule.",
        body=dict,
    ),
    Route(
        "GET",
        "/api/v1/graph/",
        SystemRoutes.graph,
        "getGraph",
        Role.VIEWER,
        "Read which job starts which.",
        (Parameter("format", Choice(("json", "dot")), "JSON, or the DOT language of Graphviz.", default="json"),),
    ),
    Route("GET", "/api/v1/stats/", SystemRoutes.stats, "getStats", Role.VIEWER, "Read totals over all jobs."),
    Route(
        "GET",
        "/api/v1/events/",
        SystemRoutes.events,
        "followEvents",
        Role.VIEWER,
        "Follow changes as server-sent events.",
        answers={200: Media("text/event-stream")},
    ),
)
