"""Commands mean the same as by `/bin/sh -c`; their output is kept, and no process of theirs stays behind."""

import errno
import os
import resource
import select
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kala.core.run import Outcome, State
from kala.runner import command
from kala.runner import output as output_module
from kala.runner.cancellation import Cancellation
from kala.runner.command import CommandContext
from kala.runner.environment import encoded
from kala.runner.output import Output
from kala.runner.scarcity import CannotStart
from kala.runner.spool import live_path_of

ENVIRON = {"PATH": "/usr/bin:/bin", "LANG": "C"}
PATIENCE = 10


class Watched(Output):
    """An output with events for what is printed."""

    def __init__(self, folder: Path, limit: int = 1 << 20) -> None:
        super().__init__(folder, 1, limit)
        self._awaited: list[tuple[bytes, Event]] = []
        self._seen = b""

    def write(self, data: bytes) -> None:
        super().write(data)
        self._seen += data
        for text, event in self._awaited:
            if text in self._seen:
                event.set()

    def expect(self, text: bytes) -> Event:
        event = Event()
        self._awaited.append((text, event))
        return event

    def text(self) -> str:
        data = self.close()
        return (self.path.read_bytes() if data is None else data).decode()


@pytest.fixture
def output(tmp_path):
    output = Watched(tmp_path)
    yield output
    output.close()


@pytest.fixture
def run(tmp_path, output):
    """Return a function that runs a line and returns its outcome and output."""

    def run(line: str, folder: Path = tmp_path, **options: object) -> tuple[Outcome, str]:
        outcome = command.run(line, context(folder, **options), output, Cancellation())
        return outcome, output.text()

    return run


def context(folder: Path, **options: object) -> CommandContext:
    return CommandContext(**{"environ": encoded(ENVIRON), "folder": folder, "kill_grace": PATIENCE} | options)


def by_the_shell(line: str, folder: Path | None = None) -> tuple[int, str]:
    done = subprocess.run(
        ["/bin/sh", "-c", "--", line],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=ENVIRON,
        cwd=folder,
        check=False,
    )
    return done.returncode, done.stdout.decode()


def has_ended(process: int) -> bool:
    """Return whether a process has ended, or ends in time."""
    try:
        descriptor = os.pidfd_open(process)
    except ProcessLookupError:
        return True
    ready, _, _ = select.select([descriptor], [], [], PATIENCE)
    os.close(descriptor)
    return bool(ready)


class TestALine:
    @pytest.mark.parametrize(
        ("line", "printed"),
        [
            ("echo hello", "hello\n"),
            ("printf 'b\\na\\n' | sort", "a\nb\n"),
            ("printf 'b\\na\\n' | sort > c; cat c", "a\nb\n"),
            ("echo one > c && echo two >> c && cat < c", "one\ntwo\n"),
            ("echo 'single  $HOME' \"double  $LANG\"", "single  $HOME double  C\n"),
            ('NAME=ann; echo "I am $NAME"', "I am ann\n"),
            ("echo `echo backticks` $(echo substitution)", "backticks substitution\n"),
            ("echo a; echo b >&2; echo c", "a\nb\nc\n"),
            ("false || echo or; true && echo and", "or\nand\n"),
            ("for i in 1 2 3; do echo $i; done", "1\n2\n3\n"),
            ("cat <<END\nhere\nEND", "here\n"),
            ("echo one\necho two", "one\ntwo\n"),
            ("echo x # a comment", "x\n"),
            ("X=1 sh -c 'echo $X'", "1\n"),
            ("echo  many\t blanks ", "many blanks\n"),
            ("touch b a; echo ?", "a b\n"),
        ],
    )
    def test_means_what_it_means_to_the_shell(self, run, line, printed):
        assert run(line)[1] == printed

    @pytest.mark.parametrize(
        "line",
        ["echo one\r\necho two\r\n", "if true\r\nthen echo one\r\nfi\r\necho two", "cat <<E\r\none\r\ntwo\r\nE\r\n"],
    )
    def test_may_end_with_crlf(self, run, line):
        outcome, printed = run(line)
        assert (outcome.exit_code, printed) == (0, "one\ntwo\n")

    def test_keeps_a_carriage_return_within_a_line(self, run):
        assert run("printf %s 'a\rb'")[1] == "a\rb"

    @pytest.mark.parametrize(
        ("line", "code"), [("exit 3", 3), ("cd /", 0), ("test 1 = 2", 1), (":", 0), ("umask 022", 0), ("false", 1)]
    )
    def test_may_be_a_builtin_of_the_shell(self, run, line, code):
        assert run(line)[0].exit_code == code

    def test_fails_with_127_and_the_shells_message_if_the_program_does_not_exist(self, run):
        outcome, printed = run("no-such-program --with arguments")
        assert (outcome.state, outcome.exit_code, outcome.message) == ("failed", 127, "exit status 127")
        assert printed == by_the_shell("no-such-program --with arguments")[1]
        assert "no-such-program: not found" in printed

    def test_fails_with_126_if_the_file_is_not_executable(self, run, tmp_path):
        (tmp_path / "notes.txt").write_text("not a program")
        assert run("./notes.txt")[0].exit_code == 126

    def test_may_be_a_script_without_a_shebang(self, run, tmp_path):
        (tmp_path / "script").write_text("echo I ran with $1\n")
        (tmp_path / "script").chmod(0o755)
        assert run("./script care")[1] == "I ran with care\n"

    def test_may_begin_with_a_dash_without_being_an_option_of_the_shell(self, run):
        assert run("-x")[0].exit_code == 127

    def test_runs_in_its_working_directory(self, run, tmp_path):
        assert run("pwd; echo $PWD; /bin/pwd")[1] == f"{tmp_path}\n" * 3

    def test_gets_the_environment_and_nothing_else(self, run, tmp_path):
        assert sorted(run("env")[1].splitlines()) == ["LANG=C", "PATH=/usr/bin:/bin", f"PWD={tmp_path}"]

    def test_gets_an_empty_input_instead_of_kalas(self, run, tmp_path):
        (tmp_path / "input").write_text("what somebody types")
        kalas, given = os.dup(0), os.open(tmp_path / "input", os.O_RDONLY)
        os.dup2(given, 0)
        try:
            assert run("wc -c")[1] == "0\n"
        finally:
            os.dup2(kalas, 0)
            os.close(kalas)
            os.close(given)

    def test_has_its_own_session_and_process_group(self, run):
        [pid, group, session] = run("cut -d ' ' -f 1,5,6 /proc/$$/stat; true")[1].split()
        assert pid == group == session

    def test_cannot_start_in_a_directory_that_does_not_exist(self, run, tmp_path):
        outcome, _ = run("true", folder=tmp_path / "gone")
        assert outcome.state == "failed"
        assert outcome.message == f"the command cannot be started in {tmp_path}/gone: No such file or directory"

    def test_that_cannot_start_raises_with_the_outcome_of_its_run(self, tmp_path, output):
        with pytest.raises(CannotStart, match=r"^the command cannot be started in /no/such: ") as failed:
            command.start("true", context(Path("/no/such")), output, Cancellation())
        assert (failed.value.outcome.state, failed.value.outcome.message) == ("failed", str(failed.value))

    @pytest.mark.parametrize(
        ("number", "message"),
        [
            (errno.EAGAIN, "Kala has reached its limit of processes (TasksMax= of its unit, or ulimit -u)"),
            (errno.EMFILE, "Kala has reached its limit of open files (LimitNOFILE= of its unit, or ulimit -n)"),
        ],
    )
    @pytest.mark.parametrize("line", ["true", "true; true"])
    def test_cannot_start_without_resources_and_names_the_missing_one(self, run, monkeypatch, line, number, message):
        def lacking(*_: object, **__: object) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(command, "spawn", lacking)
        outcome, _ = run(line)
        assert (outcome.state, outcome.message) == (State.FAILED, f"the command cannot be started: {message}")

    @pytest.mark.parametrize("name", ["pidfd_open", "eventfd"])
    def test_is_not_killed_when_no_descriptor_is_left_to_watch_it(self, run, monkeypatch, name):
        monkeypatch.setattr(command, "_DESCRIPTOR_RETRY_SECONDS", 0.01)
        refusals, really = iter([errno.EMFILE, errno.ENFILE]), getattr(os, name)

        def starved(*arguments: int) -> int:
            for number in refusals:
                raise OSError(number, os.strerror(number))
            return really(*arguments)

        monkeypatch.setattr(os, name, starved)
        outcome, printed = run("sleep 0.2; echo all of it")
        assert (outcome.state, printed) == (State.SUCCEEDED, "all of it\n")
        assert next(refusals, None) is None

    def test_cannot_be_longer_than_the_system_allows(self, run):
        assert run("echo " + "x" * 200_000)[0].message.endswith(": Argument list too long")


class TestAPlainLine:
    """A line without shell syntax is started without the shell: that costs half as much, and means the same."""

    @pytest.mark.parametrize("line", ["ls", "ls -l /tmp", "/bin/echo a=b %x @y +1", "  date\t+%s ", "./run.sh --a=1,2"])
    def test_is_started_directly(self, line):
        assert command.plain_words(line) == line.split()

    @pytest.mark.parametrize("syntax", list("|&;<>()$`\\\"'*?[]#~{}!^\n\r\x00é"))
    def test_has_no_character_that_a_shell_interprets(self, syntax):
        assert command.plain_words(f"ls a{syntax}b") == []
        assert command.plain_words(f"ls{syntax}") == []

    @pytest.mark.parametrize("line", ["", " ", "X=1", "X=1 ls", "cd /tmp", "echo x", ". ./x", "exec ls", "time ls"])
    def test_does_not_begin_with_a_word_of_the_shell(self, line):
        assert command.plain_words(line) == []

    @settings(max_examples=60)
    @given(st.lists(st.text("aZ09_@%+:,./=-", min_size=1, max_size=6), max_size=4), st.sampled_from([" ", "  ", "\t"]))
    def test_prints_the_same_as_by_the_shell(self, tmp_path_factory, words, blank):
        line = blank.join(["/bin/echo", *words])
        assert command.plain_words(line)
        output = Watched(tmp_path_factory.getbasetemp())
        outcome = command.run(line, context(Path("/")), output, Cancellation())
        assert (outcome.exit_code, output.text()) == by_the_shell(line)

    @pytest.mark.parametrize("word", ["-", "--", "+x", "%1", "@", ",", "a:b", "/", "/tmp", ".hidden", "no/such/path"])
    def test_fails_as_by_the_shell(self, run, tmp_path, word):
        outcome, printed = run(word)
        assert (outcome.exit_code, printed) == by_the_shell(word, tmp_path)


class TestTheOutcome:
    def test_of_success_has_exit_status_0_and_no_message(self, run):
        outcome, _ = run("true")
        assert (outcome.state, outcome.exit_code, outcome.message) == ("succeeded", 0, "")

    def test_of_failure_names_the_exit_status(self, run):
        outcome, _ = run("exit 3")
        assert (outcome.state, outcome.exit_code, outcome.message) == ("failed", 3, "exit status 3")

    @pytest.mark.parametrize(
        ("number", "message"),
        [(9, "killed by SIGKILL"), (11, "killed by SIGSEGV"), (15, "killed by SIGTERM"), (40, "killed by signal 40")],
    )
    def test_of_a_killed_command_names_the_signal(self, run, number, message):
        outcome, _ = run(f"kill -{number} $$")
        assert (outcome.state, outcome.exit_code, outcome.signal) == ("failed", None, number)
        assert outcome.message == message

    def test_comes_with_a_truncated_output_beyond_the_limit(self, tmp_path):
        output = Watched(tmp_path, limit=1000)
        command.run("head -c 300000 /dev/zero", context(tmp_path), output, Cancellation())
        assert "bytes omitted here" in output.text()

    def test_has_no_file_without_output(self, run, output):
        run("true")
        assert not output.path.exists()

    def test_has_the_duration(self, run):
        assert 50_000_000 <= run("sleep 0.05")[0].duration < PATIENCE * 10**9


class TestAChildProcess:
    def test_in_the_process_group_is_killed_when_the_command_ends(self, run):
        _, printed = run("sleep 60 & echo $!")
        assert has_ended(int(printed))

    def test_is_killed_even_if_it_ignores_sigterm(self, run):
        _, printed = run("sh -c 'trap \"\" TERM HUP; echo $$ > pid; sleep 60' & until [ -s pid ]; do :; done; cat pid")
        assert has_ended(int(printed))

    def test_that_left_the_group_and_holds_the_pipe_does_not_keep_the_run(self, run, monkeypatch):
        assert command._DRAIN_SECONDS <= 1
        monkeypatch.setattr(command, "_DRAIN_SECONDS", 0.1)
        outcome, printed = run("setsid sh -c 'echo $$ > pid; sleep 60' & until [ -s pid ]; do :; done; cat pid; exit 4")
        os.kill(int(printed), 9)
        assert outcome.exit_code == 4
        assert outcome.duration < PATIENCE * 10**9

    def test_that_holds_the_pipe_does_not_count_for_the_duration(self, run):
        before = datetime.now(UTC)
        late = "setsid sh -c 'echo 1 > there; sleep 0.5; echo late' & until [ -s there ]; do :; done; echo early"
        outcome, printed = run(late)
        assert printed == "early\nlate\n"
        assert datetime.now(UTC) - before >= timedelta(seconds=0.5)
        assert outcome.duration < 450_000_000
        assert outcome.ended_at - before < timedelta(seconds=0.45)

    def test_that_left_the_group_may_still_print_briefly(self, run):
        late = "setsid sh -c 'echo 1 > there; until [ -s said ]; do :; done; sleep 0.05; echo late'"
        early = "until [ -s there ]; do :; done; echo early; echo 1 > said"
        assert run(f"{late} & {early}")[1] == "early\nlate\n"

    def test_leaves_bytes_in_the_pipe_that_are_kept(self, run):
        _, printed = run("head -c 60000 /dev/zero | tr '\\0' x")
        assert printed == "x" * 60_000

    def test_keeps_its_run_when_it_closes_its_output(self, run):
        outcome, _ = run("exec >&- 2>&-; sleep 0.05; exit 5")
        assert outcome.exit_code == 5
        assert outcome.duration >= 50_000_000


class TestCancelling:
    @pytest.fixture
    def began(self, tmp_path, output):
        """Return a function that starts a line in the background and returns its cancellation and future outcome."""
        with ThreadPoolExecutor() as pool:

            def began(line: str, **options: object):
                cancellation, is_ready = Cancellation(), output.expect(b"ready")
                outcome = pool.submit(command.run, line, context(tmp_path, **options), output, cancellation)
                assert is_ready.wait(PATIENCE)
                return cancellation, outcome

            yield began

    def test_sends_sigterm_to_the_whole_group(self, began, output):
        cancellation, outcome = began("trap 'echo bye; exit 0' TERM; echo ready; sleep 60 & wait")
        cancellation.cancel("stopped by ann@example.org")
        ended = outcome.result(PATIENCE)
        assert (ended.state, ended.message) == ("cancelled", "stopped by ann@example.org")
        assert output.text() == "ready\nbye\n"

    @pytest.mark.parametrize(("line", "signal"), [("kill -STOP $$", 15), ("trap 'exit 7' TERM; kill -STOP $$", None)])
    def test_continues_a_stopped_process_so_that_it_gets_the_signal(self, began, output, line, signal):
        cancellation, outcome = began(f"echo $$; echo ready; {line}", kill_grace=PATIENCE / 2)
        stat = Path(f"/proc/{output.read(0, 20)[0].split()[0].decode()}/stat")
        deadline = time.monotonic() + PATIENCE
        while ") T " not in stat.read_text():
            assert time.monotonic() < deadline
        cancellation.cancel("stopped by ann@example.org")
        assert outcome.result(PATIENCE).signal == signal

    def test_by_force_kills_a_command_that_ignores_sigterm(self, began, output):
        stays = output.expect(b"I stay")
        cancellation, outcome = began("trap 'echo I stay' TERM; echo ready; while :; do sleep 0.01; done")
        cancellation.cancel("stopped by ann@example.org")
        assert stays.wait(PATIENCE)
        cancellation.cancel("Kala stops", force=True)
        ended = outcome.result(PATIENCE)
        assert (ended.state, ended.signal) == ("cancelled", 9)

    def test_kills_the_whole_group_after_the_grace_period(self, began, output):
        child = "sh -c 'trap \"\" TERM; echo $$; sleep 60'"
        line = f"trap 'echo I stay' TERM; {child} & echo ready; while :; do sleep 0.01; done"
        cancellation, outcome = began(line, kill_grace=0.3)
        cancellation.cancel("stopped by ann@example.org")
        ended = outcome.result(PATIENCE)
        assert (ended.state, ended.signal) == ("cancelled", 9)
        assert "I stay" in output.text()
        assert ended.duration >= 300_000_000
        assert all(has_ended(int(word)) for word in output.text().split() if word.isdigit())

    def test_again_does_not_extend_the_grace_period(self, began):
        cancellation, outcome = began("trap '' TERM; echo ready; while :; do sleep 0.01; done", kill_grace=0.3)
        for _ in range(10):
            cancellation.cancel("stopped by ann@example.org")
            time.sleep(0.1)
        assert outcome.result(PATIENCE).duration < 900_000_000

    def test_ends_a_command_that_closed_its_output(self, began):
        cancellation, outcome = began("echo ready; exec >&- 2>&-; exec sleep 60")
        cancellation.cancel("stopped by ann@example.org")
        assert outcome.result(PATIENCE).state == "cancelled"

    def test_records_the_first_reason(self, began):
        cancellation, outcome = began("echo ready; sleep 60")
        cancellation.cancel("first")
        cancellation.cancel("second")
        assert outcome.result(PATIENCE).message == "first"

    def test_before_the_start_ends_the_command_as_soon_as_it_starts(self, tmp_path, output):
        cancellation = Cancellation()
        cancellation.cancel("stopped by ann@example.org")
        outcome = command.run("sleep 60", context(tmp_path), output, cancellation)
        assert (outcome.state, outcome.signal) == ("cancelled", 15)

    def test_after_the_end_changes_nothing(self, tmp_path, output):
        cancellation = Cancellation()
        outcome = command.run("true", context(tmp_path), output, cancellation)
        cancellation.cancel("too late", force=True)
        assert outcome.state == "succeeded"


class TestTheTimeout:
    def test_ends_a_command_that_takes_longer(self, run):
        outcome, printed = run("echo begun; exec sleep 60", timeout=0.2)
        assert (outcome.state, outcome.message, outcome.signal) == ("timed_out", "timed out after 0.2 s", 15)
        assert printed == "begun\n"
        assert 200_000_000 <= outcome.duration < PATIENCE / 2 * 10**9

    def test_lets_the_command_clean_up(self, run):
        outcome, printed = run("trap 'echo bye; exit 0' TERM; sleep 60 & wait", timeout=0.2)
        assert (outcome.state, outcome.exit_code, printed) == ("timed_out", 0, "bye\n")

    def test_kills_a_command_that_outlives_the_grace_period(self, run):
        outcome, _ = run("trap '' TERM; while :; do sleep 0.01; done", timeout=0.2, kill_grace=0.2)
        assert (outcome.state, outcome.signal) == ("timed_out", 9)
        assert outcome.duration >= 400_000_000

    def test_holds_for_a_command_that_prints_all_the_time(self, run):
        assert run("yes", timeout=0.2)[0].state == "timed_out"

    def test_holds_for_a_command_that_closed_its_output(self, run):
        assert run("exec >&- 2>&-; exec sleep 60", timeout=0.2)[0].state == "timed_out"

    @pytest.mark.parametrize("field", ["timeout", "kill_grace"])
    def test_may_be_longer_than_poll_can_wait(self, run, field):
        outcome, printed = run("sleep 0.1; echo done", **{field: 60.0 * 60 * 24 * 365 * 1000})
        assert (outcome.state, printed) == ("succeeded", "done\n")

    def test_does_not_affect_a_command_that_ends_in_time(self, run):
        outcome, _ = run("exit 3", timeout=PATIENCE)
        assert (outcome.state, outcome.message) == ("failed", "exit status 3")


class TestTheContext:
    @pytest.mark.parametrize("path", ["bin:/usr/bin:/bin", ":/usr/bin:/bin"])
    @pytest.mark.parametrize("line", ["date", "date;"])
    def test_has_a_path_relative_to_the_working_directory(self, run, tmp_path, path, line):
        program = tmp_path / path.partition(":")[0] / "date"
        program.parent.mkdir(exist_ok=True)
        program.write_text("#!/bin/sh\necho ours\n")
        program.chmod(0o755)
        assert run(line, environ=encoded({"PATH": path}))[1] == "ours\n"

    def test_has_the_shell_that_runs_the_line(self, run):
        assert run("echo ${BASH_VERSION:+bash}", shell="/bin/bash")[1] == "bash\n"

    @pytest.mark.parametrize(("line", "words"), [("ls -l", "-c ls -l"), ("-l", "-c -- -l"), ("+x", "-c -- +x")])
    def test_has_a_shell_that_runs_plain_lines_as_well(self, run, tmp_path, line, words):
        shell = tmp_path / "shell"
        shell.write_text('#!/bin/sh\necho "$@"\n')
        shell.chmod(0o755)
        assert run(line, shell=str(shell))[1] == f"{words}\n"

    def test_accepts_any_program_with_a_c_option_as_shell(self, run):
        assert run("print(1 + 1)", shell=sys.executable)[1] == "2\n"

    def test_names_a_shell_that_does_not_exist(self, run):
        outcome, _ = run("true", shell="/no/such/shell")
        assert outcome.state == "failed"
        assert outcome.message == "the command cannot be started with /no/such/shell: No such file or directory"

    @pytest.mark.parametrize("line", ["touch new", "touch new; true"])
    def test_has_the_umask(self, run, tmp_path, line):
        run(line, umask="077")
        assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600


class TestThePrintedOutput:
    """It is written to disk after a while, so that it survives a crash of Kala."""

    @pytest.mark.parametrize("rest", ["exec sleep 60", "while :; do echo; sleep 0.01; done"])
    def test_is_on_disk_after_a_second_whether_or_not_more_comes(self, tmp_path, monkeypatch, rest):
        assert output_module._SPILL_SECONDS <= 1
        monkeypatch.setattr("kala.runner.output._SPILL_SECONDS", 0.05)
        output = Watched(tmp_path)
        with ThreadPoolExecutor() as pool:
            cancellation = Cancellation()
            outcome = pool.submit(command.run, f"echo hello; {rest}", context(tmp_path), output, cancellation)
            deadline = time.monotonic() + PATIENCE
            on_the_way = live_path_of(tmp_path, 1)
            while not (on_the_way.exists() and on_the_way.stat().st_size) and time.monotonic() < deadline:
                time.sleep(0.01)
            on_disk = on_the_way.read_bytes()
            cancellation.cancel("enough")
            outcome.result(PATIENCE)
        assert on_disk.startswith(b"hello\n")
        assert output.close().startswith(on_disk)

    def test_beyond_the_limit_is_on_disk_after_a_second_as_far_as_it_is_kept(self, tmp_path, monkeypatch):
        monkeypatch.setattr("kala.runner.output._SPILL_SECONDS", 0.05)
        output, cancellation, end = Watched(tmp_path, limit=1000), Cancellation(), b"the end\n"
        with ThreadPoolExecutor() as pool:
            line = "head -c 50000 /dev/zero; echo the end; exec sleep 60"
            outcome = pool.submit(command.run, line, context(tmp_path), output, cancellation)
            deadline = time.monotonic() + PATIENCE
            on_disk = []
            while end not in on_disk and time.monotonic() < deadline:
                time.sleep(0.01)
                with suppress(FileNotFoundError):  # a segment that was removed meanwhile
                    on_disk = [file.read_bytes()[-len(end) :] for file in tmp_path.glob("live/1.out.*")]
            cancellation.cancel("enough")
            outcome.result(PATIENCE)
        assert end in on_disk
        assert output.text().endswith("the end\n")

    def test_is_read_to_the_end_however_many_descriptors_are_open(self, run):
        most = resource.getrlimit(resource.RLIMIT_NOFILE)
        if most[1] < 2048:
            pytest.skip("the system allows no descriptor above 1023, the last one that select(2) takes")
        resource.setrlimit(resource.RLIMIT_NOFILE, (2048, most[1]))
        with ExitStack() as opened:
            opened.callback(resource.setrlimit, resource.RLIMIT_NOFILE, most)
            for _ in range(1100):
                opened.enter_context(open(os.devnull))  # noqa: PTH123  the stack closes it
            outcome, printed = run("(exec setsid sh -c 'sleep 0.2; echo late') & echo done; sleep 0.1")
        assert (outcome.state, printed) == ("succeeded", "done\nlate\n")

    def test_stays_in_memory_if_the_command_ends_soon(self, run, output):
        run("echo hello")
        assert not output.is_spooled
