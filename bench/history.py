"""What a run and a page of history cost the engine and the store, by the length of the history. Starts no process."""

import statistics
import tempfile
import time
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kala.core.caller import KALA
from kala.core.job import Command, Job, Spec
from kala.core.run import Outcome, Run, RunEnded, State
from kala.engine.engine import Engine
from kala.engine.feed import Feed
from kala.engine.inbox import Asked
from kala.engine.messages import CreateJob
from kala.store.run_search import RunFilter
from kala.store.store import Store

JOBS = 1000
ROUNDS = 7
INTERVAL = timedelta(minutes=1)
FILL = """
    INSERT INTO run (job_id, job_name, cause, slot, attempt, state, waiting, pool, priority, queued_at, due_at,
        started_at, ended_at, duration, exit_code)
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :runs)
    SELECT 'job-' || (i % :jobs), 'backup', 'schedule', i, 0, iif(i % :failing, 'succeeded', 'failed'), '', '', 0,
        i * 1000000, i * 1000000, i * 1000000, i * 1000000 + 1000, 1000, 0 FROM n
"""


class Workers:
    """An executor whose runs end when the benchmark says so, so that only Kala's own work is measured."""

    workers = JOBS

    def __init__(self) -> None:
        self.given: list[Run] = []

    def submit(self, run: Run, _: Job) -> None:
        self.given.append(run)

    def forget(self, _: int) -> None:
        """Do nothing: no run is kept."""


def measure(runs: int) -> dict[str, float]:
    """Return the medians, in microseconds."""
    with tempfile.TemporaryDirectory(prefix="kala-bench-") as folder:
        store = Store(Path(folder))
        workers = Workers()
        engine = Engine(store, workers, Feed(), lambda: UTC)  # type: ignore[arg-type]  # has what the engine calls
        now = datetime.now(UTC)
        fill(store, runs)
        engine.recover(now)
        due = now + timedelta(seconds=10)
        create_jobs(engine, now, due)
        found = {"a run, from its slot to its end": statistics.median(cost_of_runs(engine, workers, due, 50))}
        due += ROUNDS * INTERVAL
        found["a run, 8 of them ending in a step"] = statistics.median(cost_of_runs(engine, workers, due, 8))
        found |= {name: cost_of_page(store, wanted) for name, wanted in pages().items()}
        store.release_writer()
        store.close()
    return found


def fill(store: Store, runs: int) -> None:
    """Write history as Kala would: 200 runs of each job, 100 failed ones in total, so that each page is full."""
    runs = max(runs, 200)
    with store.transaction():
        store._writing.execute_sql(FILL, {"runs": runs, "jobs": runs // 200, "failing": runs // 100})


def create_jobs(engine: Engine, now: datetime, due: datetime) -> None:
    spec = Spec(name="backup", action=Command("true"), schedule=f"R/{due.isoformat()}/PT1M")
    engine.step([], [Asked(CreateJob(spec), Future(), KALA) for _ in range(JOBS)], now)


def cost_of_runs(engine: Engine, workers: Workers, due: datetime, ends: int) -> list[float]:
    """Return what a run costs in each round, with at most `ends` ends in a step."""
    costs = []
    for number in range(ROUNDS):
        at = due + number * INTERVAL
        clock = time.perf_counter()
        engine.step([], [], at)
        engine.step([], [], at)
        ended, workers.given = workers.given, []
        for start in range(0, len(ended), ends):
            engine.step([RunEnded(run, outcome(at)) for run in ended[start : start + ends]], [], at)
        costs.append((time.perf_counter() - clock) / len(ended) * 1e6)
    return costs


def outcome(at: datetime) -> Outcome:
    return Outcome(state=State.SUCCEEDED, ended_at=at, duration=1_000_000, exit_code=0)


def pages() -> dict[str, RunFilter]:
    return {
        "the newest 100 runs": RunFilter(limit=100),
        "the newest 100 runs of a job": RunFilter(limit=100, job_id="job-0"),
        "100 failed runs": RunFilter(limit=100, states=frozenset({State.FAILED})),
        "100 runs until a time": RunFilter(limit=100, until=datetime.fromtimestamp(150, UTC)),
    }


def cost_of_page(store: Store, wanted: RunFilter) -> float:
    costs = []
    for _ in range(200):
        clock = time.perf_counter()
        with store.reading(()) as session:
            session.history.search(wanted)
        costs.append((time.perf_counter() - clock) * 1e6)
    return statistics.median(costs)
