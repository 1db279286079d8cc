"""The package kala_client, in clients/python."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import kala

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "kala/client").glob("*.py"))


def test_the_wheel_has_the_client_under_another_name_and_works_without_kala(tmp_path):
    project = tmp_path / "python"
    shutil.copytree(
        ROOT / "clients/python", project, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
    )
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(tmp_path)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(project)], check=True, timeout=100)
    [wheel] = tmp_path.glob("*.whl")
    program = (
        f"import sys; sys.path.insert(0, {str(wheel)!r}); import kala_client; "
        "print(kala_client.Client('http://a').address.host, [name for name in sys.modules if name.startswith('kala.')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "a []\n"
    assert (project / "kala_client/py.typed").exists()


def test_the_package_has_the_version_of_kala():
    assert f'\nversion = "{kala.__version__}"\n' in (ROOT / "clients/python/pyproject.toml").read_text()


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.name)
def test_the_client_has_only_the_syntax_of_python_3_10(file):
    ast.parse(file.read_text(), feature_version=(3, 10))
