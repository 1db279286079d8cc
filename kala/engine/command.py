"""A shell command in its own session and process group, from start to outcome."""

import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from kala.core.run import Outcome, State
from kala.engine.control import Control
from kala.engine.output import Output

_CHUNK = 1 << 16
# How long output may still come once the group is gone: a process that left the group can hold the pipe.
_DRAIN_SECONDS = 1.0
# Words and blanks that no shell changes: no quote, variable, glob, redirect, comment, tilde or brace.
_PLAIN = re.compile(r"[A-Za-z0-9_@%+:,./ \t-][A-Za-z0-9_@%+:,./= \t-]*", re.ASCII)
# What sh does itself, or could: POSIX 2.9.1, 2.14 and 2.4, and what dash, bash and busybox add.
_OF_THE_SHELL = frozenset(
    """
    . : [ alias bg break builtin caller case cd chdir command compgen complete compopt continue coproc declare dirs
    disown do done echo elif else enable esac eval exec exit export false fc fg fi for function getopts hash help
    history if in jobs kill let local logout mapfile popd printf pushd pwd read readarray readonly return select set
    shift shopt source suspend test then time times trap true type typeset ulimit umask unalias unset until wait while
    """.split()
)


def execute(line: str, *, environ: Mapping[str, str], folder: Path, output: Output, control: Control) -> Outcome:
    """Run `line` as `/bin/sh -c` means it, and wait for its end. What is left of its process group then is killed."""
    clock = time.monotonic_ns()
    try:
        process = _start(line, environ, folder)
    except OSError as error:
        reason = f"the command cannot be started in {folder}: {error.strerror}"
        return Outcome(state=State.FAILED, ended_at=datetime.now(UTC), message=reason)
    with process:
        try:
            with control.ends_by(lambda force: _signal_group(process, force=force)):
                _follow(process, output)
        except BaseException:
            _signal_group(process, force=True)
            raise
        code = process.wait()
    return _outcome(code, time.monotonic_ns() - clock, output, control)


def _start(line: str, environ: Mapping[str, str], folder: Path) -> "subprocess.Popen[bytes]":
    words = plain_words(line)
    if words:
        with suppress(OSError):  # not found, not executable, no #! line: the shell knows what that means
            return _spawn(words, environ, folder)
    return _spawn(["/bin/sh", "-c", "--", line], environ, folder)  # a line may begin with a dash


def plain_words(line: str) -> list[str]:
    """The words of a command that means the same without a shell, which costs half as much; empty where it may not."""
    if not _PLAIN.fullmatch(line):
        return []
    words = line.split()
    return [] if not words or words[0] in _OF_THE_SHELL or "=" in words[0] else words


def _spawn(words: list[str], environ: Mapping[str, str], folder: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
        start_new_session=True,
        cwd=folder,
        env={**environ, "PWD": str(folder)},
    )


def _follow(process: "subprocess.Popen[bytes]", output: Output) -> None:
    """Take the output until both it and the process have ended; end of output is not end of the process."""
    assert process.stdout
    pipe = process.stdout.fileno()
    ended = os.pidfd_open(process.pid)
    try:
        poller = select.poll()
        poller.register(ended, select.POLLIN)
        poller.register(pipe, select.POLLIN)
        is_open = _take_until(poller, pipe, ended, output)
        _signal_group(process, force=True)
        if is_open:
            poller.unregister(ended)
            _drain(poller, pipe, output)
    finally:
        os.close(ended)


def _take_until(poller: select.poll, pipe: int, ended: int, output: Output) -> bool:
    is_open = True
    while True:
        ready = [descriptor for descriptor, _ in poller.poll()]
        if pipe in ready and not _take(pipe, output):
            poller.unregister(pipe)
            is_open = False
        if ended in ready:
            return is_open


def _drain(poller: select.poll, pipe: int, output: Output) -> None:
    deadline = time.monotonic() + _DRAIN_SECONDS
    while (left := deadline - time.monotonic()) > 0:
        if not poller.poll(left * 1000) or not _take(pipe, output):
            return


def _take(pipe: int, output: Output) -> bool:
    data = os.read(pipe, _CHUNK)
    output.write(data)
    return bool(data)


def _signal_group(process: "subprocess.Popen[bytes]", *, force: bool) -> None:
    # The leader is not reaped yet, so the group's number cannot be another's. A group of which every process became
    # another user's cannot be signalled; such a run ends by itself.
    with suppress(PermissionError, ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL if force else signal.SIGTERM)


def _outcome(code: int, duration: int, output: Output, control: Control) -> Outcome:
    output.close()
    state = State.CANCELLED if control.reason else State.FAILED if code else State.SUCCEEDED
    return Outcome(
        state=state,
        ended_at=datetime.now(UTC),
        duration=duration,
        message=control.reason or _message(code),
        exit_code=code if code >= 0 else None,
        signal=-code if code < 0 else None,
        output_size=output.size,
        output_cut=output.is_cut,
    )


def _message(code: int) -> str:
    if code < 0:
        return f"killed by {_signal_name(-code)}"
    return f"exit status {code}" if code else ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
