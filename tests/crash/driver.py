"""A sequence of lives: Kala starts, is under load and ends at a random moment, and then what is left is checked.

An era is a sequence of lives on the same data. In its last life Kala becomes idle and is stopped cleanly. Before a life
the time zone may change and the clock may be set; the clock may also be set while clients are at work.

What a seed reproduces: for each life the moment of its end and the length of the load, and for each client of that life
the sequence of its choices. They depend on (seed, life) and (seed, life, client) alone, so an era does not need those
before it. What it does not reproduce: how far clients get in that time and how threads are scheduled. So the number of
requests before the end differs, and so does the statement that Kala is killed in. A client chooses among the jobs that
it knows, so after one difference its later choices differ, too. A bug that depends on rare timing may need a few
attempts with its seed; one that depends on a sequence of requests mostly appears at once.
"""

import signal
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
from client import POOL, POOL_SIZE, Client
from clock import STEPS, ZONES, Clock
from judge import Judge
from process import Kala, eventually
from work import OUTPUT_LIMIT, Evidence

from kala.zone import ServerZone

CLIENTS = 3
FLAGS = (
    *("--workers", "8", "--pool", f"{POOL}={POOL_SIZE}", "--output-limit", str(OUTPUT_LIMIT)),
    *("--shutdown-grace", "0.3", "--kill-grace", "0.3"),
)
# The weights of the states in which Kala is killed: under load, still starting, or stopping after SIGTERM.
_MOMENTS = {"at work": 7, "starting": 2, "stopping": 2}
_LOAD_SECONDS = (0.1, 1.0)
_START_SECONDS = (0.05, 0.8)
_STOP_SECONDS = (0.0, 0.8)
# Every this many lives, Python shows warnings that are off by default, such as for files that were not closed.
_WARNED_LIFE = 10

# How far the clock is set forward before the end of an era, so that all jobs are due by then.
_TO_REST = timedelta(days=2)

End = Callable[[Kala], None]
"""Ends a Kala that may be starting, at work, stopping or gone, and returns when it is gone.

What it does to the data directory then, such as undoing what was not synced, is its own business; all that follows
looks at what it leaves.
"""


def kill(kala: Kala) -> None:
    """Kill with SIGKILL: nothing is cleaned up, and all that was written reaches the disk."""
    kala.kill()


class Era:
    """A sequence of lives on the same data, in its own folder."""

    def __init__(
        self, home: Path, seed: int, *, end: End = kill, flags: tuple[str, ...] = (), library: Path | None = None
    ) -> None:
        """Prepare an era. `flags` are more flags for Kala; without the `library`, the clock is not set."""
        home.mkdir()
        self.seed = seed
        self.life = 0
        self._clock = Clock(home / "clock")
        self._can_be_set = library is not None
        self._furthest = timedelta()
        self.kala = Kala(home, *FLAGS, *flags, environ=self._clock.environ(library) if library else {})
        self._end = end
        self._evidence = Evidence(home / "evidence")
        self._clients = [Client(number, self._evidence, self._clock) for number in range(CLIENTS)]
        self._judge = Judge(self.kala, self._clients, self._evidence)
        self._moment = ""

    def go_on(self, lives: range) -> Counter[str]:
        """Run all lives, the last until Kala is idle. Return how many runs there are in each state."""
        try:
            for life in lives:
                self.life = life
                self._live(Random(f"{self.seed}/{life}"))
            self._moment = "at rest"
            return self._rest()
        except (AssertionError, pytest.fail.Exception) as error:
            where = f"seed {self.seed}, life {self.life} ({self._moment}), {self.kala.home}"
            raise AssertionError(f"{where}: {error}") from error
        finally:
            self.kala.close()

    @property
    def acknowledged(self) -> int:
        return sum(client.acknowledged for client in self._clients)

    def _live(self, chance: Random) -> None:
        [self._moment] = chance.choices(list(_MOMENTS), list(_MOMENTS.values()))
        self._warn(is_on=self.life % _WARNED_LIFE == 0)
        self._move_to(chance.choice(ZONES))
        self._set_clock(chance.choice(STEPS))
        self.kala.launch()
        if self._moment == "starting":
            time.sleep(chance.uniform(*_START_SECONDS))
        else:
            self._load(chance)
        if self._moment == "stopping":
            self.kala.send(signal.SIGTERM)
            time.sleep(chance.uniform(*_STOP_SECONDS))
        self._end(self.kala)
        self._log_is_clean()
        self._judge.look()

    def _load(self, chance: Random) -> None:
        self.kala.answers()
        self._judge.greet()
        for client in self._clients:
            client.work(self.kala.address, Random(f"{self.seed}/{self.life}/{client.number}"))
        time.sleep(chance.uniform(*_LOAD_SECONDS) / 2)
        self._set_clock(chance.choice(STEPS))
        time.sleep(chance.uniform(*_LOAD_SECONDS) / 2)

    def _move_to(self, zone: str) -> None:
        self.kala.environ["TZ"] = zone
        for client in self._clients:
            client.zone = ServerZone({"TZ": zone}).current

    def _set_clock(self, by: timedelta) -> None:
        if self._can_be_set and by:
            self._clock.set(by)
            self._furthest = max(self._furthest, self._clock.ahead)
            if by < timedelta():
                self._judge.clock_was_set_back()

    def _rest(self) -> Counter[str]:
        self._warn(is_on=True)
        self._set_clock(self._furthest + _TO_REST - self._clock.ahead)
        self.kala.start()
        self._judge.greet()
        eventually(self._judge.is_quiet)
        eventually(self._judge.files_are_those_of_runs)
        status = self.kala.stop()
        assert status == 0, f"its exit status is {status}"
        self._log_is_clean()
        case = self._judge.close()
        return Counter(fact.state for fact in case.history.values())

    def _warn(self, *, is_on: bool) -> None:
        self.kala.environ.pop("PYTHONDEVMODE", None)
        if is_on:
            self.kala.environ["PYTHONDEVMODE"] = "1"

    def _log_is_clean(self) -> None:
        bad = [line for line in self.kala.lines if "Traceback" in line or "Warning: " in line]
        assert not bad, f"its log is\n{self.kala.log}"
