"""Each route of the API has a command, or a reason why it has none."""

import inspect
from importlib import import_module

from kala.api.routes import ROUTES
from kala.cli.table import COMMANDS

BY_COMMAND = {
    "listJobs": "jobs",
    "createJob": "create",
    "changeJobs": "cancel",
    "checkJob": "create",
    "getJob": "show",
    "replaceJob": "edit",
    "changeJob": "set",
    "deleteJob": "delete",
    "getDeletion": "delete",
    "startJob": "start",
    "disableJob": "disable",
    "enableJob": "enable",
    "listRuns": "runs",
    "getChain": "why",
    "getRun": "why",
    "getOutput": "logs",
    "cancelRun": "cancel",
    "retryRun": "retry",
    "previewSchedule": "next",
    "getGraph": "graph",
    "listUpcoming": "next",
    "getSystem": "status",
    "getReadiness": "status",
    "getSummary": "status",
    "followEvents": "events",
    "getOpenApi": "openapi",
    "getMe": "whoami",
    "changePassword": "user",
    "logIn": "login",
    "logOut": "logout",
    "acceptInvitation": "login",
    "listUsers": "user",
    "createUser": "user",
    "getUser": "user",
    "changeUser": "user",
    "deleteUser": "user",
    "inviteUser": "user",
    "logOutUser": "user",
    "listTokens": "token",
    "createToken": "token",
    "deleteToken": "token",
    "listAudit": "audit",
}
WITHOUT = {
    "deleteAllJobs": "nobody should delete everything by a slip; kala api DELETE job/all/",
    "listStats": "the format of Go's Kala; kala runs has more",
    "listRunsOfJob": "kala runs JOB asks for the same with listRuns",
    "getHistogram": "numbers for a chart",
    "listComponents": "a summary of the graph for a page; kala graph has all of it",
    "deleteRun": "retention deletes runs; kala api DELETE run/ID/",
    "getConfig": "kala config show reads the settings",
    "getLiveness": "for supervisors; status asks for readiness, which includes it",
    "getStats": "the format of Go's Kala; status has more",
}


def test_each_route_has_a_command_or_a_reason():
    assert {route.operation_id for route in ROUTES} == BY_COMMAND.keys() | WITHOUT.keys()
    assert not BY_COMMAND.keys() & WITHOUT.keys()


def test_each_of_these_commands_exists():
    assert set(BY_COMMAND.values()) <= COMMANDS.keys()


def test_each_command_of_the_table_is_there():
    for name, command in COMMANDS.items():
        module, _, function = command.target.partition(":")
        found = getattr(import_module(f"kala.cli.{module}"), function)
        assert inspect.isfunction(found.callback), name
