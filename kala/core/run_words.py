"""Why a run exists, what it waits for and how it ended, as sentences for people. Times are said in a zone's clock."""

from datetime import datetime, tzinfo

from kala.core.phrases import counted, day_of, listed
from kala.core.run import Cause, Outcome, Run, State, Waiting

_ENDS = {
    State.SUCCEEDED: "Succeeded",
    State.FAILED: "Failed",
    State.TIMED_OUT: "Timed out",
    State.CANCELLED: "Cancelled",
    State.LOST: "Lost",
    State.SKIPPED: "Skipped",
}
_SECOND = 1_000_000_000


def describe_cause(run: Run, zone: tzinfo) -> str:
    """Return why a run exists."""
    led_by = "" if run.cause_run is None else f"run {run.cause_run} of "
    match run.cause:
        case Cause.SCHEDULE:
            return f"By its schedule, due on {describe_instant(run.due_at, zone)}"
        case Cause.MANUAL:
            return f"Started by hand on {describe_instant(run.due_at, zone)}"
        case Cause.PARENT:
            return f"Because {led_by}a parent succeeded"
        case Cause.FAILURE:
            return f"Because {led_by}another job failed"
        case Cause.RETRY:
            return f"Retry {run.attempt}{'' if run.cause_run is None else f', because run {run.cause_run} failed'}"
        case Cause.CREATION:
            return "Because the job was created without a schedule"


def describe_waiting(run: Run, zone: tzinfo) -> str:
    """Return what a queued run waits for before it starts."""
    match run.waiting:
        case Waiting.WORKER:
            return "Waits for a free worker"
        case Waiting.JOB:
            return "Waits for the end of an earlier run of its job"
        case Waiting.POOL:
            return f"Waits for room in the pool {run.pool!r}"
        case Waiting.RETRY:
            return f"Waits until {describe_instant(run.not_before, zone)}" if run.not_before else "Waits to be retried"
        case Waiting.ENABLING:
            return "Waits for its job to be enabled"


def describe_outcome(outcome: Outcome) -> str:
    """Return how a run ended, and why where its message says so."""
    word = _ENDS[outcome.state]
    says_so = outcome.message.startswith(word.lower())
    why = outcome.message[len(word) :] if says_so else f": {outcome.message}" if outcome.message else ""
    # A run that never started took no time, and how long a lost one took nobody knows.
    if outcome.state in (State.SKIPPED, State.LOST) or not outcome.duration:
        return f"{word}{why}"
    why = why.lstrip(": ")
    return f"{word} after {describe_length(outcome.duration)}{f': {why}' if why else ''}"


def describe_instant(instant: datetime, zone: tzinfo) -> str:
    """Return a date and time as the clock of a zone shows it, such as "1 January 2030 at 08:00:00 (Europe/Berlin)"."""
    shown = instant.astimezone(zone)
    # Where the clock is put back, a time comes twice: only the offset tells which it is.
    offset = f" {_offset(shown)}" if shown.utcoffset() != shown.replace(fold=not shown.fold).utcoffset() else ""
    return f"{day_of(shown)} at {shown:%H:%M:%S}{offset} ({zone})"


def _offset(shown: datetime) -> str:
    # strftime knows %:z since Python 3.12 only.
    return f"{shown:%z}"[:3] + ":" + f"{shown:%z}"[3:]


def describe_length(nanoseconds: int) -> str:
    """Return how long something took, to about three digits: "35 ms", "4.39 seconds", "2 hours and 5 minutes"."""
    if nanoseconds < _SECOND:
        return f"{max(1, round(nanoseconds / 1_000_000))} ms"
    if nanoseconds < 60 * _SECOND:
        return counted(f"{nanoseconds / _SECOND:.3g}", "second")
    minutes, seconds = divmod(round(nanoseconds / _SECOND), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "day"), (hours, "hour"), (minutes, "minute"), (seconds, "second")]
    first = next(at for at, (number, _) in enumerate(parts) if number)
    return listed([counted(str(number), unit) for number, unit in parts[first : first + 2] if number])
