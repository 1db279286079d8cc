"""The wheel has all of Kala, also what is not Python, and works."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("setup.py", "pyproject.toml", "README.md", "kala")


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """The content of a wheel, made from a copy, as setuptools leaves files behind."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, f"--wheel-dir={folder}", str(folder)], check=True)
    [wheel] = folder.glob("*.whl")
    shutil.unpack_archive(wheel, folder / "site", "zip")
    return folder / "site"


def files(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"}


def test_it_has_each_file_of_kala(unpacked):
    assert files(unpacked / "kala") == files(ROOT / "kala")


def test_it_serves_jobs_and_pages(unpacked, tmp_path):
    command = [ROOT / "packaging/smoke.sh", "env", f"PYTHONPATH={unpacked}", sys.executable, "-m", "kala"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "smoke: a script by others" in done.stdout
