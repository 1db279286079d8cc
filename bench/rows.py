"""What is measured. Each row runs on a server without jobs, and yields named figures."""

import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from msgspec.structs import replace

from bench import cron, history, load, machine
from bench.load import FAR, FAR_JOB, percentile
from bench.subject import Own, Server, Started, Subject, ask
from kala.core import policy
from kala.core.job import Command, Spec
from kala.store.store import Store
from kala.zone import zone_of


class Scale(NamedTuple):
    """How much of everything."""

    seconds: float
    jobs: tuple[int, ...]
    rates: tuple[int, ...]
    rate_seconds: float
    burst: int
    history: tuple[int, ...]
    stored: tuple[int, ...]
    stored_cron: int


FULL = Scale(
    seconds=4,
    jobs=(100, 10_000, 100_000),
    rates=(10, 200, 1000),
    rate_seconds=10,
    burst=10_000,
    history=(0, 10_000, 1_000_000),
    stored=(0, 10_000, 100_000, 1_000_000),
    stored_cron=100_000,
)
QUICK = Scale(
    seconds=1,
    jobs=(100, 2_000),
    rates=(10, 200),
    rate_seconds=3,
    burst=2_000,
    history=(0, 10_000),
    stored=(0, 10_000),
    stored_cron=10_000,
)


class Figure(NamedTuple):
    """One result. `column` is set if it is not the subject's; `sample` has all values from which it was computed."""

    name: str
    value: float
    unit: str
    column: str = ""
    sample: tuple[float, ...] = ()


Row = Callable[[Subject, Scale], Iterator[Figure]]


def creates(subject: Subject, scale: Scale) -> Iterator[Figure]:
    for clients in (1, 16, 64):
        with subject.empty() as server:
            rate = load.wrk(server, "/job/", clients, scale.seconds, method="POST", body=FAR_JOB)
            yield Figure(f"durable creates, {clients} client{'s' * (clients > 1)}", rate.per_second, "/s")


def reads(subject: Subject, scale: Scale) -> Iterator[Figure]:
    for count in scale.jobs:
        with with_jobs(subject, count - 1) as server:
            job = server.ask("POST", "/job/", FAR_JOB)["id"]
            for name, path in (("list", "/job/"), ("get", f"/job/{job}/"), ("stats", "/stats/")):
                before = server.cpu_seconds()
                rate = load.wrk(server, path, 1, scale.seconds)
                yield Figure(f"{name} with {count:,} jobs", rate.p50, "ms")
                if server.pid:
                    spent = (server.cpu_seconds() - before) / rate.requests
                    yield Figure(f"CPU time of {name} with {count:,} jobs", spent * 1e6, "us")


def lists(subject: Subject, scale: Scale) -> Iterator[Figure]:
    """A list of all jobs while some of them change, and the pages of this Kala that people look at."""
    count = scale.jobs[1]
    with with_jobs(subject, count) as server:
        with changing(server, 100, scale.seconds + 1):
            rate = load.wrk(server, "/job/", 1, scale.seconds)
        yield Figure(f"list with {count:,} jobs, 100 changes/s", rate.p50, "ms")
        if isinstance(subject, Own):
            for name, path in PAGES.items():
                yield Figure(f"{name} with {count:,} jobs", load.wrk(server, path, 1, scale.seconds).p50, "ms")


PAGES = {
    "100 summaries by name": "/job/?fields=summary&sort=name&recent=20&count=1",
    "100 summaries by last run": "/job/?fields=summary&sort=-last&recent=20&count=1",
    "summary": "/summary/",
}


@contextmanager
def changing(server: Server, rate: int, seconds: float) -> Iterator[None]:
    """Disable and enable jobs, so many a second, for so long."""
    ids = list(server.ask("GET", "/job/")["jobs"])
    clients = 4

    def some(client: int) -> None:
        with closing(server.connect()) as connection:

            def change(number: int) -> None:
                # Jobs all over the list, each disabled once and enabled later.
                place = (number // 2 * clients + client) * 7919 % len(ids)
                ask(connection, "POST", f"/job/{('disable', 'enable')[number % 2]}/{ids[place]}/")

            load.paced(change, int(rate * seconds / clients), rate / clients)

    with ThreadPoolExecutor(clients) as pool:
        done = [pool.submit(some, client) for client in range(clients)]
        yield
        for one in done:
            one.result()


@contextmanager
def with_jobs(subject: Subject, count: int) -> Iterator[Server]:
    """Start a server with `count` jobs: written to Kala's database, which is fast, or created through a peer's API."""
    if isinstance(subject, Own):
        with stored_jobs(count) as data, subject.on(data) as server:
            yield server
    else:
        with subject.empty() as server:
            load.create(server, [FAR_JOB] * count)
            yield server


def lateness(subject: Subject, scale: Scale) -> Iterator[Figure]:
    for rate in scale.rates:
        with subject.empty() as server, load.stamps() as stamps:
            count = int(rate * scale.rate_seconds)
            start = load.runs_at(server, stamps, count, rate)
            load.wait_until(start)
            late = [seconds * 1000 for seconds in stamps.late(count, scale.rate_seconds + count / 50)]
            yield from spread(f"lateness at {rate} runs/s", late)


def spread(name: str, values: list[float]) -> Iterator[Figure]:
    yield Figure(f"{name}, p50", percentile(values, 50), "ms", sample=tuple(values))
    yield Figure(f"{name}, p99", percentile(values, 99), "ms")
    yield Figure(f"{name}, most", values[-1], "ms")


def throughput(subject: Subject, scale: Scale) -> Iterator[Figure]:
    name = f"runs of /bin/true, {scale.burst:,} due at once"
    yield Figure(name, scale.burst / machine.spawn_seconds(scale.burst, "/bin/true"), "/s", "C")
    with subject.empty() as server:
        due = load.beginning(scale.burst)
        load.create(server, [load.once("/bin/true", due)] * scale.burst)
        load.wait_until(due)
        end = load.when_counted(server, scale.burst, scale.burst / 20)
        yield Figure(name, scale.burst / (end - due).total_seconds(), "/s")


def burst(subject: Subject, scale: Scale) -> Iterator[Figure]:
    name = f"last start of {scale.burst:,} due at once"
    with load.stamps() as stamps:
        words = stamps.command(datetime.now(UTC)).split()
        yield Figure(name, machine.spawn_seconds(scale.burst, *words), "s", "C")
    with subject.empty() as server, load.stamps() as stamps:
        load.wait_until(load.runs_at(server, stamps, scale.burst, 0))
        yield Figure(name, stamps.late(scale.burst, scale.burst / 20)[-1], "s")


def at_once(subject: Subject, scale: Scale) -> Iterator[Figure]:
    """Measure from the moment a client sends a job without a schedule to the start of its process."""
    count = int(50 * scale.seconds)
    with subject.empty() as server, load.stamps() as stamps, closing(server.connect()) as connection:

        def post(_: int) -> None:
            command = stamps.command(datetime.now(UTC))
            ask(connection, "POST", "/job/", {"name": "now", "command": command, "owner": "a@example.org"})

        load.paced(post, count, 50)
        late = [seconds * 1000 for seconds in stamps.late(count, 30)]
        yield from spread("from POST to the start of the process", late)


def under_load(subject: Subject, scale: Scale) -> Iterator[Figure]:
    """Send requests of three kinds in turn, 25 per second, during 500 runs per second."""
    count = int(500 * scale.rate_seconds)
    with subject.empty() as server, load.stamps() as stamps, closing(server.connect()) as connection:
        job = server.ask("POST", "/job/", FAR_JOB)["id"]
        requests: tuple[tuple[Any, ...], ...] = (
            ("GET", f"/job/{job}/"),
            ("GET", "/stats/"),
            ("POST", "/job/", FAR_JOB),
        )
        load.wait_until(load.runs_at(server, stamps, count, 500))
        took = load.paced(lambda number: ask(connection, *requests[number % 3]), int(25 * scale.rate_seconds), 25)
        stamps.late(count, scale.rate_seconds + count / 50)
        yield Figure("API beside 500 runs/s, p50", percentile(took, 50), "ms")
        yield Figure("API beside 500 runs/s, p99", percentile(took, 99), "ms")


def of_history(subject: Subject, scale: Scale) -> Iterator[Figure]:
    """Measure what the engine and the store spend on a run. Imports Kala's code, so it cannot measure a peer."""
    if isinstance(subject, Own):
        for runs in scale.history:
            for name, cost in history.measure(runs).items():
                yield Figure(f"{name}, {runs:,} stored", cost, "us")


def footprint(subject: Subject, scale: Scale) -> Iterator[Figure]:
    """Measure start and memory with stored jobs. Writes Kala's database, so it cannot measure a peer."""
    if isinstance(subject, Own):
        for count in scale.stored:
            with stored_jobs(count) as data:
                yield from after_start(subject, data, f"{count:,} jobs")
        with stored_jobs(scale.stored_cron, CRON) as data:
            yield from after_start(subject, data, f"{scale.stored_cron:,} cron jobs")


def of_cron(subject: Subject, scale: Scale) -> Iterator[Figure]:  # noqa: ARG001  as every row
    """Measure the slots of cron expressions. Imports Kala's code, so it cannot measure a peer."""
    if isinstance(subject, Own):
        for name, cost in cron.measure().items():
            yield Figure(f"CPU time of {name}", cost, "us")


def after_start(subject: Started, data: Path, jobs: str) -> Iterator[Figure]:
    with subject.on(data):
        pass  # warm the page cache
    with subject.on(data) as server:
        yield Figure(f"start with {jobs}", server.start_seconds * 1000, "ms")
        runs_once(server)
        yield Figure(f"memory with {jobs}", server.memory(), "MB")


def runs_once(server: Server) -> None:
    server.ask("POST", "/job/", {"name": "now", "command": "/bin/true"})
    load.when_counted(server, 1, 30)


# Due on 29 February.
CRON = Spec(
    name="backup",
    action=Command("/bin/true"),
    schedule="H H 29 2 *",
    timezone="Europe/Berlin",
    owner="a@example.org",
)
FAR_INTERVAL = Spec(name="backup", action=Command("/bin/true"), schedule=FAR, owner="a@example.org")


@contextmanager
def stored_jobs(count: int, spec: Spec = FAR_INTERVAL) -> Iterator[Path]:
    """Make a data directory with `count` jobs."""
    now, zone = datetime.now(UTC), zone_of(spec.timezone, UTC)
    first = policy.new_job("", spec, zone, now)
    with tempfile.TemporaryDirectory(prefix="kala-bench-") as folder:
        store = Store(Path(folder))
        with store.transaction():
            for number in range(count):
                store.writer.jobs.add(replace(first, id=str(UUID(int=number))))
        store.release_writer()
        store.close()
        yield Path(folder)


ROWS: dict[str, Row] = {
    "creates": creates,
    "reads": reads,
    "lists": lists,
    "lateness": lateness,
    "throughput": throughput,
    "burst": burst,
    "at-once": at_once,
    "under-load": under_load,
    "history": of_history,
    "cron": of_cron,
    "footprint": footprint,
}
