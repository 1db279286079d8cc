import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from journald import Journald

LIMIT_SECONDS = 10
PROGRAM = [sys.executable, str(Path(__file__).parent / "program.py")]


class Service:
    """The program as a process, which is killed after a limit, so that no wait for it lasts longer."""

    def __init__(self, home: Path, *arguments: str, command=None, pass_fds=(), **environ: str) -> None:
        self.said: list[str] = []
        self.process = subprocess.Popen(
            [*(command or PROGRAM), *arguments],
            env=os.environ | {"HOME": str(home), "KALA_CONFIG": str(home / "kala.toml")} | environ,
            stderr=subprocess.PIPE,
            text=True,
            cwd=home,
            pass_fds=pass_fds,
        )
        self._limit = threading.Timer(LIMIT_SECONDS, self.process.kill)
        self._limit.start()

    def expect(self, text: str) -> str:
        """Return the next line that contains the text."""
        for line in self.process.stderr:
            self.said.append(line)
            if text in line:
                return line
        pytest.fail(f"{text!r} was not said, but:\n{''.join(self.said)}")

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def ended(self) -> int:
        """Wait for the end; return the exit code. `said` is complete then."""
        self.said.extend(self.process.stderr)
        return self.process.wait()

    def close(self) -> None:
        self._limit.cancel()
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()


@pytest.fixture
def home(tmp_path):
    (tmp_path / "kala.toml").write_text("")
    return tmp_path


@pytest.fixture
def start(home):
    started = []

    def start(*arguments, **options):
        started.append(Service(home, *arguments, **options))
        return started[-1]

    yield start
    for service in started:
        service.close()


@pytest.fixture
def app_events(home):
    """Return which methods of the app were called, from the log of a service."""
    return lambda service: [line.split(" app ")[1].split()[0] for line in service.said if " app " in line]


@pytest.fixture
def journald():
    """A journald. Its socket's path must be short, so it is not in tmp_path."""
    with tempfile.TemporaryDirectory() as place:
        end = Journald(str(Path(place, "j")))
        yield end
        end.close()
