"""The table of commands, from which `kala --help` and the man page are made. No command is imported for the help."""

from typing import NamedTuple


class Command(NamedTuple):
    """A command: its module and function, and what it does in one sentence."""

    target: str
    summary: str


GROUPS: dict[str, dict[str, Command]] = {
    "Look": {
        "status": Command("status:status", "Show whether Kala is well, and what goes on."),
        "jobs": Command("jobs:jobs", "List jobs."),
        "show": Command("show:show", "Show a job."),
        "runs": Command("runs:runs", "List runs."),
        "next": Command("upcoming:upcoming", "Show which jobs are due next, or what a schedule means."),
        "logs": Command("logs:logs", "Print the output of a run."),
        "why": Command("why:why", "Explain why a run failed, or did not run."),
        "graph": Command("graph:graph", "Show which job starts which."),
        "events": Command("events:events", "Follow changes as they happen."),
    },
    "Change": {
        "create": Command("create:create", "Create a job."),
        "set": Command("change:change", "Change fields of a job."),
        "edit": Command("edit:edit", "Edit a job in your editor."),
        "enable": Command("actions:enable", "Enable jobs."),
        "disable": Command("actions:disable", "Disable jobs, so that nothing starts them."),
        "delete": Command("actions:delete", "Delete jobs."),
        "start": Command("start:start", "Run a job now."),
        "cancel": Command("actions:cancel", "Cancel a run, or all runs of a job."),
        "retry": Command("start:retry", "Run the job of a run again, for the same slot."),
    },
    "Access": {
        "login": Command("login:login", "Log in to a server, and remember the login."),
        "logout": Command("login:logout", "Log out."),
        "whoami": Command("login:whoami", "Show who you are for Kala, and what you may do."),
        "user": Command("user:user", "Manage the users who can log in."),
        "token": Command("token:token", "Manage the tokens of programs."),
        "audit": Command("audit:audit", "Show who asked for which change."),
    },
    "Server": {
        "serve": Command("serve:serve", "Run the service."),
        "run": Command("run:run", "Run a command as a job would, to try it."),
        "reload": Command("reload:reload", "Reload the settings of a running Kala."),
        "config": Command("config:config", "Inspect Kala's settings."),
        "backup": Command("backup:backup", "Back up all jobs, runs and output."),
        "restore": Command("backup:restore", "Restore a backup."),
        "version": Command("version:version", "Show the versions of Kala and Python."),
    },
    "Other": {
        "api": Command("request:api", "Make any request to the API."),
        "openapi": Command("openapi:openapi", "Print the OpenAPI document of the API."),
        "completion": Command("completion:completion", "Print a script that completes commands in your shell."),
    },
}

COMMANDS = {name: command for group in GROUPS.values() for name, command in group.items()}
