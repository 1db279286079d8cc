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

from kala.core.run import Outcome, State
from kala.runner import scarcity, users
from kala.runner.cancellation import Cancellation
from kala.runner.environment import Environ, encoded, search_path
from kala.runner.output import Output
from kala.runner.spawn import Process, spawn

_CHUNK = 1 << 16
# More than the longest line with a path in it.
_LINE = 8192
# How long output may still come once the group is gone: a process that left the group can hold the pipe.
_DRAIN_SECONDS = 1.0
# A process that is still there so long after SIGKILL hangs in the kernel or is another user's: the run ends without it.
_GIVE_UP_SECONDS = 5.0
# The longest wait that poll(2) knows, in milliseconds.
_LONGEST_WAIT = 2**31 - 1
# How long a command that runs already waits for the next try to get a descriptor to watch it with.
_STARVED_SECONDS = 0.1
# What comes before the words of a command with an umask, and the umask.
_UNDER_UMASK = ("/bin/sh", "-c", 'umask "$0" && exec "$@"')
# Starts the words that follow as they are.
_PLAINLY = ("/bin/sh", "-c", 'exec "$0" "$@"')
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


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What a command runs in. `timeout` and `kill_grace` are in seconds; an empty `shell` is /bin/sh.

    `umask` is octal; an empty one is Kala's own. `user` is who runs it, where that is not Kala's own user. `prefix` are
    words that come before all others, and run as Kala.
    """

    environ: Environ
    folder: Path
    shell: str = ""
    prefix: tuple[str, ...] = ()
    user: struct_passwd | None = None
    umask: str = ""
    timeout: float | None = None
    kill_grace: float = 10.0


def execute(line: str, setting: Setting, output: Output, control: Cancellation) -> Outcome:
    """Run `line` as `sh -c` means it, and wait for its end. What is left of its process group then is killed."""
    try:
        begun = begin(line, setting, output, control)
    except scarcity.Scarce as scarce:
        return _unstarted(f": {scarce}")
    return begun if isinstance(begun, Outcome) else begun.follow()


def begin(line: str, setting: Setting, output: Output, control: Cancellation) -> "Underway | Outcome":
    """Start `line` as `sh -c` means it; an outcome where it cannot be started. Raises Scarce where it cannot yet.

    A line may end as in Windows: no shell takes the carriage return for anything but a part of the last word.
    """
    clock = time.monotonic_ns()
    try:
        process = _start(line.replace("\r\n", "\n"), setting)
    except OSError as error:
        scarcity.check(error)
        return _unstarted(f"{_obstacle(setting)}: {error.strerror}")
    return Underway(process, clock, setting, output, control)


def _unstarted(reason: str) -> Outcome:
    return Outcome(state=State.FAILED, ended_at=datetime.now(UTC), message=f"the command cannot be started{reason}")


def _obstacle(setting: Setting) -> str:
    """What of the setting a command may have met that could not be started; the system's word does not say."""
    if not os.access(setting.folder, os.X_OK):
        return f" in {setting.folder}"
    return f" with {setting.shell}" if setting.shell and not os.access(setting.shell, os.X_OK) else ""


def _start(line: str, setting: Setting) -> Process:
    needs_shell = setting.shell or setting.prefix or setting.user or setting.umask
    words = [] if needs_shell or not _is_absolute(search_path(setting.environ)) else plain_words(line)
    if words:
        with suppress(OSError):  # not found, not executable, no #! line: the shell knows what that means
            return _spawn(words, setting)
    # POSIX has the dashes for a line that looks like an option; fish, tcsh and python do not know them.
    dashes = ["--"] if line.startswith(("-", "+")) else []
    umask = [*_UNDER_UMASK, setting.umask] if setting.umask else []
    return _spawn([*umask, setting.shell or "/bin/sh", "-c", *dashes, line], setting)


def _is_absolute(path: str) -> bool:
    """Whether each folder of a PATH is the same from wherever it is looked for."""
    return all(folder.startswith("/") for folder in path.split(":"))


def plain_words(line: str) -> list[str]:
    """The words of a command that means the same without a shell, which costs half as much; empty where it may not."""
    if not _PLAIN.fullmatch(line):
        return []
    words = line.split()
    return [] if not words or words[0] in _OF_THE_SHELL or "=" in words[0] else words


def _spawn(words: list[str], setting: Setting) -> Process:
    environ = {**setting.environ, **encoded({"PWD": str(setting.folder)})}
    if setting.user is None:
        return spawn([*setting.prefix, *words], environ, setting.folder)
    becoming, carried = users.setpriv_words(setting.user, setting.folder, environ)
    # env(1) takes a word with = for a variable.
    plainly = [*_PLAINLY, *words] if "=" in words[0] else words
    return spawn([*setting.prefix, *becoming, *plainly], carried, Path("/"), owner=setting.user.pw_uid)


class Underway:
    """One command under way. It belongs to the thread that started it, or to the one that this hands it to.

    Whoever follows it takes the output and waits for the process at once: the end of the output is not the end of the
    process, nor the other way round. Requests to end it, and its own deadlines, become signals to the whole group.
    """

    def __init__(self, process: Process, clock: int, setting: Setting, output: Output, control: Cancellation) -> None:
        """`clock` is when it was started, in nanoseconds of the monotonic clock."""
        self._process = process
        self._clock = clock
        self._setting = setting
        self._output = output
        self._control = control
        self._deadline = None if setting.timeout is None else clock / 1e9 + setting.timeout
        self._kill_at: float | None = None
        self._give_up_at: float | None = None
        # When the process ended, in nanoseconds of the monotonic clock and as an instant.
        self._end_of_process: tuple[int, datetime] | None = None
        self._descriptors = [process.output]
        with self._never_alone():
            # It can be read as soon as the process has ended. None where there is no descriptor for it yet: then only
            # follow() can go on, because it waits for one.
            self.ended = self._opened(lambda: os.pidfd_open(process.pid))

    def _opened(self, opened: Callable[[], int]) -> int | None:
        try:
            self._descriptors.append(opened())
        except OSError as error:
            if not scarcity.is_scarce(error):
                raise
            return None
        return self._descriptors[-1]

    def _granted(self, opened: Callable[[], int]) -> int:
        """Wait for a descriptor: a command is not killed halfway because others hold them all.

        A request to end it and its own deadlines hold meanwhile.
        """
        while (descriptor := self._opened(opened)) is None:
            now = time.monotonic()
            if self._control.reason:
                self._end(now)
            self._heed(now)
            time.sleep(_STARVED_SECONDS)
        return descriptor

    @contextmanager
    def _never_alone(self) -> Iterator[None]:
        """No fault of ours leaves the command running with nobody to look after it."""
        try:
            yield
        except BaseException:
            _signal_group(self._process, signal.SIGKILL)
            self._close()
            self._process.leave()
            raise

    def _close(self) -> None:
        while self._descriptors:
            os.close(self._descriptors.pop())

    def _note_end(self) -> None:
        """The run's duration ends with its process: what comes after is a wait for output that others may print."""
        if self._end_of_process is None:
            self._end_of_process = time.monotonic_ns(), datetime.now(UTC)

    def _outcome(self) -> Outcome:
        self._close()
        self._note_end()
        assert self._end_of_process
        clock, instant = self._end_of_process
        outcome = _outcome(self._process.exit_code, self._control, clock - self._clock, instant)
        if self._setting.user and (why := users.obstacle(outcome.exit_code, self._output.read(0, _LINE)[0])):
            message = f"the command cannot be started in {self._setting.folder}: {why}"
            return msgspec.structs.replace(outcome, message=message)
        return outcome

    def end(self) -> Outcome | None:
        """Without waiting for anything, the outcome of a command whose process has ended.

        None where follow() is to see to its output: where there is more than fits into memory, or more may come, as a
        process that left the group holds it.
        """
        with self._never_alone():
            self._note_end()
            _signal_group(self._process, signal.SIGKILL)
            os.set_blocking(self._process.output, False)
            with suppress(BlockingIOError):
                while room := self._output.room:
                    if not self._take(room):
                        self._process.wait()
                        return self._outcome()
        return None

    def follow(self) -> Outcome:
        """Return when the command has ended, or cannot be ended."""
        with self._never_alone():
            ended = self._granted(lambda: os.pidfd_open(self._process.pid)) if self.ended is None else self.ended
            asked = self._granted(lambda: os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC))
            with self._control.heard_by(lambda: os.eventfd_write(asked, 1)):
                self._follow(ended, asked)
            return self._outcome()

    def _follow(self, ended: int, asked: int) -> None:
        poller = select.poll()
        for descriptor in (ended, self._process.output, asked):
            poller.register(descriptor, select.POLLIN)
        while self._give_up_at is None or time.monotonic() < self._give_up_at:
            ready = {descriptor for descriptor, _ in poller.poll(self._patience())}
            if ended in ready:
                self._finish()
                return
            if self._process.output in ready and not self._take():
                poller.unregister(self._process.output)
            if asked in ready:
                os.eventfd_read(asked)
                self._end(time.monotonic())
            self._heed(time.monotonic())
        self._process.leave()

    def _finish(self) -> None:
        """The command has ended: end what is left of its group, take what is left of the output."""
        self._note_end()
        _signal_group(self._process, signal.SIGKILL)
        self._drain()
        self._process.wait()

    def _heed(self, now: float) -> None:
        if self._deadline is not None and now >= self._deadline:
            self._deadline = None
            reason = f"timed out after {self._setting.timeout:g} s"
            self._control.cancel(reason, state=State.TIMED_OUT)
        if self._kill_at is not None and now >= self._kill_at:
            self._kill(now)
        if now >= self._output.spill_at:
            self._output.spill()

    def _end(self, now: float) -> None:
        if self._control.is_forced:
            self._kill(now)
        elif self._kill_at is None:
            _signal_group(self._process, signal.SIGTERM)
            # One that is stopped would hear of it only when it goes on.
            _signal_group(self._process, signal.SIGCONT)
            self._kill_at = now + self._setting.kill_grace

    def _kill(self, now: float) -> None:
        _signal_group(self._process, signal.SIGKILL)
        self._kill_at = float("inf")
        self._give_up_at = now + _GIVE_UP_SECONDS

    def _patience(self) -> float | None:
        """Milliseconds until something is to be done, should nothing come; None is for ever."""
        now = time.monotonic()
        instants = [at for at in (self._deadline, self._kill_at, self._give_up_at) if at is not None]
        wait = min([*instants, self._output.spill_at]) - now
        return None if wait == float("inf") else min(max(0.0, wait) * 1000, _LONGEST_WAIT)

    def _take(self, size: int = _CHUNK) -> bool:
        """Take some of the output that is there; False at its end."""
        if data := os.read(self._process.output, size):
            self._output.write(data)
        return bool(data)

    def _drain(self) -> None:
        os.set_blocking(self._process.output, False)
        poller = select.poll()
        poller.register(self._process.output, select.POLLIN)
        deadline = time.monotonic() + _DRAIN_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            try:
                if not self._take():
                    return
            except BlockingIOError:  # a process that left the group holds it
                poller.poll(left * 1000)


def _signal_group(process: Process, number: signal.Signals) -> None:
    # The leader is not reaped yet, so the group's number cannot be another's. A group of which every process became
    # another user's cannot be signalled; such a run ends by itself.
    with suppress(PermissionError, ProcessLookupError):
        os.killpg(process.pid, number)


def _outcome(code: int | None, control: Cancellation, duration: int, ended_at: datetime) -> Outcome:
    if code is None:
        state = control.state
        message = f"{control.reason}; its processes could not be killed and may still be running"
    else:
        state = control.state if control.reason else State.FAILED if code else State.SUCCEEDED
        message = control.reason or _message(code)
    return Outcome(
        state=state,
        ended_at=ended_at,
        duration=duration,
        message=message,
        exit_code=code if code is not None and code >= 0 else None,
        signal=-code if code is not None and code < 0 else None,
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
