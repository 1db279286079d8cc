"""Commands with a real Kala, over its Unix socket."""

import json
import re
import signal
import subprocess
import threading

import pytest
import yaml
from process import PATIENCE, eventually

NAMES = ["plain", "with spaces", 'it\'s "quoted"', "näme 🙂", "a/b", "100%"]


def test_the_first_minute_of_a_new_user(done, tell):
    job_id = done("create", "hello", "--command", "echo hello", "--schedule", "manual").strip()
    assert done("start", "hello", "--follow") == "hello\n"
    assert re.search(r"^reason +run 1 succeeded$", done("why", "hello"), re.MULTILINE)
    assert done("jobs", "--columns", "id,name,state", "--no-headers") == f"{job_id}  hello  ok\n"
    assert done("next", "30 2 * * 1-5", "-n", "1").startswith("At 02:30 on weekdays")


@pytest.mark.parametrize("name", NAMES)
def test_a_job_of_any_name_can_be_worked_with(done, tell, name):
    job_id = done("create", name, "--command", "exit 3", "--schedule", "manual").strip()
    assert json.loads(done("show", name, "-o", "json"))["id"] == job_id
    assert yaml.safe_load(done("show", job_id[:8], "-o", "yaml"))["name"] == name
    done("set", name, "retries=1", "env.A=1")
    done("disable", name)
    done("enable", name)
    assert tell("start", name, "--wait")[0] == 3
    assert [run["job_name"] for run in map(json.loads, done("runs", name, "-o", "jsonl").splitlines())] == [name, name]
    assert tell("why", name)[0] == 3
    assert done("delete", name, "--yes") == f"{name}\n"


def test_a_name_of_several_jobs_is_refused_with_their_ids(done, tell):
    ids = [done("create", "twin", "--command", "true", "--schedule", "manual").strip() for _ in range(2)]
    code, _, err = tell("show", "twin")
    assert (code, err) == (4, f"kala: 2 jobs have the name 'twin': use the id, {ids[0]} (twin), {ids[1]} (twin)\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["show", "nope"], "no job has the id or name 'nope'"),
        (["logs", "77"], "no run has the id 77"),
        (["why", "nope"], "no job has the id or name 'nope'"),
        (["start", "abcdef"], "no job has the id or name 'abcdef'"),
    ],
)
def test_what_does_not_exist_exits_with_4(tell, arguments, sentence):
    assert tell(*arguments) == (4, "", f"kala: {sentence}\n")


def test_why_tells_what_failed_and_what_followed(done, tell):
    done("create", "alarm", "--command", "true", "--schedule", "manual")
    done("create", "load", "--command", "seq 20; exit 7", "--schedule", "manual", "--on-failure-job", "alarm")
    assert tell("start", "load", "--wait")[0] == 3
    eventually(lambda: "alarm" in done("runs", "--columns", "job"))
    code, out, _ = tell("why", "load")
    assert code == 3
    assert re.search("^reason +run 1 failed: exit status 7; it is not retried", out, re.MULTILINE)
    assert re.search(r"^led to +run 2 of alarm \(failure\)", out, re.MULTILINE)
    assert out.endswith("\n  19\n  20\nload: nothing is due; kala start runs it\n")
    told = json.loads(tell("why", "1", "-o", "json")[1])
    assert (told["run"]["exit_code"], told["output"][-1], told["caused"][0]["job_name"]) == (7, "20", "alarm")


def test_why_tells_why_a_job_has_not_run(done):
    done("create", "later", "--command", "true", "--schedule", "0 0 1 1 *")
    done("create", "child", "--command", "true", "--parent", "later")
    assert re.fullmatch("later: no runs yet; next run 20..-01-01T00:00:00Z\n", done("why", "later"))
    assert done("why", "child") == "child: no runs yet; it runs after its parents; kala show names them\n"
    done("disable", "later")
    assert done("why", "later").startswith("later: no runs yet; disabled, so nothing starts it")


def test_a_follower_gets_all_and_the_state_of_the_run(kala, tell, gate):
    tell("create", "slow", "--command", f"echo one; {gate.wait}; echo two; exit 1", "--schedule", "manual")
    tell("start", "slow")
    follower = subprocess.Popen([*kala.command, "logs", "slow", "-f"], env=kala.environ, stdout=subprocess.PIPE)
    with follower:
        assert follower.stdout.readline() == b"one\n"
        gate.open()
        assert follower.stdout.read() == b"two\n"
        assert follower.wait(PATIENCE) == 3


def test_a_follower_goes_on_after_a_restart_byte_for_byte(kala, tell):
    lines = "i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo line $i; sleep 0.005; done"
    tell("create", "lines", "--command", lines, "--schedule", "manual")
    command = [*kala.command, "start", "lines", "--follow"]
    with subprocess.Popen(command, env=kala.environ, stdout=subprocess.PIPE, text=True) as follower:
        received = follower.stdout.readline()
        kala.restart()
        received += follower.stdout.read()
        assert follower.wait(PATIENCE) == 0
    assert received == "".join(f"line {number}\n" for number in range(1, 301))


def test_ctrl_c_ends_a_follower_without_a_word(kala, tell):
    tell("create", "long", "--command", "echo here; sleep 60", "--schedule", "manual")
    tell("start", "long")
    command = [*kala.command, "logs", "long", "-f"]
    with subprocess.Popen(command, env=kala.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as follower:
        follower.stdout.readline()
        follower.send_signal(signal.SIGINT)
        assert (follower.wait(PATIENCE), follower.stderr.read()) == (130, b"")


def test_a_closed_pipe_is_no_error(kala, done):
    for number in range(3):
        done("create", f"job {number}", "--command", "true", "--schedule", "manual")
    line = f"{' '.join(kala.command)} jobs -o jsonl | true"
    finished = subprocess.run(
        line, shell=True, env=kala.environ, capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    assert finished.stderr == ""


def test_events_print_a_line_for_each_change(kala, done):
    with subprocess.Popen([*kala.command, "events"], env=kala.environ, stdout=subprocess.PIPE, text=True) as events:
        lines: list[str] = []
        reader = threading.Thread(target=lambda: lines.extend(iter(events.stdout.readline, "")))
        reader.start()

        def is_open():
            done("create", "probe", "--command", "true", "--schedule", "manual")
            return lines

        eventually(is_open)
        done("create", "hello", "--command", "true", "--schedule", "manual")
        done("start", "hello", "--wait")
        eventually(lambda: any(line == "run 1  succeeded  hello\n" for line in lines))
        events.send_signal(signal.SIGINT)
        reader.join(PATIENCE)
        assert events.wait(PATIENCE) == 130


def test_jobs_are_created_from_a_file_and_options_count_more(kala, done):
    file = kala.home / "jobs.yaml"
    file.write_text(
        "- name: a\n  command: |\n    echo 1\n    echo 2\n  schedule: manual\n"
        "- {name: b, command: 'true', schedule: manual}\n"
    )
    assert len(done("create", "-f", str(file), "--retries", "3").splitlines()) == 2
    assert json.loads(done("show", "a", "-o", "json"))["command"] == "echo 1\necho 2\n"
    assert json.loads(done("show", "b", "-o", "json"))["retries"] == 3


def test_a_dry_run_prints_slots_and_creates_nothing(done, tell):
    slots = done("create", "a", "--command", "true", "--schedule", "0 0 1 1 *", "--dry-run").split()
    assert len(slots) == 10
    assert tell("create", "a", "--command", "true", "--schedule", "61 * * * *", "--dry-run")[0] == 2
    assert done("jobs", "-o", "name") == ""


def test_a_job_is_edited_as_yaml(kala, done, tell):
    done("create", "a", "--command", "true", "--schedule", "manual")
    done("edit", "a", EDITOR="sed -i -e s/^name:.*/name:_b/;s/_/\\ / -e 's/^# retries: 0.*/retries: 4/'")
    job = json.loads(done("show", "b", "-o", "json"))
    assert (job["retries"], job["command"]) == (4, "true")
    code, _, err = tell("edit", "b", EDITOR="sed -i s/^name/nam/")
    assert code == 2
    assert re.match(r"kala: nam: unknown field; did you mean name\?; your text is in /.*\.yaml\n", err)


def test_an_edit_does_not_overwrite_what_somebody_else_has_changed(kala, done, tell):
    done("create", "a", "--command", "true", "--schedule", "manual")
    program = " ".join([f"KALA_URL={kala.environ['KALA_URL']}", *kala.command, "set", "a", "retries=1"])
    script = kala.home / "editor.sh"
    script.write_text(f"{program}\nsed -i s/^command.*/command:\\ ls/ $1\n")
    code, _, err = tell("edit", "a", EDITOR=f"sh {script}")
    assert (code, "was changed since you read it" in err, "your text is in /" in err) == (5, True, True)
    assert json.loads(done("show", "a", "-o", "json"))["command"] == "true"


def test_a_deletion_asks_and_names_what_goes_along(done, tell, on_terminal):
    for name, parent in (("a", []), ("b", ["--parent", "a"]), ("c", ["--parent", "b"]), ("d", [])):
        done("create", name, "--command", "true", *(parent or ["--schedule", "manual"]))
    assert tell("delete", "a")[0] == 2
    code, shown = on_terminal(80, "delete", "a", typed="n\n")
    assert "These have no other parent and go along: b, c\n" in shown
    assert code == 1
    assert on_terminal(80, "delete", "a", typed="y\n")[0] == 0
    assert done("jobs", "-o", "name") == "d\n"


def test_a_deletion_asks_again_for_what_goes_along_with_the_last_of_its_parents(done, on_terminal):
    for name, parents in (("a", []), ("b", []), ("c", ["--parent", "a", "--parent", "b"])):
        done("create", name, "--command", "true", *(parents or ["--schedule", "manual"]))
    code, shown = on_terminal(80, "delete", "a", "b", typed="y\nn\n")
    assert "Delete a, b?" in shown
    assert "These have no other parent and go along: c\n" in shown
    assert (code, done("jobs", "-o", "name")) == (1, "b\nc\n")


def test_a_narrow_terminal_shows_no_line_that_wraps(done, on_terminal):
    for name in NAMES:
        done("create", f"{name} and more words than fit", "--command", "true", "--schedule", "30 2 * * *")
    for columns in (40, 60):
        code, shown = on_terminal(columns, "jobs", NO_COLOR="1")
        lines = shown.splitlines()
        assert (code, len(lines)) == (0, len(NAMES) + 1)
        assert max(map(len, lines)) <= columns
        assert "\x1b" not in shown


def test_colours_are_for_terminals(done, on_terminal):
    done("create", "a", "--command", "exit 1", "--schedule", "manual", "--disabled")
    assert "\x1b[" in on_terminal(80, "jobs")[1]
    assert "\x1b[" not in on_terminal(80, "jobs", NO_COLOR="1")[1]
    assert "\x1b[" not in done("jobs")
    assert "\x1b[" in done("--color", "always", "jobs")


def test_status_is_0_for_a_kala_that_is_well(done):
    told = json.loads(done("status", "-o", "json"))
    assert (told["reasons"], told["summary"]["jobs"]) == ([], 0)
    assert done("status").startswith("kala     ready at unix://")


def test_the_settings_of_the_running_kala_are_shown(kala, done, tell):
    kala.environ["KALA_WORKERS"] = "7"  # after its start
    assert json.loads(done("config", "show", "--json"))["workers"]["value"] == 7
    running = json.loads(done("config", "show", "--running", "--json"))
    assert (running["workers"]["value"], running["port"]["origin"]) == (128, "--port")
    assert re.search(rf'^data_dir +  = "{kala.data}"', done("config", "show", "--running"), re.MULTILINE)
    assert tell("config", "show", "--running", "--port", "1")[0] == 2


def test_the_api_command_sends_any_request(done, tell):
    done("create", "a", "--command", "true", "--schedule", "manual")
    assert json.loads(done("api", "PATCH", "job/a/", "-f", "retries=2", "-f", "owner=me"))["job"]["retries"] == 2
    assert (
        json.loads(done("api", "get", "/api/v1/job/", "-f", "owner=me", "-f", "fields=summary"))["jobs"][0]["name"]
        == "a"
    )
    assert json.loads(done("api", "POST", "job/check/", "-d", '{"name": "x", "command": "true"}'))["slots"] is not None
    assert done("api", "DELETE", "job/all/") == ""
    assert tell("api", "GET", "job/nope/") == (4, "", "kala: no job has the id or name 'nope'\n")


def test_without_a_server_commands_exit_with_8(kala, tell):
    code, _, err = tell("jobs", KALA_URL="http://127.0.0.1:1")
    assert (code, err) == (8, "kala: cannot connect to http://127.0.0.1:1: Connection refused; is Kala running?\n")


def test_a_token_does_not_reach_a_command(tell):
    assert tell("run", "env", KALA_TOKEN="t", KALA_URL="http://127.0.0.1:1")[1].count("KALA_") == 0


class TestCompletion:
    @pytest.fixture
    def completed(self, kala, done):
        def completed(*words, shell="bash"):
            line = {"COMP_WORDS": " ".join(("kala", *words)), "COMP_CWORD": f"{len(words)}"}
            environ = kala.environ | line | {"_KALA_COMPLETE": f"{shell}_complete"}
            finished = subprocess.run(kala.command, env=environ, capture_output=True, text=True, check=True)
            return finished.stdout.split("\n")[:-1] if finished.stdout.strip() else []

        return completed

    def test_knows_jobs_and_quotes_them_for_bash(self, done, completed):
        done("create", "my job", "--command", "true", "--schedule", "manual")
        done("create", "other", "--command", "true", "--schedule", "manual")
        assert completed("show", "m") == ["plain,my\\ job"]
        assert completed("show", "") == ["plain,my\\ job", "plain,other"]

    def test_knows_runs(self, done, completed):
        done("create", "a", "--command", "true", "--schedule", "manual")
        done("start", "a", "--wait")
        assert completed("logs", "") == ["plain,1", "plain,a"]

    def test_knows_fields_and_values(self, completed):
        assert completed("set", "a", "retry_o") == ["plain,retry_on="]
        assert completed("create", "--overlap", "s") == ["plain,skip"]
        assert completed("jobs", "--state", "failing,d") == ["plain,failing,disabled", "plain,failing,done"]

    def test_without_a_server_it_knows_no_jobs(self, kala, completed):
        kala.environ["KALA_URL"] = "http://127.0.0.1:1"
        assert completed("show", "") == []

    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_each_shell_has_a_script(self, done, shell):
        assert "_KALA_COMPLETE" in done("completion", shell)
