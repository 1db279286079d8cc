import platform
import subprocess
import sys

import pytest
from click.testing import CliRunner

import kala
from kala import __version__
from kala.cli import commands


def test_the_version_is_also_an_option():
    assert CliRunner().invoke(commands, ["--version"]).output == f"kala {__version__}\n"


@pytest.mark.parametrize(("commit", "told"), [(None, ""), ("1a2b3c4\n", "commit 1a2b3c4, ")])
def test_version_prints_what_a_bug_report_needs(commit, told, tmp_path, monkeypatch):
    monkeypatch.setattr(kala, "COMMIT_FILE", tmp_path / "commit.txt")
    if commit:
        (tmp_path / "commit.txt").write_text(commit)
    output = CliRunner().invoke(commands, ["version"]).output
    assert output == f"kala {__version__}, {told}Python {platform.python_version()}\n"


def test_help_names_every_command_with_a_sentence():
    output = CliRunner().invoke(commands, ["-h"]).output
    assert [line.split()[0] for line in output.partition("Commands:\n")[2].splitlines()] == [
        "serve",
        "run",
        "reload",
        "config",
        "backup",
        "restore",
        "openapi",
        "version",
    ]


def test_an_unknown_command_is_a_usage_error():
    result = CliRunner().invoke(commands, ["frobnicate"])
    assert (result.exit_code, "No such command" in result.output) == (2, True)


def test_python_m_kala_calls_itself_kala():
    done = subprocess.run([sys.executable, "-m", "kala"], capture_output=True, text=True, timeout=10, check=False)
    assert done.stderr.startswith("Usage: kala [OPTIONS]")


def test_a_client_command_imports_no_part_of_the_server():
    heavy = "{'cherrypy', 'cheroot', 'peewee', 'jinja2', 'requests', 'daemon', 'kala.config', 'msgspec'}"
    program = f"import sys, kala.cli; print(*({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=10, check=True)
    assert done.stdout.split() == []
