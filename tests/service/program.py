"""`kala serve` with an app that only logs the calls of its methods."""

import ctypes
import logging
import os
import signal
import time
from functools import partial
from pathlib import Path

import click

from kala.cli.exits import sentences
from kala.cli.settings import loader, settings
from kala.core.errors import Conflict
from kala.service.daemon import run

logger = logging.getLogger("kala.fake")
PR_GET_DUMPABLE = 3


class FakeApp:
    """`rounds` is how often wait_idle finds a run still running; `fault` is how the start fails."""

    address = "http://127.0.0.1:8000"

    def __init__(self, loaded, heartbeat, listeners, *, rounds, fault):
        config = loaded.config
        self.config, self.rounds, self.fault = config, rounds, fault
        logger.info("app made for port %s, beats every %s s", config.port, heartbeat.interval)
        places = [one.getsockname() for one in listeners]
        named = [place if isinstance(place, str) else " ".join(map(str, place[:2])) for place in places]
        logger.info("listens on %s", ", ".join(named) or "nothing yet")
        heartbeat.beat()

    def start(self):
        logger.info("app start in %s", Path.cwd())
        logger.info("open: %s", " ".join(descriptors()))
        logger.info("dumpable: %s", ctypes.CDLL(None).prctl(PR_GET_DUMPABLE, 0, 0, 0, 0))
        if self.fault == "conflict":
            raise Conflict("port 8000 is taken; give another with --port")
        if self.fault == "death":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault == "wait":
            while not Path("go").exists():
                time.sleep(0.01)

    def status(self):
        return "3 jobs"

    def reload(self, config, _origins):
        self.config = config
        logger.info("app reload: owner %s, port %s", config.default_owner, config.port)

    def drain(self):
        logger.info("app drain")

    def wait_idle(self, timeout):
        self.rounds -= 1
        if self.rounds >= 0:
            logger.debug("app is busy")
            time.sleep(timeout)
        return self.rounds < 0

    def stop(self):
        logger.info("app stop")


def descriptors():
    """Return the inherited descriptors: those that Python opens are not inheritable."""
    numbers = sorted(int(fd.name) for fd in Path("/proc/self/fd").iterdir() if fd.exists())
    return [str(number) for number in numbers if os.get_inheritable(number)]


@click.command()
@settings
@click.option("--daemon", is_flag=True)
@click.option("--rounds", type=int, default=0)
@click.option("--fault", default="")
def main(config_file, daemon, rounds, fault, **flags):
    with sentences():
        run(
            loader(config_file, flags),
            detach=daemon,
            app_factory=partial(FakeApp, rounds=rounds, fault=fault),
        )


if __name__ == "__main__":
    main()
