import json
import os
import socket
import string
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from click.testing import CliRunner
from contract import playing
from hypothesis import given, settings
from hypothesis import strategies as st

from kala.cli import commands
from kala.config import KEYS, load
from kala.service import unit


def shown(*arguments: str, **environ: str):
    return CliRunner().invoke(commands, ["config", "show", *arguments], env={"HOME": "/home/ann"} | environ)


@pytest.fixture
def empty_file(tmp_path):
    path = tmp_path / "kala.toml"
    path.touch()
    return str(path)


def test_every_setting_is_shown_with_its_value_and_origin_in_columns(empty_file):
    lines = shown("--config", empty_file, "-p", "99", KALA_WORKERS="7").output.splitlines()
    assert [line.split()[0] for line in lines] == list(KEYS)
    assert len({line.index(" = ") for line in lines}) == len({line.index("  # ") for line in lines}) == 1
    assert [line.split() for line in lines if "default" not in line] == [
        ["port", "=", "99", "#", "--port"],
        ["workers", "=", "7", "#", "KALA_WORKERS"],
    ]


def test_json_is_for_programs(empty_file):
    settings = json.loads(shown("--config", empty_file, "--no-persist", "--json").output)
    assert settings["persist"] == {"value": False, "origin": "--no-persist"}
    assert settings["data_dir"] == {"value": "/home/ann/.local/share/kala", "origin": "default"}


def test_the_file_may_be_named_by_a_variable(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("port = 5")
    assert json.loads(shown("--json", KALA_CONFIG=str(file)).output)["port"] == {"value": 5, "origin": str(file)}


def test_a_repeated_flag_adds_values(empty_file):
    arguments = ["--config", empty_file, "--allowed-host", "a", "--allowed-host", "b,c", "--json"]
    assert json.loads(shown(*arguments).output)["allowed_hosts"]["value"] == ["a", "b", "c"]


def test_wrong_settings_exit_with_2_and_a_sentence(empty_file):
    result = shown("--config", empty_file, "--workers", "many")
    assert (result.exit_code, result.stderr) == (
        2,
        "kala: --workers: must be a whole number between 1 and 10000, not 'many'\n",
    )


def test_a_missing_file_is_reported():
    assert (
        shown("--config", "/nowhere").stderr
        == "kala: --config: '/nowhere' does not exist; use the path of a TOML file\n"
    )


def test_no_value_moves_the_cursor_or_forges_a_line(tmp_path):
    file = tmp_path / "a\x1b[2J\n\u202eb.toml"
    file.write_text(r'data_dir = "/srv/\u001b[2J\u009b31m\u202e\U000e0041"')
    lines = shown("--config", str(file)).output.splitlines()
    assert len(lines) == len(KEYS)
    assert all(line.isprintable() for line in lines)
    shown_again = tmp_path / "again.toml"
    shown_again.write_text("\n".join(lines))
    assert load({}, {}, [shown_again]).config == load({}, {}, [file]).config


@settings(max_examples=30)
@given(
    owner=st.text(alphabet=string.ascii_letters + string.punctuation + " ä€🙂"),
    host=st.sampled_from(["a", "b.c"]),
    grace=st.floats(0, 3e7),
)
def test_the_output_is_a_file_with_the_same_meaning(owner, host, grace):
    environ = {"HOME": "/home/ann", "KALA_ALLOWED_HOSTS": f"{host},d", "KALA_CONFIG": "/dev/null"}
    with TemporaryDirectory() as place:
        file = Path(place, "kala.toml")
        file.write_text(shown("-o", owner, "--kill-grace", f"{grace:f}", **environ).output)
        flags = {"default_owner": owner, "kill_grace": f"{grace:f}"}
        assert load({}, {}, [file]).config == load(flags, environ, []).config


def test_the_output_has_the_settings_about_callers_in_the_form_of_a_file(tmp_path, empty_file):
    flags = ["--peer", "operator=@ops", "--peer", "viewer=ann", "--trusted-proxy", "::1", "--auth", "off"]
    flags += ["--proxy-user-header", "Remote-User", "--group-role", "Domain Admins=admin,*=viewer"]
    file = tmp_path / "again.toml"
    file.write_text(shown("--config", empty_file, *flags).output)
    config = load({}, {}, [file]).config
    assert config.peers == {"operator": ("@ops",), "viewer": ("ann",)}
    assert (config.trusted_proxies, config.group_roles) == (("::1",), {"Domain Admins": "admin", "*": "viewer"})
    assert config.is_open


@pytest.mark.parametrize("command", [["serve"], ["config", "show"]])
def test_help_shows_every_setting_with_its_default(command):
    output = " ".join(CliRunner().invoke(commands, [*command, "--help"]).output.split())
    for name, key in KEYS.items():
        assert " ".join(key.meaning.split()) in output, name
    assert output.count("[default: ") >= len(KEYS)


@contextmanager
def socket_to(url, path):
    """Pass one connection to a Unix socket on to a server."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def pass_on():
            client, _ = listener.accept()
            with client, socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as server:
                server.sendall(client.recv(10_000))
                while part := server.recv(10_000):
                    client.sendall(part)

        threading.Thread(target=pass_on, daemon=True).start()
        yield path


class TestAsRoot:
    """Root sees the settings of the service, not its own."""

    @pytest.fixture(autouse=True)
    def service(self, monkeypatch):
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        environ = {"STATE_DIRECTORY": "/var/lib/kala:/var/lib/kala-home", "KALA_WORKERS": "3"}
        monkeypatch.setattr(unit, "environment", lambda: environ)

    def seen(self, *arguments, **environ):
        return json.loads(shown("--json", *arguments, **environ).output)

    def test_the_settings_are_those_of_the_service(self):
        settings = self.seen("--port", "7")
        assert settings["data_dir"]["value"] == "/var/lib/kala"
        assert settings["workers"] == {"value": 3, "origin": "KALA_WORKERS"}
        assert settings["port"] == {"value": 7, "origin": "--port"}

    def test_a_given_file_or_variable_wins(self, empty_file):
        assert self.seen("--config", empty_file)["workers"]["value"] == 128
        assert self.seen(KALA_PORT="8")["workers"]["value"] == 128
        assert self.seen(STATE_DIRECTORY="/srv")["data_dir"]["value"] == "/srv"

    def test_a_backup_is_of_the_directory_that_the_running_service_uses(self, tmp_path, monkeypatch):
        answer = {"status": 200, "body": {"settings": [{"key": "data_dir", "value": str(tmp_path / "data")}]}}
        case = {"exchanges": [{"request": {"method": "GET", "path": "/api/v1/config/"}, "answer": answer}]}
        with playing(case) as url, socket_to(url, tmp_path / "sock") as path:
            monkeypatch.setattr("kala.cli.settings._SERVICE_SOCKET", path)
            result = CliRunner().invoke(commands, ["backup", str(tmp_path / "b.tar")], env={"HOME": "/home/ann"})
        assert f"data_dir: {tmp_path}/data has no kala.db" in result.stderr

    def test_without_a_running_service_it_is_of_the_directory_of_its_unit(self, tmp_path, monkeypatch):
        monkeypatch.setattr("kala.cli.settings._SERVICE_SOCKET", tmp_path / "none")
        result = CliRunner().invoke(commands, ["backup", str(tmp_path / "b.tar")], env={"HOME": "/home/ann"})
        assert "/var/lib/kala" in result.stderr

    def test_without_a_service_they_are_roots(self, monkeypatch):
        monkeypatch.setattr(unit, "environment", dict)
        assert self.seen()["data_dir"]["value"] == "/home/ann/.local/share/kala"

    def test_another_user_sees_its_own_settings(self, monkeypatch):
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        assert self.seen()["data_dir"]["value"] == "/home/ann/.local/share/kala"


class TestCompletion:
    def completed(self, *words):
        """Return what the shell gets to complete the last word."""
        line = {"COMP_WORDS": " ".join(("kala", *words)), "COMP_CWORD": f"{len(words)}"}
        environ = os.environ | line | {"_KALA_COMPLETE": "bash_complete"}
        command = [sys.executable, "-m", "kala"]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
        return done.stdout.split()

    def test_knows_the_values_of_settings_that_have_few(self):
        assert self.completed("serve", "--durability", "") == ["plain,full", "plain,normal"]
        assert self.completed("config", "show", "--log-format", "j") == ["plain,journal", "plain,json"]
        assert self.completed("serve", "--workers", "") == []

    @pytest.mark.parametrize("option", ["--config", "--data-dir", "--log-file", "--pid-file"])
    def test_lets_the_shell_complete_paths(self, option):
        assert self.completed("serve", option, "/et") == ["file,/et"]
