"""The field names in a JSON object of a request. A name that is unknown is refused, with the one that was meant.

A field that is ignored goes unnoticed, and a job whose schedule was ignored runs at once.
"""

import difflib
import re
from collections.abc import Collection, Iterable
from typing import Any

from kala.api import fields
from kala.core.errors import Invalid
from kala.core.foreign import presentable
from kala.core.limits import NAMES

# From which similarity on, from 0 to 1, one name counts as a misspelling of another.
_MIN_SIMILARITY = 0.85
_SHOWN = 60

_SCHEDULE = "use schedule, such as 30 2 * * * (cron) or R/2030-01-01T03:00:00Z/P1D"
_ZONE = "use timezone, such as Europe/Berlin"
_JITTER = "use jitter, the longest delay after a slot, such as PT5M"
_PARENTS = "use parent_jobs, the jobs that this job runs after"
_COMMAND = "use command, the line that the shell runs"
_REMOTE = "in a job of type 1, put it in remote_properties"
_FAILURE = "use on_failure_job, the job to run when this one fails"

# Field names of other schedulers, in lower case and without - and _, by what to do here.
_MEANT = {
    _SCHEDULE: "cron crontab cronexpression interval every period frequency when at runat starttime repeat rrule",
    _ZONE: "tz zone location crontz",
    _JITTER: "randomdelay randomizeddelay randomizeddelaysec splay",
    _PARENTS: "depends dependson dependencies deps needs parents parent after upstream",
    "set parent_jobs in each job that runs after this one": "children dependents next downstream",
    'use "disabled": true or false': "enabled active paused suspend suspended",
    "use working_directory, the directory that the command starts in": "cwd workdir workingdir dir directory chdir",
    _FAILURE: "notify notification notifications onfailure onerror failurejob alert alerts email",
    "use retries, the number of times to retry a failed run": "maxretries retry retrycount attempts maxattempts",
    "use env, an object of environment variables": "envvars environment envs variables vars",
    _COMMAND: "cmd script run exec execute commandline args arguments",
    _REMOTE: "url uri method headers body httpmethod endpoint webhook",
    "use timeout, the time that a run may take, such as PT10M": "maxruntime timelimit maxduration executiontimeout",
    "use overlap: wait, skip, allow or replace": "concurrency concurrencypolicy allowoverlap singleton maxinstances",
    "use missed: once, skip or all": "misfire catchup backfill coalesce misfirepolicy",
    "use user, the user that the command runs as": "runas username uid",
    "use memory_max, in bytes": "memory mem memorylimit maxmemory",
    "use tags, a list of words to find the job by": "labels label keywords category categories",
    "use description, a few lines of text": "comment comments note notes summary",
    "use cpu_quota, in percent of one CPU": "cpu cpus cpulimit",
}
_MEANT_BY = {name: hint for hint, names in _MEANT.items() for name in names.split()}


def by_name(
    path: str, given: Any, known: Iterable[str], passed_over: Collection[str] = frozenset()
) -> dict[str, tuple[str, Any]]:
    """Return the values of an object by lower-case name, each with its name as it was given, prefixed with `path`.

    Raise Invalid if it is not an object, if a name is given twice, or if it is neither in `known` nor in `passed_over`.
    """
    if not isinstance(given, dict):
        raise fields.invalid(path or "body", given, "a JSON object")
    fields.check_count(path or "body", given, NAMES)
    known = list(known)
    prefix = f"{path}." if path else ""
    found: dict[str, tuple[str, Any]] = {}
    for name, value in given.items():
        lower = name.lower()
        if lower in found:
            raise Invalid(f"{prefix}{_shown(name)}: also given as {found[lower][0]}; use it once")
        if lower not in known and lower not in passed_over:
            raise Invalid(f"{prefix}{_shown(name)}: unknown field; {_advice(name, known, prefix)}")
        found[lower] = (f"{prefix}{name}", value)
    return found


def _shown(name: str) -> str:
    return presentable(name, _SHOWN)


def _advice(name: str, known: Collection[str], prefix: str) -> str:
    plain = {_plain(field): field for field in known}
    if hint := not prefix and _MEANT_BY.get(_plain(name)):
        return hint
    if near := difflib.get_close_matches(_plain(name[:_SHOWN]), plain, 1, _MIN_SIMILARITY):
        return f"did you mean {prefix}{plain[near[0]]}?"
    return "remove it"


def _plain(name: str) -> str:
    return re.sub(r"[-_ ]", "", name.lower())
