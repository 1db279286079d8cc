"""The machine: what it is, and how fast a program in C starts processes on it."""

import os
import platform
import subprocess
import time
from functools import cache
from pathlib import Path
from threading import Thread

HERE = Path(__file__).parent
BUILD = HERE.parent / "build" / "bench"
# As many threads as C needs to keep the processors busy.
AT_ONCE = 2 * (os.cpu_count() or 1)
_WAKES = 2000


@cache
def program(name: str) -> str:
    """Compile a program of this folder; return its path."""
    BUILD.mkdir(parents=True, exist_ok=True)
    target = BUILD / name
    subprocess.run(["cc", "-O2", "-Wall", "-o", target, HERE / f"{name}.c", "-lpthread"], check=True)
    return str(target)


def spawn_seconds(runs: int, *command: str) -> float:
    """Return the least time in seconds that the machine takes for this many runs of a command."""
    words = [program("spawn_limit"), str(runs), str(AT_ONCE), *command]
    return float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def description() -> dict[str, str]:
    """Return what a reader needs to know to judge the figures."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 2**20
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], check=False, capture_output=True, text=True, cwd=HERE
    ).stdout.strip()
    return {
        "processors": f"{os.cpu_count()} x {cpu}",
        "memory": f"{memory:.0f} GiB",
        "waking a sleeping thread": f"{wake_micros():.0f} us",
        "system": f"{_release()}, Linux {platform.release()}, Python {platform.python_version()}",
        "commit": commit,
    }


def wake_micros() -> float:
    """Return how long a thread takes to wake up one on another processor, which limits Python programs with threads.

    From 5 us on a physical machine to 50 us and more on virtual processors.
    """
    (there, told), (back, answered) = os.pipe(), os.pipe()
    processors = os.sched_getaffinity(0)

    def echo() -> None:
        os.sched_setaffinity(0, {max(processors)})  # of this thread alone
        while os.read(there, 1):
            os.write(answered, b".")

    thread = Thread(target=echo)
    thread.start()
    os.sched_setaffinity(0, {min(processors)})
    clock = time.perf_counter()
    for _ in range(_WAKES):
        os.write(told, b".")
        os.read(back, 1)
    micros = (time.perf_counter() - clock) / _WAKES / 2 * 1e6
    os.sched_setaffinity(0, processors)
    os.close(told)
    thread.join()
    for descriptor in (there, back, answered):
        os.close(descriptor)
    return micros


def _release() -> str:
    return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
