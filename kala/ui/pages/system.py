"""How Kala itself stands, and what needs attention."""

from collections.abc import Iterator
from datetime import timedelta

import msgspec

from kala.api.http import Request, Response
from kala.api.system_schema import Retention, System
from kala.core import duration
from kala.core.figures import length, size
from kala.core.limits import QUEUED
from kala.core.phrases import listed
from kala.core.words import describe_duration
from kala.ui.site import Site

# Parts of a limit at which a page warns: before it is reached, and in time to do something about it.
_NEAR = 0.8
_LITTLE_FREE, _LITTLE_FREE_BYTES = 0.1, 10**9
_LATE_SECONDS, _SLOW_SECONDS = 5.0, 1.0
# Those that last six days only are renewed three days before they expire, and others earlier.
_SOON_EXPIRED = timedelta(days=2)
_WAITING = {
    "worker": "a worker",
    "pool": "a pool",
    "job": "an earlier run",
    "retry": "the time of a retry",
    "disabled": "an enabled job",
}


class Gauge(msgspec.Struct, frozen=True):
    """A value and its limit."""

    name: str
    value: int
    limit: int
    text: str

    @property
    def is_near(self) -> bool:
        return self.value >= _NEAR * self.limit

    @property
    def high(self) -> float:
        """Where the value begins to be near its limit."""
        return _NEAR * self.limit


class SystemPage:
    """`/system`."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def show(self, _: Request) -> Response:
        system = self._site.backend.read(System, "getSystem")
        return self._site.page(
            "system.html",
            system=system,
            gauges=_gauges(system),
            warnings=list(warnings(system)),
            waiting=[(_WAITING[reason], number, reason) for reason, number in system.queue.items()],
            waiting_count=sum(system.queue.values()),
            kept=_kept(system.retention),
        )


def _gauges(system: System) -> dict[str, Gauge]:
    workers, storage, keep = system.workers, system.storage, system.retention.keep_bytes
    queued, used = sum(system.queue.values()), storage.disk - storage.free
    gauges = [
        Gauge("Workers", workers.busy, workers.all, f"{workers.busy:,} of {workers.all:,} busy"),
        Gauge("Queue", queued, QUEUED, f"{queued:,} of {QUEUED:,} runs at most"),
        Gauge("Disk", used, storage.disk, f"{size(storage.free)} free of {size(storage.disk)}"),
        *([Gauge("Outputs", storage.outputs, keep, f"{size(storage.outputs)} of {size(keep)}")] if keep else []),
        *(
            Gauge(name, usage.open, usage.limit, f"{usage.open:,} of {usage.limit:,} open")
            for name, usage in (("Connections", system.connections), ("Streams", system.streams))
        ),
    ]
    return {gauge.name: gauge for gauge in gauges}


def warnings(system: System) -> Iterator[str]:
    """Yield what needs attention, each in a sentence."""
    gauges, storage = _gauges(system), system.storage
    if system.last_outage and system.last_outage.until is None:
        yield f"{system.last_outage.what}."
    if storage.free < max(_LITTLE_FREE_BYTES, _LITTLE_FREE * storage.disk):
        yield f"Only {size(storage.free)} are free on the disk; Kala stops starting runs when it cannot write."
    if system.workers.busy >= system.workers.all:
        waiting = system.queue.get("worker", 0)
        yield f"All {system.workers.all:,} workers are busy, and {waiting:,} {_runs_wait(waiting)} for one."
    if (outputs := gauges.get("Outputs")) and outputs.is_near:
        yield f"Outputs take {outputs.text}; beyond that, the oldest runs are deleted."
    if gauges["Queue"].is_near:
        yield f"The queue has {gauges['Queue'].text}; when it is full, new runs are skipped."
    for name in ("Connections", "Streams"):
        if gauges[name].is_near:
            yield f"{name} are near their limit: {gauges[name].text}."
    yield from _about_certificate(system)
    yield from _about_time(system)
    for name, pool in system.pools.items():
        if pool.size is None:
            yield f"Pool {name} is not in the settings, so it has no limit; add it, or change its jobs."


def _about_certificate(system: System) -> Iterator[str]:
    if expires_at := system.certificate_expires_at:
        left = expires_at - (system.started_at + timedelta(seconds=system.uptime))
        if left <= timedelta(0):
            yield "The certificate has expired, so browsers and other clients refuse it; renew it."
        elif left < _SOON_EXPIRED:
            yield f"The certificate expires in {length(left.total_seconds())}; renew it."


def _about_time(system: System) -> Iterator[str]:
    late, step = system.lag.late_by or 0, system.lag.longest_step or 0
    if late > _LATE_SECONDS:
        yield f"The last slots were claimed {length(late)} late; the machine may be overloaded."
    if step > _SLOW_SECONDS:
        yield f"A step of the engine took {length(step)}; the disk may be slow."


def _runs_wait(count: int) -> str:
    return "run waits" if count == 1 else "runs wait"


def _kept(retention: Retention) -> str:
    """Return what is kept, in a sentence."""
    limits = []
    if retention.keep_for:
        limits.append(f"for {describe_duration(duration.parse(retention.keep_for, 'keep_for'))}")
    if retention.keep_runs:
        limits.append(f"up to {retention.keep_runs:,} of each job")
    if retention.keep_bytes:
        limits.append(f"as long as all outputs fit into {size(retention.keep_bytes)}")
    return f"Runs are kept {listed(limits)}." if limits else "Runs are kept forever."
