"""`python -m bench.soak HOURS`: 100 runs per second, with samples of Kala's resource use and lateness.

200 jobs run every two seconds, some print; meanwhile a client reads and changes jobs. The length of the history is
limited, so nothing should grow.
"""

import argparse
import json
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

from matplotlib import pyplot as plt

from bench import load, machine, plots
from bench.subject import Own, Server, ask

JOBS = 200
PERIOD = 2.0
COMMANDS = ("/bin/true", "echo hello", "seq 200", "head -c 40000 /dev/zero")
KEEP_RUNS = 500
SAMPLES = 240
_LATE = """
    SELECT (started_at - slot) / 1e3, state FROM run WHERE id > ? AND slot IS NOT NULL AND ended_at IS NOT NULL
    ORDER BY 1
"""


class Sample(NamedTuple):
    """The figures since the previous sample. Lateness is in milliseconds, from Kala's own records."""

    minutes: float
    memory_mb: float
    descriptors: int
    threads: int
    database_mb: float
    runs: int
    failures: int
    p50: float
    p99: float
    most: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("hours", type=float)
    parser.add_argument("--out", type=Path, default=machine.BUILD)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    samples = []
    with tempfile.TemporaryDirectory(prefix="kala-soak-") as folder:
        own = Own(f"--keep-runs {KEEP_RUNS}")
        with own.on(Path(folder)) as server:
            for sample in soak(server, Path(folder), given.hours * 3600):
                print("  ".join(f"{name} {value:,.6g}" for name, value in sample._asdict().items()), flush=True)
                samples.append(sample)
    write(samples, given.out)


def soak(server: Server, data: Path, seconds: float) -> Iterator[Sample]:
    start_jobs(server)
    start = time.monotonic()
    last_run = 0
    every = max(5.0, seconds / SAMPLES)
    while (now := time.monotonic()) < start + seconds:
        until = min(now + every, start + seconds)
        with closing(server.connect()) as connection:
            while time.monotonic() < until:
                use(connection)
                time.sleep(0.2)
        sample, last_run = look(server, data, last_run, (time.monotonic() - start) / 60)
        yield sample


def start_jobs(server: Server) -> None:
    start = load.beginning(JOBS)
    jobs = []
    for number in range(JOBS):
        due = (start + timedelta(seconds=number * PERIOD / JOBS)).isoformat(timespec="microseconds")
        schedule = f"R/{due.replace('+00:00', 'Z')}/PT{PERIOD:.0f}S"
        jobs.append({"name": f"job {number}", "command": COMMANDS[number % len(COMMANDS)], "schedule": schedule})
    load.create(server, jobs)


def use(connection: HTTPConnection) -> None:
    """Do what a user's page and a script do: list, create, change and delete jobs."""
    job = ask(connection, "POST", "/job/", load.FAR_JOB)["id"]
    ask(connection, "GET", "/job/?limit=50")
    ask(connection, "GET", "/run/?limit=50")
    ask(connection, "PATCH", f"/job/{job}/", {"retries": 1})
    ask(connection, "DELETE", f"/job/{job}/")


def look(server: Server, data: Path, last_run: int, minutes: float) -> tuple[Sample, int]:
    process = Path(f"/proc/{server.pid}")
    with closing(sqlite3.connect(f"file:{data}/kala.db?mode=ro", uri=True)) as database:
        rows = database.execute(_LATE, (last_run,)).fetchall()
        last_run = database.execute("SELECT max(id) FROM run").fetchone()[0]
    late = [row[0] for row in rows]
    return Sample(
        minutes=round(minutes, 2),
        memory_mb=round(server.memory(), 1),
        descriptors=len(list((process / "fd").iterdir())),
        threads=len(list((process / "task").iterdir())),
        database_mb=round(sum(file.stat().st_size for file in data.glob("kala.db*")) / 1e6, 1),
        runs=len(rows),
        failures=sum(row[1] != "succeeded" for row in rows),
        p50=round(load.percentile(late, 50), 2),
        p99=round(load.percentile(late, 99), 2),
        most=round(late[-1], 2),
    ), last_run


def write(samples: list[Sample], folder: Path) -> None:
    results = {
        "machine": machine.description(),
        "at": datetime.now(UTC).isoformat(timespec="minutes"),
        "samples": [sample._asdict() for sample in samples],
    }
    (folder / "soak.json").write_text(json.dumps(results) + "\n")
    figure, all_axes = plt.subplots(4, 1, figsize=(7, 8), sharex=True)
    minutes = [sample.minutes for sample in samples]
    for axes, label, names in (
        (all_axes[0], "MB", ("memory_mb", "database_mb")),
        (all_axes[1], "open", ("descriptors", "threads")),
        (all_axes[2], "late, ms", ("p50", "p99", "most")),
        (all_axes[3], "runs/s", ("runs",)),
    ):
        for name in names:
            axes.plot(minutes, [value(sample, name, samples) for sample in samples], label=name.replace("_mb", ""))
        axes.set_ylabel(label)
        axes.legend(loc="center right")
    all_axes[2].set_yscale("log")
    all_axes[3].set(xlabel="minutes", ylim=(0, 1.3 * JOBS / PERIOD))
    plots.save(figure, folder / "soak.svg")


def value(sample: Sample, name: str, samples: list[Sample]) -> float:
    """Return the value to plot: runs per second, everything else as it is."""
    if name != "runs":
        return float(getattr(sample, name))
    place = samples.index(sample)
    before = samples[place - 1].minutes if place else 0.0
    return sample.runs / max(1e-9, (sample.minutes - before) * 60)


if __name__ == "__main__":
    main()
