"""A shell command in its own session and process group, from start to outcome."""

import os
import re
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from pwd import struct_passwd

import msgspec
from msgspec.structs import replace

from kala.core.run import Outcome, State
from kala.runner import scarcity, users
from kala.runner.cancellation import Cancellation
from kala.runner.environment import Environ, encoded, search_path
from kala.runner.output import Output
from kala.runner.scarcity import CannotStart, Scarce
from kala.runner.spawn import Process, spawn

_READ_BYTES = 1 << 16
# Longer than any line with a path in it.
_PATH_LINE_BYTES = 8192
# How long to read on once the process group is gone: a process that left the group can hold the pipe open.
_DRAIN_SECONDS = 1.0
# A process that survives SIGKILL for this long hangs in the kernel or is another user's: the run ends without it.
_GIVE_UP_SECONDS = 5.0
# The longest timeout of poll(2), in milliseconds.
_LONGEST_POLL_MILLISECONDS = 2**31 - 1
# Pause between attempts to open a pidfd or eventfd for a command that is already running.
_DESCRIPTOR_RETRY_SECONDS = 0.1
# Goes before the umask and the words of a command.
_SET_UMASK = ("/bin/sh", "-c", 'umask "$0" && exec "$@"')
# Executes the words that follow unchanged.
_EXEC = ("/bin/sh", "-c", 'exec "$0" "$@"')
# Words and blanks that no shell changes: without quote, variable, glob, redirection, comment, tilde or brace.
_PLAIN_LINE = re.compile(r"[A-Za-z0-9_@%+:,./ \t-][A-Za-z0-9_@%+:,./= \t-]*", re.ASCII)
# Words that a shell executes itself: POSIX 2.9.1, 2.14 and 2.4, and additions of dash, bash and busybox.
_SHELL_WORDS = frozenset(
    """
    . : [ alias bg break builtin caller case cd chdir command compgen complete compopt continue coproc declare dirs
    disown do done echo elif else enable esac eval exec exit export false fc fg fi for function getopts hash help
    history if in jobs kill let local logout mapfile popd printf pushd pwd read readarray readonly return select set
    shift shopt source suspend test then time times trap true type typeset ulimit umask unalias unset until wait while
    """.split()
)


class CommandContext(msgspec.Struct, frozen=True, kw_only=True):
    """Everything around a command line. `timeout` and `kill_grace` are in seconds; an empty `shell` means /bin/sh.

    `umask` is octal; an empty one means Kala's own, as no `user` means Kala's own user. `prefix` are words that go
    before all others and run as Kala.
    """

    environ: Environ
    folder: Path
    shell: str = ""
    prefix: tuple[str, ...] = ()
    user: struct_passwd | None = None
    umask: str = ""
    timeout: float | None = None
    kill_grace: float = 10.0


def run(line: str, context: CommandContext, output: Output, cancellation: Cancellation) -> Outcome:
    """Run `line` as `sh -c` would, and wait for its end. Then kill what is left of its process group."""
    try:
        command = start(line, context, output, cancellation)
    except Scarce as scarce:
        return CannotStart(f"the command cannot be started: {scarce}").outcome
    except CannotStart as error:
        return error.outcome
    return command.follow()


def start(line: str, context: CommandContext, output: Output, cancellation: Cancellation) -> "RunningCommand":
    """Start `line` as `sh -c` would. Raise CannotStart if that fails, and Scarce if a later attempt may succeed.

    Lines may end with CRLF, as on Windows; a shell would take the carriage return for a part of the last word.
    """
    started = time.monotonic_ns()
    try:
        process = _spawn_line(line.replace("\r\n", "\n"), context)
    except OSError as error:
        scarcity.check(error)
        reason = f"the command cannot be started{_inaccessible(context)}: {error.strerror}"
        raise CannotStart(reason) from error
    return RunningCommand(process, started, context, output, cancellation)


def _inaccessible(context: CommandContext) -> str:
    """Return the part of the context that can have caused a failed start: the system's error does not name it."""
    if not os.access(context.folder, os.X_OK):
        return f" in {context.folder}"
    return f" with {context.shell}" if context.shell and not os.access(context.shell, os.X_OK) else ""


def _spawn_line(line: str, context: CommandContext) -> Process:
    needs_shell = context.shell or context.prefix or context.user or context.umask
    words = [] if needs_shell or not _is_absolute(search_path(context.environ)) else plain_words(line)
    if words:
        # Not found, not executable, no #! line: the shell defines what these mean. A lack of resources gets a second
        # attempt by this, too.
        with suppress(OSError):
            return _spawn_words(words, context)
    # Only for a line that looks like an option: POSIX shells take the dashes, but fish, tcsh and python do not.
    dashes = ["--"] if line.startswith(("-", "+")) else []
    umask = [*_SET_UMASK, context.umask] if context.umask else []
    return _spawn_words([*umask, context.shell or "/bin/sh", "-c", *dashes, line], context)


def _is_absolute(path: str) -> bool:
    """Return whether a PATH has only absolute directories, so that it means the same in every working directory."""
    return all(folder.startswith("/") for folder in path.split(":"))


def plain_words(line: str) -> list[str]:
    """Return the words of a line that means the same without a shell, which costs half as much; else nothing."""
    if not _PLAIN_LINE.fullmatch(line):
        return []
    words = line.split()
    return [] if not words or words[0] in _SHELL_WORDS or "=" in words[0] else words


def _spawn_words(words: list[str], context: CommandContext) -> Process:
    environ = {**context.environ, **encoded({"PWD": str(context.folder)})}
    if context.user is None:
        return spawn([*context.prefix, *words], environ, context.folder)
    setpriv, carried = users.setpriv_words(context.user, context.folder, environ)
    # env(1) would take a first word with = for a variable.
    exec_words = [*_EXEC, *words] if "=" in words[0] else words
    return spawn([*context.prefix, *setpriv, *exec_words], carried, Path("/"), owner=context.user.pw_uid)


class RunningCommand:
    """A running command. Owned by one thread at a time: a starter, that of ShortRuns, perhaps a worker.

    follow() reads its output and waits for its end in one poll, as either can end before the other. A cancellation and
    the command's own deadlines become signals to the whole process group.
    """

    def __init__(
        self, process: Process, started: int, context: CommandContext, output: Output, cancellation: Cancellation
    ) -> None:
        """`started` is the start, in nanoseconds of the monotonic clock."""
        self._process = process
        self._started = started
        self._context = context
        self._output = output
        self._cancellation = cancellation
        self._deadline = None if context.timeout is None else started / 1e9 + context.timeout
        self._kill_at: float | None = None
        self._give_up_at: float | None = None
        # The end of the process, in nanoseconds of the monotonic clock and as a date.
        self._ended: tuple[int, datetime] | None = None
        self._descriptors = [process.output]
        with self._kill_on_error():
            # The pidfd, readable once the process has ended. None if no descriptor was free: then only follow() can go
            # on, because it waits for one.
            self.pidfd = self._try_open(lambda: os.pidfd_open(process.pid))

    def _try_open(self, opener: Callable[[], int]) -> int | None:
        try:
            self._descriptors.append(opener())
        except OSError as error:
            if not scarcity.is_scarce(error):
                raise
            return None
        return self._descriptors[-1]

    def _open_when_available(self, opener: Callable[[], int]) -> int:
        """Open a descriptor, waiting while the process has none left.

        The command runs already, and must not die because other runs hold all descriptors. Meanwhile cancellations and
        deadlines are obeyed.
        """
        while (descriptor := self._try_open(opener)) is None:
            now = time.monotonic()
            if self._cancellation.reason:
                self._terminate(now)
            self._check_deadlines(now)
            time.sleep(_DESCRIPTOR_RETRY_SECONDS)
        return descriptor

    @contextmanager
    def _kill_on_error(self) -> Iterator[None]:
        """On any error of ours kill the process group, so that no command runs unsupervised."""
        try:
            yield
        except BaseException:
            _signal_group(self._process, signal.SIGKILL)
            self._close()
            self._process.abandon()
            raise

    def _close(self) -> None:
        while self._descriptors:
            os.close(self._descriptors.pop())

    def _note_end(self) -> None:
        """Note the end of the run. The wait for output of processes that left the group does not count."""
        if self._ended is None:
            self._ended = time.monotonic_ns(), datetime.now(UTC)

    def _outcome(self) -> Outcome:
        self._close()
        self._note_end()
        assert self._ended
        ended, ended_at = self._ended
        outcome = _outcome(self._process.exit_code, self._cancellation, ended - self._started, ended_at)
        if self._context.user:
            printed, _ = self._output.read(0, _PATH_LINE_BYTES)
            if reason := users.chdir_error(outcome.exit_code, printed):
                return replace(outcome, message=f"the command cannot be started in {self._context.folder}: {reason}")
        return outcome

    def reap(self) -> Outcome | None:
        """Return the outcome of a command whose process has ended, without blocking.

        Return None if follow() must read the output: there is more than fits into memory, or more may come, because a
        process that left the group holds the pipe.
        """
        with self._kill_on_error():
            self._note_end()
            _signal_group(self._process, signal.SIGKILL)
            os.set_blocking(self._process.output, False)
            with suppress(BlockingIOError):
                while room := self._output.room:
                    if not self._read_output(room):
                        self._process.wait()
                        return self._outcome()
        return None

    def follow(self) -> Outcome:
        """Wait for the command to end, and return its outcome. A process that cannot be killed is abandoned."""
        with self._kill_on_error():
            pidfd = self.pidfd
            if pidfd is None:
                pidfd = self._open_when_available(lambda: os.pidfd_open(self._process.pid))
            cancelled = self._open_when_available(lambda: os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC))
            with self._cancellation.notifying(lambda: os.eventfd_write(cancelled, 1)):
                self._poll_until_end(pidfd, cancelled)
            return self._outcome()

    def _poll_until_end(self, pidfd: int, cancelled: int) -> None:
        poller = select.poll()
        for descriptor in (pidfd, self._process.output, cancelled):
            poller.register(descriptor, select.POLLIN)
        while self._give_up_at is None or time.monotonic() < self._give_up_at:
            ready = {descriptor for descriptor, _ in poller.poll(self._timeout())}
            if pidfd in ready:
                self._note_end()
                _signal_group(self._process, signal.SIGKILL)
                self._read_rest()
                self._process.wait()
                return
            if self._process.output in ready and not self._read_output():
                poller.unregister(self._process.output)
            if cancelled in ready:
                os.eventfd_read(cancelled)
                self._terminate(time.monotonic())
            self._check_deadlines(time.monotonic())
        self._process.abandon()

    def _check_deadlines(self, now: float) -> None:
        if self._deadline is not None and now >= self._deadline:
            self._deadline = None
            reason = f"timed out after {self._context.timeout:g} s"
            self._cancellation.cancel(reason, state=State.TIMED_OUT)
        if self._kill_at is not None and now >= self._kill_at:
            self._kill(now)
        if now >= self._output.spill_at:
            self._output.spill()

    def _terminate(self, now: float) -> None:
        if self._cancellation.is_forced:
            self._kill(now)
        elif self._kill_at is None:
            _signal_group(self._process, signal.SIGTERM)
            # A stopped process handles SIGTERM only after SIGCONT.
            _signal_group(self._process, signal.SIGCONT)
            self._kill_at = now + self._context.kill_grace

    def _kill(self, now: float) -> None:
        _signal_group(self._process, signal.SIGKILL)
        self._kill_at = float("inf")
        self._give_up_at = now + _GIVE_UP_SECONDS

    def _timeout(self) -> float | None:
        """Return the timeout for poll() until the next deadline, in milliseconds; None for no timeout."""
        now = time.monotonic()
        deadlines = [at for at in (self._deadline, self._kill_at, self._give_up_at) if at is not None]
        wait = min([*deadlines, self._output.spill_at]) - now
        return None if wait == float("inf") else min(max(0.0, wait) * 1000, _LONGEST_POLL_MILLISECONDS)

    def _read_output(self, size: int = _READ_BYTES) -> bool:
        """Read some output; return False at its end."""
        if data := os.read(self._process.output, size):
            self._output.write(data)
        return bool(data)

    def _read_rest(self) -> None:
        os.set_blocking(self._process.output, False)
        poller = select.poll()
        poller.register(self._process.output, select.POLLIN)
        deadline = time.monotonic() + _DRAIN_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            try:
                if not self._read_output():
                    return
            except BlockingIOError:  # a process that left the group holds the pipe
                poller.poll(left * 1000)


def _signal_group(process: Process, number: signal.Signals) -> None:
    # The leader is not reaped yet, so the group's number cannot be another's. A group of which every process became
    # another user's cannot be signalled; such a run ends by itself.
    with suppress(PermissionError, ProcessLookupError):
        os.killpg(process.pid, number)


def _outcome(exit_code: int | None, cancellation: Cancellation, duration: int, ended_at: datetime) -> Outcome:
    if exit_code is None:
        state = cancellation.state
        message = f"{cancellation.reason}; its processes could not be killed and may still be running"
    else:
        state = cancellation.state if cancellation.reason else State.FAILED if exit_code else State.SUCCEEDED
        message = cancellation.reason or _message(exit_code)
    return Outcome(
        state=state,
        ended_at=ended_at,
        duration=duration,
        message=message,
        exit_code=exit_code if exit_code is not None and exit_code >= 0 else None,
        signal=-exit_code if exit_code is not None and exit_code < 0 else None,
    )


def _message(exit_code: int) -> str:
    if exit_code >= 0:
        return f"exit status {exit_code}" if exit_code else ""
    try:
        return f"killed by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"killed by signal {-exit_code}"
