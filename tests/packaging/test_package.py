"""The Debian package on a booted Debian, used as an administrator would. Needs root."""

import json
import re
import time
from datetime import UTC, datetime, timedelta

import pytest
from conftest import CURL, ROOT

pytestmark = pytest.mark.timeout(300)

CLIENTS = 20
RESTARTS = 3
# Sends requests without a pause until the file `stop` exists; prints the number of responses, and the errors.
CLIENT_SCRIPT = f"""
import collections, os, threading, urllib.request
outcomes = collections.Counter()
def ask():
    while not os.path.exists("/run/stop"):
        try:
            with urllib.request.urlopen("http://127.0.0.1:8000/api/v1/stats/", timeout=60) as answer:
                outcomes["answered" if answer.read() else "empty"] += 1
        except OSError as error:
            outcomes[repr(error)] += 1
clients = [threading.Thread(target=ask) for _ in range({CLIENTS})]
for client in clients: client.start()
for client in clients: client.join()
print(dict(outcomes))
"""


def soon(seconds: float) -> str:
    """Return a schedule for one run, in this many seconds."""
    return f"R0/{(datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()}"


def numbers(host) -> tuple[int, int]:
    """Return the main process, and how often systemd restarted it."""
    return int(host.property("MainPID")), int(host.property("NRestarts"))


def pragma(host, text: str) -> str:
    """What SQLite says to it, of the database of a Kala that is stopped."""
    script = (
        "import sqlite3, sys; print(*sqlite3.connect('/var/lib/kala/kala.db').execute(sys.argv[1]).fetchone() or ())"
    )
    return host.box.run("python3", "-c", script, f"PRAGMA {text}").stdout.strip()


def test_the_first_minute_of_a_new_user_who_is_root(host):
    assert host.shell("kala status").startswith("kala     ready at unix:///run/kala/kala.sock\n")
    host.shell("kala create hello --command 'echo hello' --schedule manual")
    assert host.shell("kala start hello --follow") == "hello\n"
    assert re.search(r"^state +succeeded$", host.shell("kala why hello"), re.MULTILINE)
    assert host.shell("kala jobs --no-headers --columns name,state") == "hello  ok\n"
    assert host.shell("kala next '30 2 * * 1-5'").startswith("At 02:30 on weekdays")
    assert host.shell("kala delete hello --yes") == "hello\n"


def test_root_and_kalas_user_use_the_socket_and_others_the_port(host):
    assert host.shell("stat -c '%A %U:%G' /run/kala /run/kala/kala.sock") == (
        "drwxr-xr-x kala:kala\nsrw-rw---- kala:kala\n"
    )
    assert "ready at unix:///run/kala/kala.sock" in host.shell("setpriv --reuid=kala --clear-groups kala status")
    stranger = host.shell("setpriv --reuid=nobody --clear-groups kala status; echo $?")
    assert stranger.startswith("kala: not logged in at http://127.0.0.1:8000: ")
    assert "sudo" in stranger
    assert stranger.endswith("\n6\n")


def test_with_the_socket_unit_commands_find_kala_after_a_restart(host):
    host.shell("systemctl stop kala; systemctl enable --now kala.socket; systemctl start kala")
    for _ in range(2):
        assert "ready at unix:///run/kala/kala.sock" in host.shell("kala status")
        host.shell("systemctl restart kala")
    host.shell("systemctl stop kala")
    assert "ready at unix:///run/kala/kala.sock" in host.shell("kala status")  # systemd starts it


def add_drop_in(host, name: str) -> None:
    host.shell(
        "install -D -t /etc/systemd/system/kala.service.d /usr/share/doc/kala/examples/kala.service.d/"
        + name
        + "; systemctl daemon-reload; systemctl restart kala"
    )


class TestInstalled:
    def test_it_is_active_enabled_and_answers_at_once(self, host):
        assert host.shell("systemctl is-active kala; systemctl is-enabled kala").split() == ["active", "enabled"]
        assert host.answers()

    def test_the_optional_socket_is_off(self, host):
        assert host.shell("systemctl is-enabled kala.socket", check=False).strip() == "disabled"

    def test_a_job_runs_as_the_user_kala_in_its_home_which_is_not_where_the_data_are(self, host):
        run = host.ended(host.create("who", "id -un; pwd; echo ~; umask; rm -rf ./*; echo kept > file"))
        home = "/var/lib/kala-home\n"
        assert (run["state"], host.output(run["id"])) == ("succeeded", f"kala\n{home}{home}0022\n")
        assert host.shell("cat /var/lib/kala-home/file; ls /var/lib/kala/kala.db") == "kept\n/var/lib/kala/kala.db\n"

    def test_a_job_cannot_change_the_settings_by_a_file_in_its_home_and_a_signal(self, host):
        settings = "mkdir -p ~/.config/kala; echo 'default_owner = \"eve\"' > ~/.config/kala/kala.toml; kill -HUP $PPID"
        host.ended(host.create("eve", settings))
        host.until(lambda: "settings reloaded; changed: nothing" in host.journal())
        assert "default_owner" not in host.journal()

    def test_it_starts_although_the_settings_file_was_deleted(self, host):
        host.shell("rm /etc/kala/kala.toml; systemctl restart kala")
        assert host.answers()

    def test_a_command_leaves_no_core_file_and_may_raise_its_limits(self, host):
        run = host.ended(host.create("limits", "ulimit -c; ulimit -c unlimited; ulimit -c; ulimit -n"))
        *cores, files = host.output(run["id"]).split()
        assert cores == ["0", "unlimited"]
        assert int(files) > 10_000  # 65,536, if the machine that these tests run on grants so many
        assert (host.property("LimitNOFILESoft"), host.property("LimitNOFILE")) == ("65536", "524288")

    def test_status_shows_jobs_runs_and_the_next_due_time(self, host):
        jobs = len(host.call("/api/v1/job/")["jobs"])
        host.create("soon", "true", schedule=soon(1200))
        line = host.until(lambda: (line := host.property("StatusText")).startswith(f"{jobs + 1} job") and line)
        assert re.fullmatch(r"\d+ jobs?, 0 running, next run in 0:19:\d\d", line)

    def test_the_journal_has_a_run_under_its_jobs_name_with_its_priority(self, host):
        host.ended(host.create("told well", "true"))
        host.ended(host.create("told badly", "exit 3"))
        host.shell("journalctl --sync", check=False)
        said = [
            [json.loads(line) for line in host.shell(f"journalctl 'KALA_JOB_NAME={name}' -o json").splitlines()]
            for name in ("told well", "told badly")
        ]
        well, badly = ([(line.get("KALA_STATE"), line["PRIORITY"]) for line in lines] for lines in said)
        assert well == [("running", "6"), ("succeeded", "6")]
        assert badly == [("running", "6"), ("failed", "4")]
        assert said[0][0]["KALA_RUN_ID"].isdecimal()

    def test_the_documentation_that_the_unit_names_exists(self, host):
        pages = ("/usr/share/man/man1/kala.1.gz", "/usr/share/man/man5/kala.toml.5.gz")
        # A minimal Debian does not install man pages, so look at what dpkg lists.
        assert all(page in host.shell("dpkg --listfiles kala") for page in pages)

    def test_the_commented_settings_are_the_defaults(self, host):
        shown = host.shell("kala config show")
        assert "/etc/kala/kala.toml" not in shown
        host.shell("sed -i 's/^#port = /port = /' /etc/kala/kala.toml")
        assert "/etc/kala/kala.toml" in host.shell("kala config show")

    def test_root_sees_the_settings_of_the_service_and_backs_up_its_data_also_while_it_is_stopped(self, host):
        host.write("/etc/systemd/system/kala.service.d/own.conf", "[Service]\nEnvironment=KALA_WORKERS=5\n")
        host.shell("systemctl daemon-reload; systemctl restart kala")
        for number, verb in enumerate(("restart", "stop")):
            host.shell(f"systemctl {verb} kala")
            shown = host.shell("kala config show")
            assert re.search(r'^data_dir += "/var/lib/kala" ', shown, re.MULTILINE)
            assert re.search(r"^workers += 5 +# KALA_WORKERS$", shown, re.MULTILINE)
            host.shell(f"kala backup /root/{number}.tar")
            assert host.shell(f"tar --list --file=/root/{number}.tar").startswith("kala.db\n")

    def test_systemd_accepts_the_units_without_a_warning(self, host):
        assert host.shell("systemd-analyze verify --man=no kala.service kala.socket") == ""

    @pytest.mark.parametrize(("drop_in", "limit"), [(None, 4.0), ("hardened.conf", 2.0)])
    def test_its_exposure_is_low(self, host, drop_in, limit):
        if drop_in:
            add_drop_in(host, drop_in)
        words = host.shell("systemd-analyze security --no-pager kala | tail -n 1").split()
        assert float(words[words.index("kala.service:") + 1]) <= limit


class TestRoot:
    def test_a_kala_that_is_not_root_refuses_a_job_of_another_user(self, host):
        body = json.dumps({"name": "other", "command": "id", "user": "daemon"})
        said = host.shell(f"{CURL} --data '{body}' http://localhost/api/v1/job/", check=False)
        assert "requires Kala to run as root" in said

    def test_one_that_is_runs_it_as_that_user(self, host):
        add_drop_in(host, "setuid.conf")
        host.write("/etc/systemd/system/kala.service.d/user.conf", "[Service]\nUser=root\n")
        host.shell("systemctl daemon-reload; systemctl restart kala")
        run = host.ended(host.create("other", "id -un; pwd; cat /etc/shadow", user="daemon"))
        assert host.output(run["id"]).startswith("daemon\n/usr/sbin\ncat: /etc/shadow: Permission denied")


class TestReload:
    def test_a_reload_returns_when_the_settings_are_in_effect(self, host):
        before = numbers(host)
        host.write("/etc/kala/kala.toml", "pools = {db = 2}\nshutdown_grace = 7\n")
        host.shell("systemctl reload kala")
        assert host.create("pooled", "true", pool="db")
        assert numbers(host) == before

    def test_a_reload_with_a_wrong_setting_fails_with_the_error_and_changes_nothing(self, host):
        before = numbers(host)
        host.write("/etc/kala/kala.toml", 'shutdown_grace = "soon"\n')
        assert "failed" in host.shell("systemctl reload kala", check=False)
        assert "shutdown_grace" in host.journal()
        assert host.property("ActiveState") == "active"
        assert (numbers(host), host.answers()) == (before, True)


class TestFailure:
    def test_after_kill_9_it_restarts_with_every_job_and_the_run_marked_as_lost(self, host):
        job = host.create("long", "sleep 600")
        host.until(lambda: host.runs(job)[0]["state"] == "running")
        pid, restarts = numbers(host)
        host.shell(f"kill -9 {pid}")
        host.until(host.answers)
        assert numbers(host)[1] == restarts + 1
        assert host.ended(job)["state"] == "lost"
        assert host.shell("pgrep -f '^sleep 600'", check=False) == ""

    def test_the_watchdog_ends_and_restarts_a_stalled_engine(self, host):
        host.write("/etc/systemd/system/kala.service.d/test.conf", "[Service]\nWatchdogSec=2\nTimeoutAbortSec=1\n")
        host.shell("systemctl daemon-reload; systemctl restart kala")
        pid, restarts = numbers(host)
        host.shell(f"kill -STOP {pid}")
        host.until(lambda: numbers(host)[1] == restarts + 1 and host.answers())
        assert "Watchdog timeout" in host.journal()

    def test_a_live_engine_is_not_restarted(self, host):
        host.write("/etc/systemd/system/kala.service.d/test.conf", "[Service]\nWatchdogSec=1\n")
        host.shell("systemctl daemon-reload; systemctl restart kala")
        before = numbers(host)
        host.ended(host.create("busy", "sleep 4"))
        assert numbers(host) == before

    def test_wrong_settings_do_not_make_a_crash_loop(self, host):
        host.write("/etc/kala/kala.toml", "workers = 0\n")
        host.shell("systemctl restart kala", check=False)
        assert (host.property("ActiveState"), host.property("NRestarts")) == ("failed", "0")
        assert "workers" in host.journal("--lines=10")

    def test_a_database_of_a_newer_version_is_refused_with_a_sentence(self, host):
        host.shell("systemctl stop kala")
        was = pragma(host, "user_version")
        pragma(host, "user_version = 999")
        try:
            host.shell("systemctl start kala", check=False)
            assert "was written by a newer version of Kala (schema 999" in host.journal("--lines=20")
        finally:
            host.shell("systemctl stop kala")
            pragma(host, f"user_version = {was}")


class TestStop:
    def test_a_running_job_may_finish_and_no_process_stays(self, host):
        job = host.create("finishing", "echo begun; sleep 2; echo ended")
        host.until(lambda: host.runs(job)[0]["state"] == "running")
        host.shell("systemctl stop kala")
        assert host.property("Result") == "success"
        assert host.shell("pgrep -u kala", check=False) == ""
        host.shell("systemctl start kala")
        run = host.ended(job)
        assert (run["state"], host.output(run["id"])) == ("succeeded", "begun\nended\n")

    def test_a_job_that_does_not_end_is_killed_within_the_grace(self, host):
        host.write("/etc/kala/kala.toml", "shutdown_grace = 1\nkill_grace = 1\n")
        host.shell("systemctl restart kala")
        job = host.create("stubborn", "trap '' TERM; while :; do sleep 0.1; done")
        host.until(lambda: host.runs(job)[0]["state"] == "running")
        host.shell("systemctl stop kala")
        assert (host.property("Result"), host.shell("pgrep -u kala", check=False)) == ("success", "")


class TestSocket:
    def test_restarts_under_twenty_clients_fail_no_request(self, host):
        host.write("/usr/local/lib/client.py", CLIENT_SCRIPT)
        host.shell("systemctl stop kala; systemctl enable --quiet --now kala.socket")
        assert host.answers(), "the first request starts Kala"
        options = "--quiet --unit=clients --uid=kala --property=StandardOutput=file:/root/said"
        host.shell(f"rm -f /run/stop /root/said; systemd-run {options} python3 /usr/local/lib/client.py")
        for _ in range(RESTARTS):
            time.sleep(0.5)
            host.shell("systemctl restart kala")
        host.shell("touch /run/stop")
        said = host.until(lambda: host.shell("cat /root/said"))
        outcomes = json.loads(said.replace("'", '"'))
        assert list(outcomes) == ["answered"]
        assert outcomes["answered"] > CLIENTS * RESTARTS


class TestHardened:
    def test_a_job_runs_and_keeps_files_at_home_but_changes_nothing_of_the_system(self, host):
        add_drop_in(host, "hardened.conf")
        run = host.ended(host.create("walled", "echo mine > kept && cat kept; echo > /etc/not-mine || echo refused"))
        assert run["state"] == "succeeded"
        assert host.output(run["id"]).splitlines()[0] == "mine"
        assert "Read-only file system" in host.output(run["id"])
        assert host.output(run["id"]).endswith("refused\n")

    @pytest.mark.parametrize(("name", "number"), [("io_uring_setup", 425), ("add_key", 248)])
    def test_a_job_gets_no_keyring_and_no_io_uring(self, host, name, number):
        add_drop_in(host, "hardened.conf")
        call = f"import ctypes; libc = ctypes.CDLL(None, use_errno=True); libc.syscall({number}, 0, 0, 0, 0, 0)"
        run = host.ended(host.create(name, f"python3 -c '{call}; print(ctypes.get_errno())'"))
        assert host.output(run["id"]) == "1\n"


class TestOff:
    def test_a_reboot_keeps_everything_and_starts_it(self, host):
        run = host.ended(host.create("before the reboot", "echo here"))
        host.box.reboot()
        host.until(host.answers)
        assert host.output(run["id"]) == "here\n"

    def test_a_slot_missed_during_a_power_cut_is_run_once_after_it(self, host):
        job = host.create("while off", "echo made up for", schedule=soon(2))
        host.box.kill()
        time.sleep(3)
        host.box.start()
        host.until(host.answers)
        run = host.ended(job)
        assert (run["state"], run["cause"], len(host.runs(job))) == ("succeeded", "schedule", 1)
        assert run["lateness"] > 1
        host.shell("systemctl restart kala")
        host.until(host.answers)
        assert len(host.runs(job)) == 1


class TestBinaryAsService:
    def test_the_one_file_binary_works_under_the_unit_with_the_documented_setting(self, host):
        host.box.copy(ROOT / "dist/kala", "/usr/local/bin/kala")
        lines = "[Service]\nExecStart=\nExecStart=/usr/local/bin/kala serve\nNotifyAccess=all\nWatchdogSec=2\n"
        host.write("/etc/systemd/system/kala.service.d/binary.conf", lines)
        host.shell("systemctl daemon-reload; systemctl restart kala")
        before = numbers(host)
        run = host.ended(host.create("by the binary", "sleep 4; echo done"))
        assert host.output(run["id"]) == "done\n"
        host.shell("systemctl reload kala")
        assert numbers(host) == before
        host.shell("systemctl stop kala")
        assert host.property("Result") == "success"


class TestPackage:
    def test_the_packages_own_test_passes(self, host):
        for name in ("debian/tests/service", "packaging/smoke.sh"):
            host.box.copy(ROOT / name, f"/root/source/{name}")
        host.shell("cd /root/source && debian/tests/service")

    def test_an_upgrade_keeps_edited_settings_and_lets_the_running_job_finish(self, fresh, deb, deb_before):
        fresh.install(deb_before)
        fresh.shell("sed -i 's/^#workers = .*/workers = 7/' /etc/kala/kala.toml; systemctl restart kala")
        job = fresh.create("under way", "echo begun; sleep 3; echo ended")
        fresh.until(lambda: fresh.runs(job)[0]["state"] == "running")
        fresh.install(deb)
        assert "0.0.1~" not in fresh.shell("dpkg-query -W kala")
        fresh.until(fresh.answers)
        run = fresh.ended(job)
        assert (run["state"], fresh.output(run["id"])) == ("succeeded", "begun\nended\n")
        settings = fresh.shell("cat /etc/kala/kala.toml")
        assert "workers = 7" in settings
        assert "version before" in settings

    def test_an_upgrade_moves_files_of_jobs_from_the_data_directory_to_a_separate_home(self, fresh, deb, deb_before):
        fresh.install(deb_before)
        fresh.ended(fresh.create("keeps", "echo one > kept; mkdir -m 700 .ssh; echo two > .ssh/key; ln -s kept link"))
        fresh.shell("install -D -m 755 /dev/stdin /var/lib/kala/bin/script < /bin/true")  # the administrator's
        look = "pwd; echo ~; cat kept .ssh/key link /var/lib/kala/kept ~/kept; bin/script && /var/lib/kala/bin/script"
        seen = "/var/lib/kala-home\n" * 2 + "one\ntwo\none\none\none\n"
        fresh.install(deb)
        assert self.said(fresh, look) == seen
        found = fresh.shell("cd /var/lib/kala; find -type f -not -path ./output/* | sort; stat -c %U:%a . ../kala-home")
        assert [name for name in found.split() if name not in ("./kala.db-shm", "./kala.db-wal")] == [
            "./kala.db",
            "./kala.lock",
            "kala:700",
            "kala:700",
        ]
        self.interrupt_half_way(fresh)
        fresh.shell("dpkg-reconfigure kala; /var/lib/dpkg/info/kala.postinst configure 0.0.1")
        assert self.said(fresh, look) == seen
        assert fresh.shell("getent passwd kala").split(":")[5] == "/var/lib/kala-home"
        fresh.install(deb_before)
        assert self.said(fresh, "pwd; cat kept .ssh/key") == "/var/lib/kala\none\ntwo\n"

    def said(self, host, command):
        """What a job prints."""
        host.until(host.answers)
        run = host.ended(host.create("looks", command))
        assert run["state"] == "succeeded", host.output(run["id"])
        return host.output(run["id"])

    def interrupt_half_way(self, host):
        """As after a power cut during the upgrade: one file has not moved, one has, but has no link."""
        host.shell("systemctl stop kala; usermod --home /var/lib/kala kala; cd /var/lib/kala; rm kept .ssh")
        host.shell("mv /var/lib/kala-home/.ssh /var/lib/kala/")

    def test_remove_keeps_the_data_and_purge_all_but_the_user(self, fresh, deb):
        fresh.install(deb)
        fresh.ended(fresh.create("kept", "true"))
        fresh.shell("apt-get remove -qqy kala")
        assert fresh.shell("pgrep -u kala", check=False) == ""
        assert fresh.shell("ls -d /var/lib/kala/kala.db /etc/kala/kala.toml").count("\n") == 2
        assert fresh.shell("ls /usr/lib/kala /usr/bin/kala", check=False).count("No such file") == 2
        fresh.install(deb)
        assert [job["name"] for job in fresh.call("/api/v1/job/")["jobs"].values()] == ["kept"]
        fresh.shell("apt-get purge -qqy kala")
        assert fresh.shell("ls -d /var/lib/kala /var/lib/kala-home /etc/kala", check=False).count("No such file") == 3
        assert fresh.shell("id -un kala") == "kala\n"
