"""Users, tokens, logins and the audit log, with a real Kala and without one."""

import json
import os
import re
import socket
import stat
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from contract import playing
from process import eventually

from kala.cli import commands, connect
from kala.client import address

PASSWORD = "four plain English words"
NOBODY = 65534
NOT_LOGGED_IN = {"status": 401, "body": {"error": "not logged in"}}
SECRET = re.compile("kala_[0-9A-Za-z]{38}")


@pytest.fixture
def password_file(tmp_path):
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    return str(file)


@pytest.fixture
def ann(tell, password_file):
    """A user, added by the user that Kala runs as."""
    assert tell("user", "add", "ann", "--role", "operator", "--password-file", password_file) == (0, "", "")
    return "ann"


@pytest.fixture
def as_ann(kala, tell, ann, password_file):
    """Run a command as ann, who is logged in over TCP."""
    kala.environ.pop("KALA_URL")
    code, out, err = tell("login", kala.address, "--name", "here", "--user", ann, "--password-file", password_file)
    assert (code, out) == (0, ""), err
    assert err.startswith(f"kala: logged in to {kala.address} as ann (operator) until 20")
    return tell


@pytest.fixture
def stopped(make):
    """Run a command on the data of a Kala that is not running."""
    kala = make()

    def stopped(*arguments):
        done = kala.tell(*arguments, "--data-dir", str(kala.data))
        return done.returncode, done.stdout, done.stderr

    stopped.kala = kala
    stopped.notice = f"kala: Kala is not running; used its data in {kala.data}\n"
    return stopped


def test_a_user_is_added_shown_changed_and_removed(tell, done, ann):
    assert json.loads(done("user", "list", "-o", "json"))[0]["role"] == "operator"
    done("user", "set", ann, "--owner", "a@*", "--owner", "b", "--run-as")
    assert re.search(r"^owners +a@\*,b\nrun as +yes\npassword +yes\n", done("user", "show", ann), re.MULTILINE)
    done("user", "set", ann, "--no-owners", "--no-run-as", "--role", "viewer")
    shown = json.loads(done("user", "show", ann, "-o", "json"))
    assert (shown["owners"], shown["run_as"], shown["role"]) == ([], False, "viewer")
    assert tell("user", "remove", ann)[0] == 2
    done("user", "remove", ann, "--yes")
    assert tell("user", "show", ann) == (4, "", "kala: no user has the name 'ann'\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["set", "ann"], "nothing to change; give an option, such as --role"),
        (["set", "ann", "--owner", "a", "--no-owners"], "--owner and --no-owners exclude each other"),
        (["add", "bob", "--role", "viewer", "--invite", "--password-file", "x"], "exclude each other"),
        (["add", "bob"], "Missing option '--role'"),
        (["password"], "stdin is not a terminal; use --old-file and --new-file"),
    ],
)
def test_a_wrong_command_line_is_refused_before_anything_is_asked_for(arguments, sentence):
    result = CliRunner().invoke(commands, ["--url", "http://127.0.0.1:1", "user", *arguments])
    assert (result.exit_code, sentence in result.output) == (2, True)


@pytest.mark.parametrize(("text", "code"), [("\n", 2), ("a\nb\n", 2), (f"{PASSWORD}\r\n", 0)])
def test_a_password_file_has_one_line(kala, tell, tmp_path, text, code):
    file = tmp_path / "password"
    file.write_bytes(text.encode())
    assert tell("user", "add", "bob", "--role", "viewer", "--password-file", str(file))[0] == code


def test_a_password_is_asked_for_twice_and_not_shown(done, on_terminal):
    first, again = "Password for ann, at least 12 characters (leave empty to invite ann): ", "The same again: "
    answers = [(first, PASSWORD), (again, "something else"), (first, PASSWORD), (again, PASSWORD)]
    code, shown = on_terminal(80, "user", "add", "ann", "--role", "viewer", answers=answers)
    assert (code, PASSWORD in shown, "These two are not the same.\n" in shown) == (0, False, True)
    assert done("user", "list", "--columns", "name,password", "--no-headers") == "ann   yes\n"


def test_without_a_password_a_user_is_invited_and_chooses_one(kala, tell, on_terminal):
    code, out, err = tell("user", "add", "bob", "--role", "viewer")
    assert (code, bool(SECRET.fullmatch(out.strip()))) == (0, True)
    assert "kala: send this invitation to bob, who can use it once, until 20" in err
    assert SECRET.search(err) is None
    answers = [("Invitation: ", out.strip()), ("New password: ", PASSWORD), ("The same again: ", PASSWORD)]
    code, shown = on_terminal(80, "login", kala.address, "--name", "here", "--invitation", answers=answers)
    assert (code, f"logged in to {kala.address} as bob (viewer)" in shown) == (0, True)


def test_the_secret_of_a_token_is_all_that_goes_to_stdout(kala, tell, done):
    code, out, err = tell("token", "create", "ci", "--role", "viewer", "--owner", "a@*", "--expires-in", "P90D")
    secret = out.strip()
    assert (code, bool(SECRET.fullmatch(secret)), secret in err) == (0, True, False)
    [listed] = json.loads(done("token", "list", "-o", "json"))
    assert (listed["name"], listed["owners"], "secret" in listed) == ("ci", ["a@*"], False)
    assert tell("--url", kala.address, "create", "x", "--command", "true", KALA_TOKEN=secret)[0] == 6
    assert tell("--url", kala.address, "jobs")[0] == 0
    kala.environ.pop("KALA_TOKEN")
    done("token", "revoke", "ci")
    code, _, err = tell("--url", kala.address, "jobs", KALA_TOKEN=secret)
    ways = f"give another one in KALA_TOKEN or KALA_TOKEN_FILE, or log in with kala login {kala.address}\n"
    assert (code, err.endswith(ways)) == (6, True)


def test_a_login_is_kept_in_a_private_file_until_the_logout(kala, as_ann):
    folder = kala.home / ".config/kala"
    assert stat.S_IMODE((folder / "here.token").stat().st_mode) == 0o600
    code, out, _ = as_ann("whoami", "-o", "json")
    me = json.loads(out)
    assert (code, me["actor"], me["role"], me["logins"][0]["is_this"]) == (0, "user:ann", "operator", True)
    assert as_ann("logout") == (0, "", "")
    assert [file.name for file in folder.iterdir()] == ["cli.toml"]
    code, _, err = as_ann("jobs")
    assert (code, err.startswith(f"kala: not logged in to the server 'here' ({kala.address}): ")) == (6, True)
    assert err.endswith("here.token does not exist; log in with kala login\n")


def test_the_login_is_used_where_the_url_of_the_server_is_given(kala, as_ann):
    url = f"{kala.address}/"
    for code, out, err in (as_ann("--url", url, "whoami", "-o", "json"), as_ann("whoami", "-o", "json", KALA_URL=url)):
        assert (code, json.loads(out)["actor"]) == (0, "user:ann"), err


def test_a_login_to_a_url_needs_neither_the_login_before_it_nor_the_name_of_its_server(kala, as_ann, password_file):
    (kala.home / ".config/kala/here.token").chmod(0o644)
    arguments = ["login", "--user", "ann", "--password-file", password_file]
    assert as_ann("jobs")[0] == 2
    assert as_ann("--url", f"{kala.address}/", *arguments)[0] == 0
    assert as_ann("jobs")[0] == 0
    assert (kala.home / ".config/kala/cli.toml").read_text().count("[server.") == 1


def test_users_are_managed_in_the_data_whoever_is_logged_in_elsewhere(kala, as_ann):
    assert as_ann("logout")[0] == 0
    assert as_ann("user", "list")[0] == 6
    assert as_ann("user", "list", "--no-headers", "--data-dir", str(kala.data))[0] == 0


def test_who_was_logged_out_elsewhere_can_log_out_and_in_again(kala, as_ann, password_file):
    own = f"unix://{kala.data}/kala.sock"
    assert as_ann("--url", own, "user", "logout", "ann") == (0, "", "")
    code, _, err = as_ann("jobs")
    assert (code, err.endswith("; log in again with kala login\n")) == (6, True)
    code, _, err = as_ann("--server", "here", "jobs")
    assert (code, err.endswith("; log in again with kala --server here login\n")) == (6, True)
    assert as_ann("login", "--user", "ann", "--password-file", password_file)[0] == 0
    assert as_ann("jobs")[0] == 0
    assert as_ann("--url", own, "user", "logout", "ann")[0] == 0
    assert as_ann("logout") == (0, "", "kala: the login had ended already\n")


def test_what_a_role_does_not_allow_is_the_servers_sentence(as_ann):
    sentence = "kala: not allowed: this needs the role editor, and user:ann has the role operator\n"
    assert as_ann("create", "x", "--command", "true") == (6, "", sentence)
    assert as_ann("user", "list")[0] == 6
    code, out, _ = as_ann("jobs")
    assert (code, out.split()[0]) == (0, "NAME")


def test_a_password_is_changed_by_its_user(kala, as_ann, password_file, tmp_path):
    (tmp_path / "new").write_text("quite another set of words\n")
    arguments = ["user", "password", "--old-file", password_file, "--new-file", str(tmp_path / "new")]
    assert as_ann(*arguments) == (0, "", "")
    assert as_ann("whoami")[0] == 0
    assert as_ann("login", "--user", "ann", "--password-file", password_file) == (
        6,
        "",
        "kala: the name or the password is wrong\n",
    )


def test_the_audit_log_tells_who_did_what_and_what_was_refused(tell, done, ann, password_file):
    done("create", "backup", "--command", "true", "--schedule", "manual")
    done("set", "backup", "retries=2")
    newest, _ = json.loads(done("audit", "--target", "backup", "-o", "json"))
    assert (newest["action"], newest["changed"]) == ("job.update", {"retries": [0, 2]})
    assert "retries: 0 -> 2" in done("audit", "--action", "job.update", "--since", "-1h", "-o", "wide")
    tell("token", "create", "ci", "--role", "viewer", "--owner", "*@a", "--owner", "*@b")
    created = "role: - -> viewer, owners: - -> *@a *@b, run_as: - -> no"
    assert created in done("audit", "--action", "token.create", "-o", "wide")
    assert done("audit", "--actor", "user:nobody", "--no-headers") == ""
    tell("user", "add", ann, "--role", "viewer", "--password-file", password_file)
    tell("user", "set", ann, "--password-file", password_file)
    assert "password: *** -> ***" in done("audit", "--action", "user.update", "-o", "wide")
    assert len(done("audit", "-n", "2", "--no-headers").splitlines()) == 2
    assert done("audit", "--refused", "--no-headers") == ""
    sentence = 'kala: actor: must have its kind, such as user:ann, token:ann or peer:ann, not "ann"\n'
    assert tell("audit", "--actor", "ann") == (2, "", sentence)


@pytest.mark.parametrize(("is_refused", "sudo"), [(False, ""), (True, "use sudo kala, ")])
def test_without_a_login_one_is_told_the_ways_in(is_refused, sudo, monkeypatch, tmp_path):
    strangers = {"exchanges": [{"request": {"method": "GET", "path": "/api/v1/me/"}, "answer": NOT_LOGGED_IN}]}
    monkeypatch.setattr(address, "is_refused_socket", lambda: is_refused)
    with playing(strangers) as url:
        monkeypatch.setattr(address, "_SYSTEM_SOCKET", tmp_path / "kala.sock")
        monkeypatch.setattr(address, "DEFAULT_URL", url)
        result = CliRunner().invoke(commands, ["whoami"], env={"HOME": str(tmp_path), "KALA_URL": None})
    ways = f"{sudo}log in with kala login, or give a token in KALA_TOKEN_FILE"
    assert (result.exit_code, result.stderr) == (6, f"kala: not logged in at {url}: {ways}\n")


def test_without_a_role_on_the_socket_one_is_told_of_peers():
    help_ = connect._with_help("not logged in", address.parse("unix:///run/kala/kala.sock"))
    assert help_.endswith(", give a token in KALA_TOKEN_FILE, or ask for a role in the setting peers")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open every socket")
def test_a_socket_that_one_may_not_open_is_noticed(monkeypatch, tmp_path):
    path = tmp_path / "kala.sock"
    monkeypatch.setattr(address, "_SYSTEM_SOCKET", path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        path.chmod(0)
        assert address.is_refused_socket()


def test_to_look_where_no_data_are_makes_none(stopped):
    data = stopped.kala.data
    sentence = f"kala: data_dir: {data} has no kala.db, or you cannot read it; use the data directory of Kala\n"
    of_users = (("user", "list"), ("user", "invite", "ann"), ("user", "logout", "ann"), ("user", "remove", "ann", "-y"))
    for command in (*of_users, ("token", "list"), ("token", "revoke", "ci")):
        assert stopped(*command) == (4, "", sentence)
    assert not data.exists()


def test_the_first_user_is_made_while_kala_is_not_running(stopped, password_file):
    kala = stopped.kala
    code, out, err = stopped("user", "add", "ann", "--role", "admin", "--password-file", password_file)
    made = f"kala: Kala is not running, and {kala.data} had no data; made a new database there. "
    assert (code, out, err) == (0, "", f"{made}If that is the wrong directory, use --data-dir\n")
    assert (kala.data / "kala.db").stat().st_mode & 0o777 == 0o600
    assert stopped("user", "add", "ann", "--role", "viewer", "--password-file", password_file) == (
        5,
        "",
        "kala: name: a user ann exists; use another name, or change that user\n",
    )
    code, secret, _ = stopped("token", "create", "ci", "--role", "viewer")
    assert (code, bool(SECRET.fullmatch(secret.strip()))) == (0, True)
    assert stopped("user", "show", "bob")[0] == 4
    assert stopped("user", "set", "ann", "--role", "editor") == (0, "", stopped.notice)
    assert stopped("token", "revoke", "ci") == (0, "", stopped.notice)
    assert stopped("user", "list", "--columns", "name,role", "--no-headers") == (0, "ann   editor\n", stopped.notice)
    kala.start()
    entries = kala.get("/audit/").body["entries"]
    assert {entry["actor"].partition(":")[0] for entry in entries} == {"offline"}
    assert [entry["action"] for entry in entries[::-1]] == [
        "user.create",
        "token.create",
        "user.update",
        "token.delete",
    ]
    assert stopped("user", "list", "--columns", "name", "--no-headers") == (0, "ann\n", "")


def test_a_kala_that_runs_but_cannot_be_reached_is_one_sentence(stopped):
    kala = stopped.kala.start()
    (kala.data / "kala.sock").rename(kala.data / "elsewhere.sock")
    code, out, err = stopped("user", "list")
    sentence = f"Kala is running on {kala.data}, but cannot be reached; say with --url where it listens"
    assert (code, out, err) == (5, "", f"kala: data_dir: {sentence}\n")


def test_data_that_are_not_kept_get_no_users(stopped):
    stopped.kala.config.write_text("persist = false\n")
    code, _, err = stopped("user", "list")
    assert (code, err.startswith("kala: persist: is off, so that users and tokens would not be kept")) == (2, True)


def test_a_server_that_was_named_is_never_replaced_by_its_data(stopped):
    done = stopped.kala.tell("--url", f"unix://{stopped.kala.data}/kala.sock", "user", "list")
    assert (done.returncode, stopped.kala.data.exists()) == (8, False)


def test_without_a_server_the_data_are_those_of_the_settings(tmp_path, monkeypatch):
    monkeypatch.setattr(address, "_SYSTEM_SOCKET", tmp_path / "run/kala.sock")
    monkeypatch.setattr(address, "DEFAULT_URL", "http://127.0.0.1:1")
    environ = {"HOME": str(tmp_path), "KALA_DATA_DIR": str(tmp_path / "d"), "KALA_URL": None, "XDG_CONFIG_HOME": None}
    result = CliRunner().invoke(commands, ["token", "create", "ci", "--role", "viewer"], env=environ)
    assert (result.exit_code, (tmp_path / "d/kala.db").exists()) == (0, True), result.output


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can work for another user")
def test_root_works_on_the_data_of_another_user_as_that_user(stopped):
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, NOBODY, NOBODY)
        stopped.kala.data = Path(folder)
        code, secret, err = stopped("token", "create", "ci", "--role", "viewer")
        assert (code, bool(SECRET.fullmatch(secret.strip())), folder in err) == (0, True, True), err
        assert {file.stat().st_uid for file in Path(folder).iterdir()} == {NOBODY}
        assert stopped("token", "revoke", "nothing")[0] == 4


def test_a_secret_over_plain_http_to_another_machine_is_warned_of_once():
    arguments = ["--url", "http://192.0.2.1.invalid:8000", "jobs"]
    result = CliRunner().invoke(commands, arguments, env={"KALA_TOKEN": "t"})
    warning = "kala: the token is sent unencrypted to http://192.0.2.1.invalid:8000; use https\n"
    assert (result.exit_code, result.stderr.count(warning)) == (8, 1)
    assert "unencrypted" not in CliRunner().invoke(commands, arguments).stderr
    local = ["--url", "http://127.0.0.1:1", "jobs"]
    assert "unencrypted" not in CliRunner().invoke(commands, local, env={"KALA_TOKEN": "t"}).stderr


def test_names_of_users_and_tokens_are_completed(done, tell, ann):
    tell("token", "create", "ci", "--role", "viewer")
    variables = {"_KALA_COMPLETE": "bash_complete", "COMP_CWORD": "3"}
    # Completion gives up after 0.3 s.
    eventually(lambda: done(COMP_WORDS="kala user show a", **variables) == "plain,ann\n")
    eventually(lambda: done(COMP_WORDS="kala token revoke c", **variables) == "plain,ci\n")
