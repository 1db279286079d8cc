"""The output of a run on disk is consistent at every moment, so that it survives a kill."""

import os
import re
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kala.runner.spool import Spool, clear, live_path_of, path_of


def kept_of(everything: bytes, limit: int) -> bytes:
    cut = len(everything) - limit
    if cut <= 0:
        return everything
    head, tail = limit // 2, limit - limit // 2
    return everything[:head] + f"\n[kala: {cut} bytes omitted here]\n".encode() + everything[-tail:]


def mended(folder: Path, run_id: int = 1) -> bytes:
    """Return the output that the next Kala makes of what the last one left."""
    spool = Spool.found(folder, run_id)
    spool.finish(path_of(folder, run_id))
    clear(folder)
    return path_of(folder, run_id).read_bytes()


pieces = st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=20)


@given(pieces, st.integers(2, 400), st.data())
def test_output_flushed_before_a_kill_is_kept_as_if_the_run_had_ended_there(pieces, limit, data):
    with tempfile.TemporaryDirectory() as folder:
        killed = Spool(Path(folder), 1, limit)
        for piece in pieces:
            killed.append(piece)
            if data.draw(st.booleans()):
                killed.flush()
        killed.flush()
        assert mended(Path(folder)) == kept_of(b"".join(pieces), limit)
        killed.close()


@given(pieces, st.integers(2, 400), st.data())
def test_a_kill_at_any_moment_loses_only_output_since_the_last_flush(pieces, limit, data):
    """The directory is copied after each change: a kill at that moment would leave it so."""
    everything = b"".join(pieces)
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        folder, left = Path(place, "output"), []

        def changing(change):
            def changed(*arguments, **options):
                result = change(*arguments, **options)
                left.append((Path(place, str(len(left))), flushed))
                shutil.copytree(folder, left[-1][0])
                return result

            return changed

        written, flushed, killed = 0, 0, Spool(folder, 1, limit)
        # A few bytes at a time, because a kill can interrupt a write.
        write = os.write
        patch.setattr(os, "write", changing(lambda file, given: write(file, given[: max(1, limit // 3)])))
        patch.setattr(Path, "unlink", changing(Path.unlink))
        for piece in pieces:
            killed.append(piece)
            written += len(piece)
            if data.draw(st.booleans()):
                killed.flush()
                flushed = written
        patch.undo()
        killed.close()
        for state, certain in left:
            found = mended(state)
            cut = re.search(rb"\n\[kala: (\d+) bytes omitted here\]\n", found)
            count = limit + int(cut[1]) if cut else len(found)
            assert count >= certain
            assert found == kept_of(everything[:count], limit)


@given(pieces, st.integers(2, 400), st.lists(st.booleans(), min_size=20, max_size=20))
def test_kept_output_is_read_the_same_from_memory_and_disk(pieces, limit, flushes):
    with tempfile.TemporaryDirectory() as folder:
        spool, everything = Spool(Path(folder), 1, limit), b""
        for piece, flush in zip(pieces, flushes, strict=False):
            spool.append(piece)
            everything += piece
            if flush:
                spool.flush()
            start = max(0, len(everything) - spool.tail)
            offset, found = start, b""
            while offset < len(everything):
                found += spool.read(offset, 50)
                offset = start + len(found)
            assert found == everything[start:]
        spool.close()


def test_output_that_is_not_kept_is_not_written(tmp_path):
    spool = Spool(tmp_path, 1, 1000)
    for number in range(1000):
        spool.append(b"%06d\n" % number * 100)
        if number % 100 == 99:
            spool.flush()
            sizes = [file.stat().st_size for file in (tmp_path / "live").iterdir()]
            assert sorted(sizes) == [500, 1000]
    spool.close()


def test_memory_use_does_not_grow_with_the_tail(tmp_path, monkeypatch):
    monkeypatch.setattr("kala.runner.spool._PENDING_BYTES", 100)
    spool = Spool(tmp_path, 1, 2000)
    for number in range(1000):
        spool.append(b"%03d\n" % number * 10)
        assert sum(map(len, spool._pending)) < 100
    spool.flush()
    assert mended(tmp_path) == kept_of(b"".join(b"%03d\n" % number * 10 for number in range(1000)), 2000)
    spool.close()


def test_a_kill_between_two_segments_loses_nothing(tmp_path):
    killed = Spool(tmp_path, 1, 10)
    for piece in (b"0123456789", b"ABCDE", b"abcde"):
        killed.append(piece)
        killed.flush()
    live_path_of(tmp_path, 1).with_name("1.out.20").touch()
    assert mended(tmp_path) == b"01234\n[kala: 10 bytes omitted here]\nabcde"


def test_a_foreign_file_is_not_a_segment(tmp_path):
    killed = Spool(tmp_path, 1, 10)
    killed.append(b"0123456789ABCDE")
    killed.flush()
    live_path_of(tmp_path, 1).with_name("1.out.bak").write_bytes(b"somebody's")
    assert mended(tmp_path) == b"01234\n[kala: 5 bytes omitted here]\nABCDE"


def test_a_kill_while_the_final_file_is_written_loses_nothing(tmp_path):
    killed = Spool(tmp_path, 1, 10)
    killed.append(b"0123456789ABCDE")
    killed.flush()
    path_of(tmp_path, 1).parent.mkdir()
    path_of(tmp_path, 1).write_bytes(b"012")
    assert mended(tmp_path) == b"01234\n[kala: 5 bytes omitted here]\nABCDE"


@pytest.mark.parametrize(
    ("first", "segments", "kept"),
    [
        pytest.param(b"0", {15: b"ABCDE"}, b"0", id="nearly all of the beginning"),
        pytest.param(b"0123456789", {15: b"", 20: b"fgh"}, b"0123456789", id="a part of each segment"),
        pytest.param(b"0123456789", {20: b"fgh"}, b"0123456789", id="a segment, and a part of the next"),
        pytest.param(
            b"0123456789", {15: b"ABCDE", 20: b""}, b"01234\n[kala: 10 bytes omitted here]\nABCDE", id="the last"
        ),
        pytest.param(b"0123", {10: b"!"}, b"0123", id="a part of the beginning and of the only segment"),
    ],
)
def test_after_a_power_cut_the_head_is_kept_and_a_tail_only_if_it_is_whole(tmp_path, first, segments, kept):
    path = live_path_of(tmp_path, 1)
    path.parent.mkdir()
    path.write_bytes(first)
    for start, data in segments.items():
        path.with_name(f"1.out.{start}").write_bytes(data)
    assert mended(tmp_path) == kept


def test_without_output_nothing_is_found(tmp_path):
    assert Spool.found(tmp_path, 1) is None
    clear(tmp_path)


def test_a_kill_before_the_first_byte_leaves_no_output(tmp_path):
    Spool(tmp_path, 1, 10).append(b"lost by a power cut, or not written yet")
    live_path_of(tmp_path, 1).write_bytes(b"")
    assert Spool.found(tmp_path, 1) is None


def test_output_is_readable_only_by_kalas_user(tmp_path):
    spool = Spool(tmp_path, 1, 10)
    spool.append(b"much too secret")
    spool.flush()
    files = [live_path_of(tmp_path, 1), live_path_of(tmp_path, 1).with_name("1.out.10")]
    assert [file.stat().st_mode & 0o777 for file in (files[0].parent, *files)] == [0o700, 0o600, 0o600]


def test_a_file_that_cannot_be_removed_is_logged_without_an_error(tmp_path, monkeypatch, caplog):
    def unlink(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    spool = Spool(tmp_path, 1, 10)
    spool.append(b"printed")
    spool.close()
    monkeypatch.setattr(Path, "unlink", unlink)
    spool.discard()
    [line] = caplog.messages
    assert line == f"cannot remove {live_path_of(tmp_path, 1)}, which is no longer needed: Input/output error"
