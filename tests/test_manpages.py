"""packaging/manpages.py writes three files into a folder, and nothing if its arguments are invalid."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "packaging/manpages.py"


def call(folder, *arguments):
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_it_writes_the_pages_and_the_settings_into_a_new_folder(tmp_path):
    assert call(tmp_path, "new/pages").returncode == 0
    assert {path.name for path in (tmp_path / "new/pages").iterdir()} == {"kala.1", "kala.toml.5", "kala.toml"}


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-o"], ["one", "two"]])
def test_it_refuses_arguments_that_are_not_one_folder(tmp_path, arguments):
    done = call(tmp_path, *arguments)
    assert done.returncode == 1
    assert done.stderr == f"usage: {SCRIPT} FOLDER, such as build/pages\n"
    assert list(tmp_path.iterdir()) == []
