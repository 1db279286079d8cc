"""The simulated disk: after a power cut, synced data is there, and other data is sometimes lost."""

import random
import subprocess
import sys
from textwrap import dedent

import pytest
from disk import PAGE, SECTOR, Disk, disk, layer, state_of

__all__ = ("disk", "layer")

SEEDS = 200
EIO = 5
PRELUDE = """
import os, sys
def opened(name, flags=os.O_RDWR | os.O_CREAT):
    return os.open(name, flags)
def written(name, data, sync=None):
    file = opened(name)
    os.write(file, data)
    if sync:
        sync(file)
    os.close(file)
os.makedirs(sys.argv[1], exist_ok=True)
os.chdir(sys.argv[1])
"""


@pytest.fixture
def after(disk: Disk):
    """Runs a program in the folder, and returns the states of its files after power cuts with many seeds."""

    def after(program: str, *, wanted: int = 0) -> list[dict[str, bytes | None]]:
        words = [sys.executable, "-c", PRELUDE + dedent(program), str(disk.folder)]
        assert subprocess.run(words, env=disk.environ, check=False, timeout=30).returncode == wanted
        replay = disk.replay()
        assert replay.before_cut() == state_of(disk.folder), "the layer has missed something"
        return [replay.after_cut(random.Random(seed)) for seed in range(SEEDS)]

    return after


def contents(states, name):
    return {state.get(name) for state in states}


@pytest.mark.parametrize("sync", ["os.fsync", "os.fdatasync"])
def test_a_synced_file_is_always_there_with_its_name_and_parent_folders(after, sync):
    states = after(f"os.mkdir('one'); os.mkdir('one/two'); written('one/two/file', b'x' * 5000, {sync})")
    assert contents(states, "one/two/file") == {b"x" * 5000}


def test_unsynced_data_is_sometimes_there_in_full_in_part_or_not_at_all(after):
    found = contents(after("written('file', b'x' * 5000)"), "file")
    assert {None, b"", b"x" * 5000, bytes(5000)} <= found
    assert any(b"x" in content and b"\0" in content for content in found if content)


def test_an_unsynced_overwrite_is_sometimes_lost_or_torn_at_a_sector(after):
    states = after(
        """
        written('file', b'a' * 3 * 4096, os.fsync)
        written('file', b'b' * 3 * 4096)
        """
    )
    found = contents(states, "file")
    assert {b"a" * 3 * PAGE, b"b" * 3 * PAGE} < found
    assert {len(content) for content in found} == {3 * PAGE}
    sectors = {content[at : at + SECTOR] for content in found for at in range(0, 3 * PAGE, SECTOR)}
    assert sectors == {b"a" * SECTOR, b"b" * SECTOR}
    assert any(len({content[at : at + SECTOR] for at in range(0, PAGE, SECTOR)}) > 1 for content in found)


def test_a_sync_does_not_cover_later_writes(after):
    states = after("file = opened('file'); os.write(file, b'a'); os.fsync(file); os.write(file, b'b')")
    assert contents(states, "file") >= {b"a", b"ab"}
    assert all(content.startswith(b"a") for content in contents(states, "file"))


def test_a_later_write_is_sometimes_kept_when_an_earlier_one_is_lost(after):
    states = after(
        """
        written('first', b'a', os.fsync)
        written('second', b'a', os.fsync)
        written('first', b'b')
        written('second', b'b')
        """
    )
    pairs = {(state["first"], state["second"]) for state in states}
    assert pairs == {(a, b) for a in (b"a", b"b") for b in (b"a", b"b")}


def test_an_unsynced_rename_has_happened_or_not(after):
    states = after("written('old', b'x', os.fsync); os.rename('old', 'new')")
    assert {tuple(state.items()) for state in states} == {(("old", b"x"),), (("new", b"x"),)}


@pytest.mark.parametrize("sync", ["os.fsync(opened('new'))", "os.fsync(opened(sys.argv[1], os.O_RDONLY))"])
def test_a_sync_of_the_file_or_folder_makes_a_rename_durable(after, sync):
    states = after(f"written('old', b'x', os.fsync); os.rename('old', 'new'); {sync}")
    assert [state == {"new": b"x"} for state in states] == [True] * SEEDS


def test_fdatasync_does_not_make_a_rename_durable(after):
    states = after("written('old', b'x', os.fsync); os.rename('old', 'new'); os.fdatasync(opened('new'))")
    assert contents(states, "old") == {b"x", None}


def test_a_rename_over_a_file_without_a_sync_leaves_the_old_new_or_an_empty_file(after):
    states = after("written('file', b'old', os.fsync); written('part', b'new'); os.rename('part', 'file')")
    assert contents(states, "file") >= {b"old", b"new", b""}
    assert None not in contents(states, "file")


def test_changes_of_names_become_durable_in_order(after):
    states = after(
        """
        written('one', b'1', os.fsync)
        os.unlink('one')
        os.mkdir('two')
        os.rename('two', 'three')
        """
    )
    found = {tuple(sorted(state)) for state in states}
    assert found == {("one",), (), ("two",), ("three",)}


def test_an_unsynced_truncation_has_happened_or_not(after):
    states = after(
        """
        written('file', b'x' * 9000, os.fsync)
        file = opened('file')
        os.ftruncate(file, 10)
        os.pwrite(file, b'y', 0)
        """
    )
    assert contents(states, "file") >= {b"x" * 9000, b"x" * 10, b"y" + b"x" * 9}
    assert {len(content) for content in contents(states, "file")} == {10, 9000}


def test_all_ways_to_write_are_logged(after):
    states = after(
        """
        written('source', b'from a file', os.fsync)
        file = opened('file', os.O_RDWR | os.O_CREAT | os.O_APPEND)
        os.write(file, b'written ')
        os.writev(file, [b'in one ', b'or more '][:1])
        os.close(file)
        file = opened('file')
        os.lseek(file, 0, os.SEEK_END)
        os.sendfile(file, opened('source'), 5, 6)
        os.pwrite(file, b'W', 0)
        open('text', 'w').write('from Python')
        os.fsync(file)
        """
    )
    assert contents(states, "file") == {b"Written in one a file"}
    assert b"from Python" in contents(states, "text")


def test_neither_a_failed_sync_nor_the_next_one_guarantees_the_data(after, disk):
    disk.fail(("sync", "file", EIO))
    program = """
        file = opened('file')
        os.write(file, b'a' * 4096)
        try:
            os.fsync(file)
        except OSError as error:
            assert error.errno == 5
        else:
            raise AssertionError('the sync did not fail')
    """
    after(program)
    assert disk.faults() == ["file"]
    disk.heal()
    states = after("os.fsync(opened('file'))")
    assert contents(states, "file") >= {bytes(PAGE), b"a" * PAGE}
    states = after("written('file', b'b', os.fsync)")
    assert contents(states, "file") == {b"b" + b"a" * (PAGE - 1)}


@pytest.mark.parametrize(
    ("operation", "statement"),
    [
        ("open", "opened('file')"),
        ("read", "os.read(file, 1)"),
        ("read", "os.pread(file, 1, 0)"),
        ("write", "os.write(file, b'x')"),
        ("write", "os.pwrite(file, b'x', 0)"),
        ("write", "os.sendfile(file, opened('other'), 0, 1)"),
        ("sync", "os.fsync(file)"),
        ("sync", "os.fdatasync(file)"),
        ("truncate", "os.ftruncate(file, 0)"),
        ("rename", "os.rename('file', 'new')"),
        ("unlink", "os.unlink('file')"),
        ("mkdir", "os.mkdir('folder')"),
    ],
)
def test_an_operation_fails_on_demand_for_the_matching_files_only(disk, operation, statement):
    begin = (
        "written('file', b'old'); written('other', b'old'); file = opened('file'); print('go', flush=True); input()\n"
    )
    program = f"try:\n {statement}\nexcept OSError as error:\n print(error.errno)\nelse:\n print('went well')\n"
    words = [sys.executable, "-c", PRELUDE + begin + program, str(disk.folder)]
    for pattern, said in (("f*", "5"), ("x*", "went well")):
        with subprocess.Popen(words, env=disk.environ, stdin=-1, stdout=-1, text=True) as process:
            assert process.stdout.readline() == "go\n"
            disk.fail((operation, pattern, EIO))
            assert process.communicate("\n", timeout=30)[0].strip() == said
        disk.heal()


def test_child_processes_are_not_watched(after, disk):
    states = after(
        """
        import subprocess
        file = opened('mine')
        os.write(file, b'x')
        subprocess.run('env | grep -e DISK_ -e LD_PRELOAD; echo theirs > theirs; rm theirs', shell=True, check=True)
        subprocess.run(['true'], close_fds=True, start_new_session=True, check=True)
        os.fsync(file)
        if not os.fork():
            os.write(file, b'y')
            os.pwrite(file, b'x', 1)
            os.ftruncate(file, 1)
            os._exit(0)
        os.wait()
        """
    )
    assert contents(states, "mine") == {b"x"}
    assert not any("theirs" in state for state in states)
    assert b"LD_PRELOAD" not in disk.log.read_bytes()
