"""The machine itself: what it is, and how fast it starts processes, by programs in C."""

import os
import platform
import subprocess
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
BUILD = HERE.parent / "build" / "bench"
# As many as C needs to keep two processors at work.
AT_ONCE = 2 * (os.cpu_count() or 1)


@cache
def program(name: str) -> str:
    """A program of this folder, compiled."""
    BUILD.mkdir(parents=True, exist_ok=True)
    target = BUILD / name
    subprocess.run(["cc", "-O2", "-Wall", "-o", target, HERE / f"{name}.c", "-lpthread"], check=True)
    return str(target)


def spawn_seconds(runs: int, *command: str) -> float:
    """How long the machine takes for so many runs of a command, at the least."""
    words = [program("spawn_limit"), str(runs), str(AT_ONCE), *command]
    return float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def description() -> dict[str, str]:
    """What a reader needs to know to judge the figures."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 2**20
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], check=False, capture_output=True, text=True, cwd=HERE
    ).stdout.strip()
    return {
        "processors": f"{os.cpu_count()} x {cpu}",
        "memory": f"{memory:.0f} GiB",
        "system": f"{_release()}, Linux {platform.release()}, Python {platform.python_version()}",
        "commit": commit,
    }


def _release() -> str:
    return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
