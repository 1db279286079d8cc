"""How Kala stands: what it is, how busy it is, what failed, its settings, and whether it is alive and ready."""

import platform
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo

import kala
from kala.api import system_schema as schema
from kala.api.http import Request, Response, json
from kala.api.kept import Kept
from kala.config import Loaded
from kala.config.shown import described
from kala.core import duration
from kala.core.errors import Busy
from kala.core.run import Waiting
from kala.engine.engine import Engine
from kala.engine.status import EngineStatus, Trouble
from kala.runner.cgroup import Groups
from kala.server.connections import Usage
from kala.store.store import SQLITE_VERSION, Session, Store

# How long the engine may take for a step before Kala counts as dead. It makes one at least every 30 s.
_ALIVE_SECONDS = 60.0


class StatusRoutes:
    """The handlers of `/api/v1/system/`, `/api/v1/config/`, `/health/live` and `/health/ready`."""

    def __init__(
        self,
        engine: Engine,
        store: Store,
        settings: Callable[[], Loaded],
        *,
        zone: Callable[[], tzinfo],
        tzdata: Callable[[], str | None],
        groups: Groups,
        usage: Callable[[], tuple[Usage, Usage]],
        certificate_expires_at: Callable[[], datetime | None],
    ) -> None:
        """`usage` returns how many connections and streams are open."""
        self._engine = engine
        self._store = store
        self._settings = settings
        self._zone = zone
        self._tzdata = tzdata
        self._run_limits = schema.RunLimits(not groups.unavailable, groups.unavailable)
        self._usage = usage
        self._certificate_expires_at = certificate_expires_at
        # 100,000 queued runs, the most there can be, take 8 ms to count.
        self._queued = Kept[tuple[dict[Waiting, int], dict[str, int]]]()
        self._started_at = datetime.now(UTC)
        self._started = time.monotonic()
        self._commit = kala.commit()

    def system(self, request: Request) -> Response:
        """Tell how Kala stands. Only the queue and the oldest run are of the jobs that the caller sees."""
        owners = request.caller.owners
        status, settings = self._engine.status, self._settings().config
        with self._store.reading(owners) as session:
            queue, waiting = self._queued.get(owners, session.queued.counts)
            outputs = session.retention.output_bytes()
            # No index finds the first of the runs of some jobs.
            oldest = None if owners else _oldest_run(session, settings.keep_for)
        database, free, disk = self._store.disk_usage()
        connections, streams = self._usage()
        return json(
            schema.System(
                versions=schema.Versions(
                    kala.__version__, self._commit, platform.python_version(), SQLITE_VERSION, self._tzdata()
                ),
                started_at=self._started_at,
                uptime=round(time.monotonic() - self._started, 3),
                is_draining=status.is_draining,
                zone=str(self._zone()),
                workers=schema.Workers(status.running, settings.workers),
                pools=_pools(settings.pools, status.in_pools, waiting),
                queue={reason.label: number for reason, number in queue.items()},
                storage=schema.Storage(database, outputs, free, disk),
                retention=schema.Retention(settings.keep_for, settings.keep_runs, settings.keep_bytes, oldest),
                connections=connections,
                streams=streams,
                run_limits=self._run_limits,
                certificate_expires_at=self._certificate_expires_at(),
                last_outage=_last_outage(status),
                lag=_lag(status),
            )
        )

    def config(self, _: Request) -> Response:
        return json(schema.Settings(described(self._settings())))

    def live(self, _: Request) -> Response:
        """Tell whether the engine works. Reads no database: a restart does not help against a full disk."""
        return _health(self._dead())

    def ready(self, _: Request) -> Response:
        """Tell whether jobs are run and can be changed.

        Anyone may ask, so the sentences are fixed: those in the log and in /system/ can contain paths.
        """
        status = self._engine.status
        reasons = self._dead()
        if _lasts(status.storage):
            reasons.append("the database cannot be written")
        if _lasts(status.starting):
            reasons.append("commands do not start")
        if status.is_draining:
            reasons.append("Kala is stopping")
        try:
            with self._store.reading(()) as session:
                session.retention.output_bytes()
        except Busy:
            reasons.append("the database cannot be read")
        return _health(reasons)

    def _dead(self) -> list[str]:
        """Return why Kala is to be restarted, if it is."""
        stepped_at = self._engine.status.stepped_at
        if stepped_at is None:
            return ["the engine has not started"]
        seconds = time.monotonic() - stepped_at
        return [f"the engine has been stuck for {seconds:.0f} s"] if seconds > _ALIVE_SECONDS else []


def _health(reasons: list[str]) -> Response:
    return json(schema.Health("fail" if reasons else "pass", reasons), 503 if reasons else 200)


def _lasts(trouble: Trouble | None) -> bool:
    return trouble is not None and trouble.until is None


def _last_outage(status: EngineStatus) -> Trouble | None:
    """Return the outage that lasts or, if none does, the one that began last."""
    outages = [trouble for trouble in (status.storage, status.starting) if trouble]
    return max(outages, key=lambda trouble: (trouble.until is None, trouble.since), default=None)


def _lag(status: EngineStatus) -> schema.Lag:
    steps = status.step_seconds
    last, longest = (round(steps[-1], 6), round(max(steps), 6)) if steps else (None, None)
    return schema.Lag(status.last_claim_at, status.last_claim_lag, last, longest)


def _pools(sizes: Mapping[str, int], running: Mapping[str, int], waiting: Mapping[str, int]) -> dict[str, schema.Pool]:
    names = sorted({*sizes, *running, *waiting})
    return {name: schema.Pool(sizes.get(name), running.get(name, 0), waiting.get(name, 0)) for name in names}


def _oldest_run(session: Session, keep_for: str) -> schema.OldestRun | None:
    found = session.retention.first_ended()
    if not found:
        return None
    run_id, job_id, ended_at = found
    job = session.jobs.get(job_id)
    length = (job.spec.keep_for if job else "") or keep_for
    expires_at = duration.parse(length, "keep_for").after_clamped(ended_at) if length else None
    return schema.OldestRun(run_id, ended_at, expires_at)
