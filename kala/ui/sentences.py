"""Sentences about runs as pages show them: the runs, the job and the times in them become links and `<time>`s."""

import re
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple

from kala.api import schema
from kala.core.caller import Role
from kala.core.run import State

# How `explain` begins the sentence about a run that has ended.
_BEGINNING = re.compile("^(?:succeeded|failed|timed out|was cancelled|is lost|never started)(?:: |; |$)")
_RUN = r"\brun (?P<run>\d{1,18})\b"
_TIME = r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d))"
ENDS = {
    State.SUCCEEDED: "succeeded",
    State.FAILED: "failed",
    State.TIMED_OUT: "timed out",
    State.CANCELLED: "was cancelled",
    State.LOST: "is lost",
    State.SKIPPED: "was skipped",
}

ROLES = {
    Role.VIEWER: "sees jobs, runs and their output, but not their secrets, and changes nothing",
    Role.OPERATOR: "sees what a viewer sees; runs, cancels, retries, enables and disables jobs",
    Role.EDITOR: "does what an operator does; creates, changes and deletes jobs, and so can run any command",
    Role.ADMIN: "does what an editor does; manages users, tokens and settings, and reads the audit log",
}
# The tokens of a User-Agent, each before those that others send as well.
_BROWSERS = {"Edg": "Edge", "Firefox": "Firefox", "Chrome": "Chrome", "Version": "Safari", "curl": "curl"}
_SYSTEMS = {
    "Android": "Android",
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Windows": "Windows",
    "Mac OS": "macOS",
    "Linux": "Linux",
}
_WHO = {"local": "This machine", "anyone": "Anyone", "kala": "Kala", "": "Nobody"}


class Piece(NamedTuple):
    """A part of a sentence: plain text, a link to a page (the parts of its path, and its query), or an instant."""

    text: str
    link: tuple[object, ...] = ()
    query: Mapping[str, str] = MappingProxyType({})
    instant: datetime | None = None


def why(run: schema.Run) -> list[Piece]:
    """Return the sentence that explains a run, without the run and its end, which the page shows beside it."""
    sentence = run.explain if isinstance(run.explain, str) else ""
    sentence = _BEGINNING.sub("", sentence.removeprefix(f"run {run.id} "), 1)
    return _pieces(f"{sentence[:1].upper()}{sentence[1:]}.", run) if sentence else []


def _pieces(sentence: str, run: schema.Run) -> list[Piece]:
    job = f"job {run.job_id} ({run.job_name})"
    named = [_RUN, _TIME, f"(?P<job>{re.escape(job)})"]
    if run.pool:
        named.append(rf"\bpool (?P<pool>{re.escape(run.pool)})(?!\w)")
    pieces, end = [], 0
    for match in re.finditer("|".join(named), sentence):
        pieces.append(Piece(sentence[end : match.start()]))
        pieces.append(_piece(match, run))
        end = match.end()
    pieces.append(Piece(sentence[end:]))
    return [piece for piece in pieces if piece.text]


def _piece(match: re.Match[str], run: schema.Run) -> Piece:
    match match.lastgroup:
        case "run":
            return Piece(match[0], ("runs", match["run"]))
        case "job":
            return Piece(f"job {run.job_name}", ("jobs", run.job_id))
        case "pool":
            return Piece(match[0], ("runs",), {"pool": run.pool, "state": f"{State.QUEUED},{State.RUNNING}"})
        case _:
            return _time(match[0])


def _time(text: str) -> Piece:
    try:
        return Piece(text, instant=datetime.fromisoformat(text))
    except ValueError:  # a message can contain what only looks like a time
        return Piece(text)


def announcement(run: schema.Run) -> str:
    """Return what readers of the screen hear when a run ends, such as "Run 12 failed, exit status 2"."""
    if run.state not in ENDS:
        return ""
    how = "" if run.state is State.SUCCEEDED else run.message
    return f"Run {run.id} {ENDS[run.state]}" + (f", {how}" if how else "")


CAUSES = {
    "schedule": "due by its schedule",
    "manual": "started by hand",
    "parent": "after the success of",
    "failure": "after the failure of",
    "retry": "retry of",
    "creation": "started at its creation",
}


def cause(run: schema.Run) -> str:
    """Return why a run exists, in words that the run that caused it follows, if there is one."""
    return "retried by request:" if run.cause == "manual" and run.cause_run_id else CAUSES[run.cause]


def who(actor: str) -> str:
    """Return the short name of a caller, such as `ann` for `user:ann`."""
    return _WHO.get(actor) or actor.partition(":")[2]


def program(agent: str) -> str:
    """Return what a User-Agent names, such as `Firefox 125 on Linux`; itself if it names nothing known."""
    found = [(name, match[1]) for token, name in _BROWSERS.items() if (match := re.search(rf"{token}/(\d+)", agent))]
    systems = [name for token, name in _SYSTEMS.items() if token in agent]
    if not found:
        return agent or "unknown"
    return " ".join(found[0]) + (f" on {systems[0]}" if systems else "")
