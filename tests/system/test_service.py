"""Kala as a service: start and stop, log, signals, systemd, background, and refusals."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time
from contextlib import closing, suppress
from http.client import HTTPException

import pytest

FAR = "R/2099-01-01T00:00:00Z/PT1H"
PATIENCE = 30
# How long to wait for a watchdog beat that must not come. Beats come every half second.
SILENCE = 2.0
WATCHDOG = {"WATCHDOG_USEC": "1000000"}
STARTED = ("running", "succeeded", "failed", "cancelled", "lost")


def refusal(kala) -> str:
    """Start Kala, which must fail; return its error message."""
    kala.launch()
    assert kala.says("kala: ", "answers on").startswith("kala: ")
    assert kala.ended() > 0
    return one_sentence(kala.log)


def one_sentence(text) -> str:
    [line] = text.splitlines()
    assert line.startswith("kala: ")
    return line


class TestStopping:
    def test_ctrl_c_lets_a_running_command_finish_and_starts_no_other(self, kala, soon):
        every_second = kala.create(schedule=f"R/{soon(0.2)}/PT1S")
        job = kala.create(command="sleep 2; echo slept")
        kala.runs(job, 1, ("running",))
        kala.send(signal.SIGINT)
        kala.says("stopping; runs have 30 s to finish")
        told = time.time() * 1e6
        assert kala.ended() == 0
        [run] = kala.runs(job)
        assert run["state"] == "succeeded"
        assert run["output_size"] == len("slept\n")
        assert all(run["started_at"] < told for run in kala.runs(every_second))

    def test_a_command_that_outlives_the_grace_gets_term_and_ends_as_cancelled(self, serve):
        kala = serve("--shutdown-grace", "0.1")
        job = kala.create(command="trap 'echo told; exit 0' TERM; echo ready; while :; do sleep 0.05; done")
        output(kala, job, "ready")
        kala.send(signal.SIGINT)
        assert kala.ended() == 0
        [run] = kala.runs(job)
        assert run["state"] == "cancelled"
        assert run["message"] == "cancelled because Kala was stopped"
        assert output(kala, job, "told")

    def test_a_command_that_ignores_term_is_killed_after_the_second_grace(self, serve):
        kala = serve("--shutdown-grace", "0.1", "--kill-grace", "0.5")
        job = kala.create(command="trap 'echo told' TERM; echo ready; while :; do sleep 0.05; done")
        output(kala, job, "ready")
        clock = time.monotonic()
        kala.send(signal.SIGINT)
        assert kala.ended() == 0
        assert time.monotonic() - clock >= 0.6
        [run] = kala.runs(job)
        assert run["state"] == "cancelled"
        assert run["signal"] == signal.SIGKILL
        assert output(kala, job, "told")

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_second_signal_skips_the_grace(self, serve, number):
        kala = serve("--shutdown-grace", "300", "--kill-grace", "1")
        job = kala.create(command="sleep 300")
        kala.runs(job, 1, ("running",))
        kala.send(number)
        kala.says("stopping; runs have 300 s to finish")
        kala.send(number)
        assert kala.ended() == 0
        assert kala.runs(job)[0]["state"] == "cancelled"
        assert "asked to stop again" in kala.log

    def test_a_stop_is_quick_when_nothing_runs(self, make):
        cpus = os.sched_getaffinity(0)
        try:
            os.sched_setaffinity(0, {min(cpus)})  # on one processor, threads run in an order that shows races
            for _ in range(10):
                kala = make().start()
                kala.settle()
                clock = time.monotonic()
                assert kala.stop() == 0
                # Requests in flight and runs to be reaped may take five seconds each; there are none.
                assert time.monotonic() - clock < 4, kala.log
        finally:
            os.sched_setaffinity(0, cpus)

    def test_a_stop_leaves_the_whole_database_in_one_file(self, kala):
        kala.settle()
        kala.stop()
        assert sorted(path.name for path in kala.data.iterdir()) == ["kala.db", "kala.lock", "output"]

    def test_a_request_in_flight_is_answered(self, kala, eventually):
        host, port = re.search(r"http://(.*):(\d+)", kala.address).groups()
        body = json.dumps({"name": "late", "command": "/bin/true"}).encode()
        lines = ("POST /api/v1/job/ HTTP/1.1", f"Host: {host}", "Expect: 100-continue", f"Content-Length: {len(body)}")
        with socket.create_connection((host, int(port)), PATIENCE) as client, client.makefile("rb") as answer:
            client.sendall("\r\n".join([*lines, "", ""]).encode())
            assert b"100 Continue" in answer.readline()
            kala.send(signal.SIGTERM)
            eventually(lambda: is_refused(host, int(port)))
            client.sendall(body)
            assert answer.readline() == b"\r\n"
            assert b"201 Created" in answer.readline()
        assert kala.ended() == 0
        kala.start()
        [job] = kala.get("/job/").body["jobs"].values()
        assert job["name"] == "late"
        assert kala.runs(job["id"], 1)[0]["state"] == "succeeded"


def is_refused(host, port) -> bool:
    try:
        socket.create_connection((host, port), PATIENCE).close()
    except ConnectionError:
        return True
    return False


OF_THE_RUN = {
    "KALA_JOB_ID",
    "KALA_JOB_NAME",
    "KALA_RUN_ID",
    "KALA_ATTEMPT",
    "KALA_SLOT",
    "KALA_CAUSE",
    "KALA_PARENT_RUN_ID",
}


def output(kala, job, last) -> list[str]:
    """Wait until this is the last line of the output of a job's first run; return its lines."""
    run = kala.runs(job, 1, STARTED)[0]["id"]
    deadline = time.monotonic() + PATIENCE
    while not (text := printed(kala, run)).endswith(f"{last}\n"):
        assert time.monotonic() < deadline, text
        time.sleep(0.02)
    return text.splitlines()


def printed(kala, run) -> str:
    """Return the output of a run: from Kala if it answers, else from its database."""
    try:
        return kala.output(run)[1].decode()
    except OSError:
        with closing(sqlite3.connect(kala.data / "kala.db")) as database:
            row = database.execute("SELECT data FROM output WHERE run_id = ?", (run,)).fetchone()
        return row[0].decode() if row else ""


class TestReload:
    def owner_of_a_new_job(self, kala):
        return kala.job(kala.create(schedule=FAR))["owner"]

    def test_hup_applies_the_default_owner(self, make):
        kala = make()
        kala.config.write_text('default_owner = "old@example.org"')
        kala.start()
        assert self.owner_of_a_new_job(kala) == "old@example.org"
        kala.config.write_text('default_owner = "new@example.org"')
        kala.send(signal.SIGHUP)
        kala.says("settings reloaded; changed: default_owner")
        assert self.owner_of_a_new_job(kala) == "new@example.org"

    @pytest.mark.parametrize("bad", ['default_owner = "new', "default_owner = 7", 'owner = "new@example.org"', None])
    def test_hup_with_a_bad_file_logs_it_and_keeps_the_settings(self, make, bad):
        kala = make("--log-format", "json")
        kala.config.write_text('default_owner = "old@example.org"')
        kala.start()
        kala.config.write_text(bad) if bad else kala.config.unlink()
        kala.send(signal.SIGHUP)
        line = json.loads(kala.says("keeping the current settings"))
        assert line["level"] == "error"
        assert line["action"] == "reload_failed"
        assert str(kala.config) in line["message"]
        assert self.owner_of_a_new_job(kala) == "old@example.org"
        assert "Traceback" not in kala.log

    def test_hup_names_what_only_a_restart_changes(self, kala):
        kala.config.write_text("workers = 3")
        kala.send(signal.SIGHUP)
        assert "warning" in kala.says("restart Kala to apply changes to workers")

    def test_no_hup_is_lost_while_requests_keep_kala_busy(self, kala, api, eventually):
        def ask():
            with closing(api(kala.address)) as client, suppress(OSError, HTTPException):
                while True:
                    client.get("/stats/")

        callers = [threading.Thread(target=ask) for _ in range(4)]
        for caller in callers:
            caller.start()
        try:
            for count in range(1, 401):
                kala.send(signal.SIGHUP)
                eventually(lambda: kala.log.count("settings reloaded") == count, pause=0.0005)  # noqa: B023
        finally:
            kala.kill()
            for caller in callers:
                caller.join()

    def test_hup_ends_no_run(self, kala):
        job = kala.create(command="sleep 0.5")
        kala.runs(job, 1, ("running",))
        kala.send(signal.SIGHUP)
        kala.says("settings reloaded")
        assert kala.runs(job, 1)[0]["state"] == "succeeded"


class Systemd:
    """systemd's end of the notify socket, and the messages received."""

    def __init__(self, path: str) -> None:
        self.environ = {"NOTIFY_SOCKET": path}
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.heard: list[str] = []

    def hears(self, start: str, limit: float = PATIENCE) -> str:
        """Return the next message that starts with the text. Raises TimeoutError if none comes in time."""
        deadline = time.monotonic() + limit
        while (left := deadline - time.monotonic()) > 0:
            self.socket.settimeout(left)
            self.heard.append(self.socket.recv(4096).decode())
            if self.heard[-1].startswith(start):
                return self.heard[-1]
        raise TimeoutError

    def misses(self, start: str) -> bool:
        """Return whether no more messages of this kind come."""
        deadline = time.monotonic() + 2 * SILENCE
        while time.monotonic() < deadline:
            try:
                self.hears(start, SILENCE)
            except TimeoutError:
                return True
        return False


@pytest.fixture
def systemd():
    # The path of a socket must be short, so it is not in tmp_path.
    with tempfile.TemporaryDirectory() as place:
        end = Systemd(f"{place}/n")
        with closing(end.socket):
            yield end


class TestSystemd:
    def test_ready_is_sent_when_requests_are_answered_and_after_a_status(self, make, systemd):
        kala = make(environ=systemd.environ)
        kala.launch()
        systemd.hears("READY=1")
        assert systemd.heard == ["STATUS=0 jobs, 0 running, nothing due", "READY=1"]
        kala.address = re.search(r"http://\S+", kala.says("answers on"))[0]
        assert kala.get("/stats/").status == 200

    def test_the_status_follows_what_happens(self, serve, systemd, soon):
        kala = serve(environ=systemd.environ)
        kala.create(command="sleep 300")
        systemd.hears("STATUS=1 job, 1 running, nothing due")
        kala.create(schedule=f"R0/{soon(3600)}")
        assert re.fullmatch(
            r"STATUS=2 jobs, 1 running, next run in (0:59:\d\d|1:00:00)", systemd.hears("STATUS=2 jobs")
        )

    def test_a_kala_that_does_not_start_never_sends_ready(self, make, systemd):
        kala = make("--data-dir", "/dev/null", environ=systemd.environ)
        refusal(kala)
        with pytest.raises(TimeoutError):
            systemd.hears("READY=1", 0.1)

    def test_an_idle_kala_sends_watchdog_beats_in_time(self, serve, systemd):
        serve(environ=systemd.environ | WATCHDOG)
        systemd.hears("WATCHDOG=1")
        for _ in range(4):
            systemd.hears("WATCHDOG=1", 1.0)

    def test_a_stopped_process_sends_no_watchdog_beat(self, serve, systemd):
        kala = serve(environ=systemd.environ | WATCHDOG)
        systemd.hears("WATCHDOG=1")
        kala.send(signal.SIGSTOP)
        assert systemd.misses("WATCHDOG=1")
        kala.send(signal.SIGCONT)
        systemd.hears("WATCHDOG=1")

    def test_a_stuck_engine_sends_no_watchdog_beat_though_requests_are_answered(self, serve, systemd):
        kala = serve(environ=systemd.environ | WATCHDOG)
        systemd.hears("WATCHDOG=1")
        with closing(sqlite3.connect(kala.data / "kala.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")  # no other connection can write during this
            assert systemd.misses("WATCHDOG=1")
            assert kala.get("/stats/").status == 200
            other.execute("ROLLBACK")
        systemd.hears("WATCHDOG=1")
        kala.settle()

    def test_a_reload_sends_reloading_with_the_time_and_then_ready(self, serve, systemd):
        kala = serve(environ=systemd.environ)
        systemd.hears("READY=1")
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        kala.send(signal.SIGHUP)
        began = int(re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=(\d+)", systemd.hears("RELOADING=1"))[1])
        assert before <= began <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        systemd.hears("READY=1")

    def test_a_failed_reload_sends_ready_too(self, serve, systemd):
        kala = serve(environ=systemd.environ)
        systemd.hears("READY=1")
        kala.config.write_text("nonsense")
        kala.send(signal.SIGHUP)
        systemd.hears("RELOADING=1")
        systemd.hears("READY=1")

    def test_a_stop_sends_stopping_with_the_time_that_it_may_take(self, serve, systemd):
        kala = serve("--shutdown-grace", "100", "--kill-grace", "10", environ=systemd.environ)
        kala.send(signal.SIGTERM)
        assert systemd.hears("STOPPING=1") == "STOPPING=1\nEXTEND_TIMEOUT_USEC=120000000"
        assert kala.ended() == 0


class TestBackground:
    @pytest.fixture
    def daemon(self, make):
        """Call `kala serve --daemon`, with a pid file and a log file in its home."""
        kala = make()
        kala.pid_file, kala.log_file = kala.home / "pid", kala.home / "log"
        files = ["--pid-file", str(kala.pid_file), "--log-file", str(kala.log_file)]
        kala.daemon = lambda *flags: kala.tell(
            "serve", "--daemon", "--port", "0", "--data-dir", str(kala.data), *files, *flags
        )
        return kala

    def test_the_parent_returns_when_kala_answers(self, daemon):
        started = daemon.daemon()
        daemon.address = re.search(r"http://\S+", daemon.log_file.read_text())[0]
        assert daemon.get("/stats/").status == 200
        assert (started.returncode, started.stdout, started.stderr) == (0, "", "")
        assert daemon.offspring() == [int(daemon.pid_file.read_text())]
        daemon.settle()
        assert "a probe: run 1 succeeded" in daemon.log_file.read_text()

    def test_a_second_start_is_refused_and_names_the_first(self, daemon):
        daemon.daemon()
        pid = daemon.pid_file.read_text().strip()
        second = daemon.daemon()
        assert second.returncode == 5
        assert f"process {pid}" in one_sentence(second.stderr)
        assert daemon.pid_file.read_text().strip() == pid
        assert daemon.offspring() == [int(pid)]

    def test_term_stops_it_and_removes_the_pid_file(self, daemon, eventually):
        daemon.daemon()
        os.kill(int(daemon.pid_file.read_text()), signal.SIGTERM)
        eventually(lambda: not daemon.offspring())
        assert not daemon.pid_file.exists()
        assert "stopping; no runs in progress" in daemon.log_file.read_text()

    def test_the_pid_file_of_a_killed_kala_is_taken_over(self, daemon, eventually):
        daemon.daemon()
        os.kill(int(daemon.pid_file.read_text()), signal.SIGKILL)
        eventually(lambda: not daemon.offspring())
        assert daemon.pid_file.exists()
        assert daemon.daemon().returncode == 0
        assert daemon.offspring() == [int(daemon.pid_file.read_text())]

    def test_a_port_in_use_is_reported_by_the_parent(self, daemon):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            failed = daemon.daemon("--port", str(port))
        assert failed.returncode > 0
        assert f"127.0.0.1:{port}" in one_sentence(failed.stderr)
        assert not daemon.offspring()
        assert not daemon.pid_file.exists()

    def test_its_commands_inherit_no_terminal_and_no_descriptor_of_kala(self, daemon):
        daemon.daemon()
        daemon.address = re.search(r"http://\S+", daemon.log_file.read_text())[0]
        job = daemon.create(command="ls -l /proc/self/fd | sed -n 's/.* -> //p'; echo end")
        open_files = output(daemon, job, "end")
        assert open_files[0] == "/dev/null"
        assert open_files[1] != open_files[2]  # ls's pipe to sed, and the one to Kala
        assert not [name for name in open_files if str(daemon.home) in name or "socket" in name]


class TestRefusals:
    def test_a_second_kala_on_the_same_data_is_refused_without_harm(self, kala, make):
        job = kala.create(schedule=FAR)
        sentence = refusal(make())
        assert f"another Kala is using {kala.data}" in sentence
        assert kala.job(job)["id"] == job
        kala.settle()
        kala.restart()
        assert kala.job(job)["id"] == job

    @pytest.mark.parametrize("interface", ["0.0.0.0", "::"])
    def test_an_interface_that_others_can_reach_is_refused_while_nobody_can_log_in(self, make, interface):
        kala = make("--interface", interface)
        sentence = refusal(kala)
        for remedy in ("kala user add NAME --role admin", "listen on 127.0.0.1", "--insecure-no-auth"):
            assert remedy in sentence

    def test_a_port_in_use_is_refused(self, make):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            assert f"127.0.0.1:{port}" in refusal(make("--port", str(port)))

    def test_data_that_a_newer_kala_wrote_is_refused_and_not_touched(self, make):
        kala = make().start()
        kala.settle()
        kala.stop()
        with closing(sqlite3.connect(kala.data / "kala.db")) as database:
            database.execute("PRAGMA user_version = 999")
        before = (kala.data / "kala.db").read_bytes()
        assert "newer version of Kala" in refusal(kala)
        assert (kala.data / "kala.db").read_bytes() == before

    def test_a_file_in_place_of_the_database_is_refused_and_not_touched(self, make):
        kala = make()
        kala.data.mkdir()
        (kala.data / "kala.db").write_text("my diary, which nobody shall overwrite" * 100)
        assert "cannot be used as Kala's database" in refusal(kala)
        assert (kala.data / "kala.db").read_text().startswith("my diary")

    def test_a_data_dir_that_is_a_file_is_refused(self, make):
        kala = make()
        kala.data.touch()
        assert str(kala.data) in refusal(kala)

    @pytest.fixture
    def bound(self, make):
        """A Kala that is subject to file modes, even if root runs the tests."""
        kala = make()
        if os.geteuid() == 0:
            kala.command = ["setpriv", "--bounding-set=-dac_override", *kala.command]
        return kala

    def test_a_data_dir_that_cannot_be_created_is_refused(self, bound):
        bound.home.chmod(0o500)
        assert "Permission denied" in refusal(bound)

    @pytest.mark.parametrize("is_used", [False, True], ids=["empty", "used"])
    def test_a_data_dir_that_cannot_be_written_is_refused(self, bound, is_used):
        if is_used:
            bound.start()
            bound.settle()
            bound.stop()
        else:
            bound.data.mkdir()
        bound.data.chmod(0o500)
        sentence = refusal(bound)
        bound.data.chmod(0o700)
        assert str(bound.data) in sentence

    def test_a_database_that_cannot_be_written_is_refused(self, bound):
        bound.start()
        bound.settle()
        bound.stop()
        (bound.data / "kala.db").chmod(0o400)
        assert str(bound.data) in refusal(bound)

    def test_a_time_zone_that_does_not_exist_is_refused(self, make):
        assert "TZ: 'Mars/Olympus'" in refusal(make(environ={"TZ": "Mars/Olympus"}))

    @pytest.mark.parametrize(
        ("given", "instant"),
        [(":/usr/share/zoneinfo/Asia/Tokyo", "2098-12-31T15:00:00Z"), ("<+0330>-3:30", "2098-12-31T20:30:00Z")],
    )
    def test_a_time_zone_may_be_the_path_of_its_file_or_a_rule(self, make, given, instant):
        kala = make(environ={"TZ": given}).start()
        job = kala.job(kala.create(schedule="R/2099-01-01T00:00:00/PT1H"))
        assert job["next_run_at"] == instant


def test_without_persistence_nothing_is_left_behind(make, tmp_path):
    folder = tmp_path / "tmp"
    folder.mkdir()
    kala = make("--no-persist", environ={"TMPDIR": str(folder)}).start()
    job = kala.create(command="echo something to keep")
    deadline = time.monotonic() + PATIENCE
    while not kala.job(job)["success_count"]:
        assert time.monotonic() < deadline
    assert list(folder.iterdir())
    assert kala.stop() == 0
    assert not list(folder.iterdir())
    assert not kala.data.exists()


class TestLog:
    """One line for a change that somebody asks for, one when a run starts, and one when it ends."""

    def run_one(self, serve, log_format, command):
        kala = serve("--log-format", log_format)
        job = kala.create(name="backup", command=command)
        kala.runs(job, 1)
        assert kala.stop() == 0
        lines = [line for line in kala.lines if "backup" in line]
        assert len(lines) == 3
        return job, lines

    def test_text_is_for_people(self, serve):
        job, [create, start, end] = self.run_one(serve, "text", "/bin/true")
        time_ = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d"
        assert re.fullmatch(rf"{time_} local at 127\.0\.0\.1: job\.create {job} \(backup\)\n", create)
        assert re.fullmatch(rf"{time_} backup: run 1 started \(creation\)\n", start)
        assert re.fullmatch(rf"{time_} backup: run 1 succeeded after \d+\.\d{{3}} s\n", end)

    def test_a_failure_is_a_warning_with_the_reason(self, serve):
        _, [*_, end] = self.run_one(serve, "text", "exit 3")
        assert re.search(r" warning: backup: run 1 failed after \S+ s: exit status 3\n", end)

    def test_the_journal_gets_priorities(self, serve):
        job, [create, start, end] = self.run_one(serve, "journal", "exit 3")
        assert create == f"<6>local at 127.0.0.1: job.create {job} (backup)\n"
        assert start == "<6>backup: run 1 started (creation)\n"
        assert re.fullmatch(r"<4>backup: run 1 failed after \S+ s: exit status 3\n", end)

    def test_json_has_the_facts_as_fields(self, serve):
        job, lines = self.run_one(serve, "json", "exit 3")
        create, start, end = map(json.loads, lines)
        asked = {"action": "job.create", "actor": "local", "address": "127.0.0.1", "target": job, "name": "backup"}
        assert asked.items() <= create.items()
        facts = {"job_id": job, "job_name": "backup", "run_id": 1, "cause": "creation", "attempt": 0}
        assert facts.items() <= start.items()
        assert facts.items() <= end.items()
        assert {"action": "run_started", "state": "running", "level": "info"}.items() <= start.items()
        assert {"action": "run_ended", "state": "failed", "level": "warning", "exit_code": 3}.items() <= end.items()
        assert 0 < end["duration_s"] < PATIENCE
        assert start["time"] <= end["time"]

    def test_every_line_of_a_json_log_is_json(self, serve):
        kala = serve("--log-format", "json")
        kala.settle()
        kala.send(signal.SIGHUP)
        kala.says("settings reloaded")
        kala.restart()
        kala.stop()
        assert [json.loads(line)["action"] for line in kala.lines] == ["started", "stopping"]


def test_commands_inherit_no_variables_of_the_service_manager(serve, systemd):
    private = {
        "KALA_DEFAULT_OWNER": "me@example.org",
        "WATCHDOG_PID": "1",
        "WATCHDOG_USEC": "1000000",
        "LISTEN_PID": "1",
        "LISTEN_FDS": "1",
        "LISTEN_FDNAMES": "kala.socket",
        "INVOCATION_ID": "0123",
        "JOURNAL_STREAM": "1:2",
    }
    kala = serve(environ=systemd.environ | private | {"MINE": "kept"})
    seen = output(kala, kala.create(command="env; pwd; cat; echo end"), "end")
    names = {line.partition("=")[0] for line in seen}
    assert not names & (private.keys() | systemd.environ.keys())
    assert {name for name in names if name.startswith("KALA")} == OF_THE_RUN
    assert "MINE=kept" in seen
    assert seen[-2:] == [str(kala.home), "end"]


class TestCommandLine:
    def test_run_shows_output_and_outcome(self, make):
        shown = make().tell("run", "echo to stdout; echo to stderr >&2")
        assert shown.returncode == 0
        assert shown.stdout == "to stdout\nto stderr\n"
        assert re.fullmatch(r"kala: succeeded after \d+\.\d{3} s\n", shown.stderr)

    def test_run_shows_the_outcome_even_if_its_parent_ignores_sigchld(self, make):
        kala = make()
        ignoring = ["env", "--ignore-signal=CHLD", *kala.command, "run", "exit 3"]
        shown = subprocess.run(ignoring, env=kala.environ, cwd=kala.home, capture_output=True, text=True, check=False)
        assert (shown.returncode, shown.stderr.rpartition(": ")[2]) == (3, "exit status 3\n")

    def test_run_says_how_the_command_failed(self, make):
        shown = make().tell("run", "exit 3")
        assert re.fullmatch(r"kala: failed after \d+\.\d{3} s: exit status 3\n", shown.stderr)

    @pytest.mark.parametrize(
        ("words", "status"),
        [
            (["exit 3"], 3),
            (["no-such-program"], 127),
            (["/etc/passwd"], 126),
            (["kill -KILL $$"], 137),
            (["sh", "-c", "exit 4"], 4),
            (["no-such-program", "--with", "arguments"], 127),
            (["/etc/passwd", "x"], 126),
            (["sh", "-c", "kill $$"], 143),
            (["--", "sh", "-c", "exit 5"], 5),
            ([], 125),
            ([" "], 125),
            (["--no-such-option", "true"], 125),
        ],
    )
    def test_run_exits_like_the_command_and_with_125_if_kala_failed(self, make, words, status):
        assert make().tell("run", *words).returncode == status

    def test_run_that_cannot_start_the_command_exits_with_125(self, make):
        kala = make()
        kala.environ["TMPDIR"] = str(kala.home)
        gone = kala.home / "gone"
        gone.mkdir()
        command = ["sh", "-c", 'cd gone && rmdir ../gone && exec "$@"', "sh", *kala.command, "run", "true"]
        shown = subprocess.run(command, env=kala.environ, cwd=kala.home, capture_output=True, text=True, check=False)
        assert shown.returncode == 125
        assert shown.stderr.startswith("kala: ")

    def test_run_with_a_closed_stdout_exits_like_a_command(self, make):
        kala = make()
        line = ["bash", "-c", '"$@" | head -n 1; echo "${PIPESTATUS[0]}"', "bash", *kala.command, "run", "yes"]
        shown = subprocess.run(line, env=kala.environ, cwd=kala.home, capture_output=True, text=True, check=False)
        assert (shown.stdout, shown.stderr) == ("y\n141\n", "")

    def test_run_passes_several_words_unchanged(self, make):
        shown = make().tell("run", "printf", "%s|", "a b", "$HOME", "", "*", "it's")
        assert (shown.returncode, shown.stdout) == (0, "a b|$HOME||*|it's|")

    def test_run_leaves_the_options_of_the_command_alone(self, make):
        assert make().tell("run", "ls", "--help").stdout.startswith("Usage: ls")

    def test_run_uses_the_environment_that_jobs_get(self, make):
        shown = make(environ={"KALA_PORT": "1", "MINE": "kept"}).tell("run", "env")
        assert "MINE=kept\n" in shown.stdout
        assert "KALA_" not in shown.stdout

    def test_config_show_prints_values_and_their_origins(self, make):
        kala = make(environ={"KALA_WORKERS": "7"})
        kala.config.write_text('default_owner = "me@example.org"\nworkers = 5')
        shown = kala.tell("config", "show", "--json", "--port", "8001")
        settings = json.loads(shown.stdout)
        assert settings["port"] == {"value": 8001, "origin": "--port"}
        assert settings["workers"] == {"value": 7, "origin": "KALA_WORKERS"}
        assert settings["default_owner"] == {"value": "me@example.org", "origin": str(kala.config)}
        assert settings["interface"] == {"value": "127.0.0.1", "origin": "default"}

    def test_config_show_is_a_settings_file(self, make):
        kala = make()
        shown = kala.tell("config", "show", "--port", "8001", "--default-owner", "me@example.org")
        kala.config.write_text(shown.stdout)
        again = json.loads(kala.tell("config", "show", "--json").stdout)
        assert again["port"] == {"value": 8001, "origin": str(kala.config)}
        assert again["default_owner"]["value"] == "me@example.org"

    def test_config_show_refuses_what_serve_refuses(self, make):
        refused = make().tell("config", "show", "--auth", "on", "--insecure-no-auth")
        assert refused.returncode == 2
        assert "two names of one setting" in one_sentence(refused.stderr)

    def test_version_needs_no_service(self, make):
        kala = make()
        assert kala.tell("version").stdout.startswith(kala.tell("--version").stdout.strip() + ", ")

    def test_run_writes_nothing_to_the_current_directory(self, make, tmp_path):
        kala = make()
        before = set(tmp_path.iterdir())
        assert kala.tell("run", "true").returncode == 0
        assert set(tmp_path.iterdir()) == before
