"""The output of a run is kept up to a limit: the head and the tail stay, a line says how much was omitted."""

import os
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kala.runner.output import INLINE_BYTES, Output
from kala.runner.spool import live_path_of, path_of


def kept(folder: Path, limit: int, *pieces: bytes) -> bytes:
    """Return what is kept after all pieces were printed."""
    output = Output(folder, 1, limit)
    for piece in pieces:
        output.write(piece)
    return kept_by(output)


def kept_by(output: Output) -> bytes:
    data = output.close()
    return output.path.read_bytes() if data is None else data


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "0" / "1.out"


class TestTheKeptOutput:
    def test_is_everything_up_to_the_limit(self, tmp_path, path):
        assert kept(tmp_path, 10, b"01234", b"56789") == b"0123456789"

    def test_beyond_the_limit_is_the_head_and_the_tail(self, tmp_path, path):
        assert kept(tmp_path, 10, b"0123456789ABCDE") == b"01234\n[kala: 5 bytes omitted here]\nABCDE"

    def test_is_empty_without_a_file_if_nothing_was_printed(self, tmp_path, path):
        output = Output(tmp_path, 1, 10)
        output.write(b"")
        assert output.close() == b""
        assert not path.exists()
        assert (output.size, output.is_cut) == (0, False)

    def test_is_readable_only_by_kalas_user(self, tmp_path, path):
        kept(tmp_path, 10, b"much too secret")
        assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)

    def test_replaces_files_that_an_earlier_kala_left(self, tmp_path, path):
        for left in (path, live_path_of(tmp_path, 1)):
            left.parent.mkdir()
            left.write_bytes(b"x" * 100_000)
        assert kept(tmp_path, 1 << 20, b"short" * 10_000) == b"short" * 10_000

    def test_does_not_change_when_it_is_closed_again(self, tmp_path, path):
        output = Output(tmp_path, 1, 4)
        output.write(b"0123456789")
        output.close()
        once = path.read_bytes()
        output.close()
        assert path.read_bytes() == once


pieces = st.lists(st.binary(max_size=300), max_size=12)


@given(pieces, st.integers(1, 400))
def test_the_kept_head_and_tail_are_the_true_head_and_tail(pieces, limit):
    everything = b"".join(pieces)
    with tempfile.TemporaryDirectory() as folder:
        output = Output(Path(folder), 1, limit)
        for piece in pieces:
            output.write(piece)
        found = kept_by(output)
    assert len(found) == output.size
    assert output.is_cut == (len(everything) > limit)
    if output.is_cut:
        line = f"\n[kala: {len(everything) - limit} bytes omitted here]\n".encode()
        head, tail = limit // 2, limit - limit // 2
        assert found == everything[:head] + line + everything[-tail:]
    else:
        assert found == everything


def read_all(output: Output, size: int) -> bytes:
    """Return what a reader gets from the beginning to the end, `size` bytes at a time."""
    parts, offset = [], 0
    while True:
        data, following = output.read(offset, size)
        if not data:
            return b"".join(parts)
        assert following > offset
        parts.append(data)
        offset = following


def what_is_kept_of(everything: bytes, limit: int) -> bytes:
    cut = len(everything) - limit
    if cut <= 0:
        return everything
    head, tail = limit // 2, limit - limit // 2
    return everything[:head] + f"\n[kala: {cut} bytes omitted here]\n".encode() + everything[-tail:]


@given(pieces, st.integers(1, 400), st.integers(1, 500), st.lists(st.booleans(), min_size=12, max_size=12))
def test_a_reader_gets_what_is_kept_so_far_at_any_time(pieces, limit, size, spills):
    everything = b""
    with tempfile.TemporaryDirectory() as folder:
        output = Output(Path(folder), 1, limit)
        for piece, spill in zip(pieces, spills, strict=False):
            output.write(piece)
            everything += piece
            if spill:
                output.spill()
            assert read_all(output, size) == what_is_kept_of(everything, limit)
        output.close()
        assert read_all(output, size) == what_is_kept_of(everything, limit)


@given(pieces, st.integers(1, 400), st.data())
def test_a_following_reader_gets_what_was_printed_and_a_line_about_gaps(pieces, limit, data):
    offset, everything = 0, b""
    with tempfile.TemporaryDirectory() as folder:
        output = Output(Path(folder), 1, limit)
        for piece in pieces:
            output.write(piece)
            everything += piece
            before = offset
            found, offset = output.read(before, data.draw(st.integers(1, 500)))
            cut, resumes = len(everything) - limit, len(everything) - (limit - limit // 2)
            if cut > 0 and limit // 2 <= before < resumes:
                assert (found, offset) == (f"\n[kala: {cut} bytes omitted here]\n".encode(), resumes)
            else:
                assert found == everything[before:offset]
        output.close()


class TestReading:
    def test_beyond_the_end_gives_nothing(self, tmp_path, path):
        output = Output(tmp_path, 1, 10)
        output.write(b"01234")
        assert output.read(5, 10) == (b"", 5)

    def test_in_the_omitted_part_gives_the_line_that_says_so_and_the_offset_after_it(self, tmp_path, path):
        output = Output(tmp_path, 1, 10)
        output.write(b"0123456789ABCDE")
        assert output.read(7, 100) == (b"\n[kala: 5 bytes omitted here]\n", 10)
        assert output.read(10, 100) == (b"ABCDE", 15)

    def test_gives_the_same_after_the_end(self, tmp_path, path):
        output = Output(tmp_path, 1, 10)
        output.write(b"0123456789ABCDE")
        output.close()
        assert output.read(0, 100) == (b"01234", 5)
        assert output.read(5, 100) == (b"\n[kala: 5 bytes omitted here]\n", 10)
        assert output.read(10, 100) == (b"ABCDE", 15)


class TestOutputOnlyInMemory:
    """A writer without pauses need not check `spill_at`; one that waits between two writes must."""

    @pytest.mark.parametrize("limit", [1 << 20, 10])
    def test_is_written_to_disk_by_the_first_write_a_second_later(self, tmp_path, monkeypatch, limit):
        now = 100.0
        monkeypatch.setattr("time.monotonic", lambda: now)
        output = Output(tmp_path, 1, limit)
        assert output.spill_at == float("inf")
        output.write(b"0123456789ABCDE")
        output.spill()
        assert output.spill_at == float("inf")
        output.write(b"abcde" * 10)
        if limit == 10:
            assert output.spill_at == now + 1
            now += 1
            output.write(b"fghij" * 10)
        assert output.spill_at == float("inf")
        files = sorted((tmp_path / "live").iterdir(), key=lambda file: len(file.name))
        assert files[-1].read_bytes().endswith(b"fghij" if limit == 10 else b"abcde")
        output.close()

    def test_waits_a_second_while_it_is_small(self, tmp_path, monkeypatch):
        now = 100.0
        monkeypatch.setattr("time.monotonic", lambda: now)
        output = Output(tmp_path, 1, 1 << 20)
        output.write(b"a")
        now += 0.9
        output.write(b"b")
        assert (output.is_spooled, output.spill_at) == (False, 101.0)
        now += 0.2
        output.write(b"c")
        assert output.is_spooled
        assert live_path_of(tmp_path, 1).read_bytes() == b"abc"
        output.close()


class TestASmallOutput:
    def test_is_never_in_a_file(self, tmp_path, path):
        output = Output(tmp_path, 1, 1 << 20)
        output.write(b"x" * INLINE_BYTES)
        assert output.is_only_in_memory
        assert output.close() == b"x" * INLINE_BYTES
        assert not path.exists()

    def test_that_grows_goes_into_a_file(self, tmp_path, path):
        output = Output(tmp_path, 1, 1 << 20)
        output.write(b"x" * INLINE_BYTES)
        output.write(b"x")
        assert live_path_of(tmp_path, 1).read_bytes() == b"x" * (INLINE_BYTES + 1)
        assert output.close() is None
        assert path.read_bytes() == b"x" * (INLINE_BYTES + 1)

    def test_that_was_spilled_comes_back_and_its_spool_can_be_removed(self, tmp_path, path):
        output = Output(tmp_path, 1, 1 << 20)
        output.write(b"hello")
        output.spill()
        assert live_path_of(tmp_path, 1).read_bytes() == b"hello"
        assert not output.is_only_in_memory
        assert output.close() == b"hello"
        output.discard_spool()
        assert not path.exists()
        assert not live_path_of(tmp_path, 1).exists()

    def test_that_was_spilled_can_be_appended_to(self, tmp_path, path):
        output = Output(tmp_path, 1, 1 << 20)
        output.write(b"hello")
        output.spill()
        output.write(b" world")
        assert output.read(0, 100) == (b"hello world", 11)
        assert output.close() == b"hello world"


@pytest.mark.parametrize("printed", [b"", b"x", b"x" * 20_000, b"x" * 70_000, b"x" * 200_000])
def test_after_the_end_no_other_file_stays(tmp_path, printed):
    output = Output(tmp_path, 1, 50_000)
    output.write(printed)
    output.spill()
    data = output.close()
    output.discard_spool()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files == ([output.path] if data is None else [])


class TestAFullDisk:
    """The command goes on: its work counts more than its output."""

    @pytest.fixture
    def full(self, monkeypatch):
        def write(*_: object) -> int:
            raise OSError(28, "No space left on device")

        return lambda: monkeypatch.setattr(os, "write", write)

    def test_ends_the_kept_output_at_that_point(self, tmp_path, full):
        output = Output(tmp_path, 1, 1 << 20)
        output.write(b"x" * 20_000)
        full()
        output.write(b"y" * 20_000)
        assert output.fault == "No space left on device"
        assert read_all(output, 7000) == b"x" * 20_000
        assert output.close() is None
        assert (output.path.read_bytes(), output.size) == (b"x" * 20_000, 20_000)

    def test_keeps_in_memory_what_is_there_and_no_more(self, tmp_path, full):
        full()
        output = Output(tmp_path, 1, 1 << 20)
        output.write(b"x" * 20_000)
        output.write(b"y" * 20_000)
        assert not output.is_only_in_memory
        assert read_all(output, 7000) == b"x" * 20_000
        assert output.close() == b"x" * 20_000

    def test_is_reported_if_it_shows_only_at_the_end(self, tmp_path, full):
        output = Output(tmp_path, 1, 10)
        output.write(b"x" * 20)
        full()
        assert output.close() is None
        assert output.fault == "No space left on device"
        assert output.size == output.path.stat().st_size

    def test_is_handled_like_a_file_that_was_truncated_meanwhile(self, tmp_path):
        output = Output(tmp_path, 1, 1000)
        output.write(b"x" * 2000)
        os.truncate(live_path_of(tmp_path, 1), 100)
        output.close()
        assert output.fault == f"{live_path_of(tmp_path, 1)} is shorter than the output written to it"

    def test_keeps_a_file_that_cannot_be_synced_and_says_its_size(self, tmp_path, monkeypatch):
        def fsync(_: int) -> None:
            raise OSError(5, "Input/output error")

        output = Output(tmp_path, 1, 1 << 20)
        output.write(b"x" * 20_000)
        monkeypatch.setattr(os, "fsync", fsync)
        assert output.close() is None
        assert (output.fault, output.size) == ("Input/output error", 20_000)
        assert read_all(output, 7000) == b"x" * 20_000


def test_a_flood_costs_no_more_than_twice_its_limit(tmp_path, path):
    output = Output(tmp_path, 1, 1000)
    for _ in range(100):
        output.write(b"x" * 65536)
        assert sum(file.stat().st_size for file in (tmp_path / "live").iterdir()) <= 2000
    assert output.close() is None
    assert re.search(rb"\n\[kala: 6552600 bytes omitted here\]\n", path.read_bytes())


@pytest.mark.parametrize(
    ("run", "file"), [(1, "0/1.out"), (999, "0/999.out"), (1000, "1/1000.out"), (1_234_567, "1234/1234567.out")]
)
def test_a_folder_holds_a_thousand_outputs(run, file):
    assert path_of(Path("/output"), run) == Path("/output") / file
