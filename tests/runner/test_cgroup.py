"""Control groups, as far as plain files can show; tests/packaging/test_limits.py has a kernel that obeys them."""

import os

import pytest

from kala.core.errors import Invalid
from kala.core.job import Command, Spec
from kala.runner import cgroup


def limited(**limits):
    return Spec(name="a", action=Command("true"), **limits)


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """Directories as the kernel shows them to a Kala in the group /kala.service, for tests to change."""
    place = tmp_path / "kala.service"
    place.mkdir()
    (place / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    (place / "cgroup.procs").write_text(f"{os.getpid()}\n")
    (place / "cgroup.kill").touch()
    (tmp_path / "self").write_text("1:name=systemd:/old\n0::/kala.service\n")
    monkeypatch.setattr(cgroup, "_MOUNT", tmp_path)
    monkeypatch.setattr(cgroup, "_PROC_CGROUP", tmp_path / "self")
    return place


def refusal(groups) -> str:
    with pytest.raises(Invalid) as error:
        groups.check(limited(memory_max=2**20, tasks_max=3))
    return str(error.value)


class TestSetUp:
    def test_moves_kala_into_a_child_and_enables_the_controllers(self, kernel):
        cgroup.set_up().check(limited(memory_max=2**20))
        assert (kernel / "kala/cgroup.procs").read_text() == str(os.getpid())
        assert (kernel / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"

    def test_leaves_a_kala_that_has_moved_already_where_it_is(self, kernel):
        cgroup.set_up()
        (kernel / "kala/cgroup.controllers").write_text("")
        (kernel.parent / "self").write_text("0::/kala.service/kala\n")
        (kernel / "cgroup.procs").write_text("")
        cgroup.set_up().check(limited(cpu_quota=50))

    def test_fails_on_a_system_with_version_1_only(self, kernel):
        (kernel.parent / "self").write_text("1:name=systemd:/kala.service\n")
        assert refusal(cgroup.set_up()).endswith("the system does not have control groups version 2")

    def test_fails_if_a_controller_is_not_delegated(self, kernel):
        (kernel / "cgroup.controllers").write_text("cpu pids\n")
        assert refusal(cgroup.set_up()).endswith("run it under systemd with Delegate=yes")

    def test_fails_if_the_kernel_cannot_kill_a_group(self, kernel):
        (kernel / "cgroup.kill").unlink()
        assert refusal(cgroup.set_up()).endswith("the kernel is older than 5.14 and cannot kill a control group")

    def test_fails_if_another_process_is_in_the_group(self, kernel):
        (kernel / "cgroup.procs").write_text(f"1\n{os.getpid()}\n")
        assert refusal(cgroup.set_up()).endswith("Kala's control group contains other processes")
        assert not (kernel / "kala").exists()

    def test_names_the_file_that_the_kernel_refuses_to_write(self, kernel):
        (kernel / "cgroup.subtree_control").mkdir()
        assert refusal(cgroup.set_up()).endswith(f"Is a directory: {kernel / 'cgroup.subtree_control'}")


class TestCheck:
    def test_names_the_first_limit(self):
        groups = cgroup.Groups(None, "the moon is full")
        assert refusal(groups) == "memory_max: limits are not available: the moon is full"

    def test_passes_a_job_without_limits(self):
        cgroup.Groups(None, "the moon is full").check(limited())


class TestLimits:
    @pytest.mark.parametrize(
        ("limits", "files"),
        [
            ({"memory_max": 2**20}, {"memory.max": "1048576", "memory.swap.max": "0", "memory.oom.group": "1"}),
            ({"cpu_quota": 150}, {"cpu.max": "150000 100000"}),
            ({"tasks_max": 7}, {"pids.max": "7"}),
        ],
    )
    def test_are_written_to_the_files_of_the_group(self, tmp_path, limits, files):
        cgroup.Groups(tmp_path).open(5, limited(**limits))
        assert {file.name: file.read_text() for file in (tmp_path / "run-5").iterdir()} == files
