import os
import pty
import subprocess

import pytest
from process import PATIENCE, Kala, gate, kala, make, serve, wait

__all__ = ("gate", "kala", "make", "serve", "wait")


@pytest.fixture
def tell(kala: Kala):
    """Run a command against a running Kala; return its exit code, stdout and stderr."""
    kala.environ["KALA_URL"] = f"unix://{kala.data}/kala.sock"

    def tell(*arguments, **environ):
        kala.environ.update(environ)
        done = kala.tell(*arguments)
        return done.returncode, done.stdout, done.stderr

    return tell


@pytest.fixture
def done(tell):
    """Run a command that must succeed, and return what it prints."""

    def done(*arguments, **environ):
        code, out, err = tell(*arguments, **environ)
        assert (code, err) == (0, ""), (code, out, err)
        return out

    return done


@pytest.fixture
def on_terminal(kala, done):
    """Run a command on a terminal with this many columns; return its exit code and what appears.

    `typed` is what is typed at the start, and `answers` has what is typed after each question: what is typed before a
    question without echo is thrown away.
    """

    def on_terminal(columns, *arguments, typed="", answers=(), **environ):
        leader, follower = pty.openpty()
        size = {"COLUMNS": str(columns), "LINES": "24"}
        # With a controlling terminal, from which passwords are read. It would else be that of whoever runs the tests.
        process = subprocess.Popen(
            ["setsid", "--ctty", *kala.command, *arguments],
            cwd=kala.home,
            env=kala.environ | size | environ,
            stdin=follower,
            stdout=follower,
            stderr=follower,
        )
        os.close(follower)
        os.write(leader, typed.encode())
        left, shown, seen = list(answers), b"", 0
        try:
            while part := os.read(leader, 4096):
                shown += part
                while left and (place := shown.find(left[0][0].encode(), seen)) >= 0:
                    question, answer = left.pop(0)
                    seen = place + len(question)
                    os.write(leader, f"{answer}\n".encode())
        except OSError:  # the terminal is closed
            pass
        os.close(leader)
        return process.wait(PATIENCE), shown.decode().replace("\r\n", "\n")

    return on_terminal
