import platform
import subprocess
import sys

import pytest
from click.testing import CliRunner

import kala
from kala import __version__
from kala.cli import commands
from kala.cli.table import COMMANDS, GROUPS


def test_the_version_is_also_an_option():
    assert CliRunner().invoke(commands, ["--version"]).output == f"kala {__version__}\n"


@pytest.mark.parametrize(("commit", "told"), [(None, ""), ("1a2b3c4\n", "commit 1a2b3c4, ")])
def test_version_prints_what_a_bug_report_needs(commit, told, tmp_path, monkeypatch):
    monkeypatch.setattr(kala, "COMMIT_FILE", tmp_path / "commit.txt")
    if commit:
        (tmp_path / "commit.txt").write_text(commit)
    output = CliRunner().invoke(commands, ["version"]).output
    assert output == f"kala {__version__}, {told}Python {platform.python_version()}\n"


def test_help_has_every_command_in_its_group_with_its_whole_sentence_in_80_columns():
    lines = CliRunner().invoke(commands, ["-h"]).output.splitlines()
    for group, its in GROUPS.items():
        place = lines.index(f"{group}:")
        shown = [tuple(line.split(maxsplit=1)) for line in lines[place + 1 : place + 1 + len(its)]]
        assert shown == [(name, command.summary) for name, command in its.items()]
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_begins_with_its_sentence(name):
    result = CliRunner().invoke(commands, [name, "--help"])
    assert result.exit_code == 0
    assert f"\n  {COMMANDS[name].summary}\n" in result.output
    assert max(map(len, result.output.splitlines())) <= 80


@pytest.mark.parametrize(
    ("typed", "hint"), [("jbos", "did you mean jobs?"), ("frobnicate", "kala --help lists the commands")]
)
def test_an_unknown_command_is_a_usage_error_with_a_hint(typed, hint):
    result = CliRunner().invoke(commands, [typed])
    assert (result.exit_code, f"No such command '{typed}'; {hint}" in result.output) == (2, True)


ANN = ("--user", "ann", "--password-file", "none")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--url", "http://127.0.0.1:1", "--server", "staging", "jobs"], "--url and --server exclude each other"),
        (["--server", "a", "login", "http://127.0.0.1:1", *ANN], "the server is given twice"),
        (["--url", "http://127.0.0.1:2", "login", "http://127.0.0.1:1", *ANN], "the server is given twice"),
    ],
)
def test_a_server_is_named_once(arguments, sentence):
    result = CliRunner().invoke(commands, arguments)
    assert (result.exit_code, sentence in result.stderr) == (2, True)


def test_python_m_kala_calls_itself_kala():
    done = subprocess.run([sys.executable, "-m", "kala"], capture_output=True, text=True, timeout=10, check=False)
    assert done.stderr.startswith("Usage: kala [OPTIONS]")


SERVER = {"cherrypy", "cheroot", "peewee", "jinja2", "requests", "daemon", "kala.config", "kala.app", "kala.store"}


def imported_by(*arguments: str) -> set[str]:
    program = (
        "import sys\nfrom kala.cli import commands\n"
        "try: commands(sys.argv[1:], prog_name='kala')\n"
        "finally: print(*sys.modules, file=sys.stderr)"
    )
    command = [sys.executable, "-c", program, *arguments]
    return set(subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stderr.split())


@pytest.mark.parametrize("arguments", [["--help"], ["jobs", "--help"], ["start", "--help"]])
def test_help_imports_neither_the_client_nor_any_part_of_the_server(arguments):
    assert not imported_by(*arguments) & (SERVER | {"msgspec", "http.client", "kala.client", "yaml", "wcwidth"})


@pytest.mark.parametrize(
    "arguments", [["jobs"], ["runs"], ["show", "x"], ["create", "x"], ["set", "x", "tag=b"], ["api", "GET", "x"]]
)
def test_a_client_command_imports_no_part_of_the_server(arguments):
    imported = imported_by("--url", "http://127.0.0.1:1", *arguments)
    assert "kala.client" in imported
    assert not imported & SERVER
