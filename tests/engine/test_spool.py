"""What a run prints is in order on the disk at every moment, so that it outlives a kill."""

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from kala.engine.spool import Spool, clear, live_path_of, path_of


def kept_of(everything: bytes, limit: int) -> bytes:
    cut = len(everything) - limit
    if cut <= 0:
        return everything
    head, tail = limit // 2, limit - limit // 2
    return everything[:head] + f"\n[kala: {cut} bytes were cut out here]\n".encode() + everything[-tail:]


def mended(folder: Path, run_id: int = 1) -> bytes:
    """What the next Kala makes of what the last one left."""
    spool = Spool.found(folder, run_id)
    spool.finish(path_of(folder, run_id))
    clear(folder)
    return path_of(folder, run_id).read_bytes()


@given(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=20), st.integers(2, 400))
def test_what_was_printed_before_a_kill_is_kept_as_if_the_run_had_ended_there(pieces, limit):
    with tempfile.TemporaryDirectory() as folder:
        killed = Spool(Path(folder), 1, limit)
        for piece in pieces:
            killed.append(piece)
        assert mended(Path(folder)) == kept_of(b"".join(pieces), limit)
        killed.close()


def test_a_kill_between_two_segments_loses_nothing(tmp_path):
    killed = Spool(tmp_path, 1, 10)
    killed.append(b"0123456789ABCDEabcde")
    live_path_of(tmp_path, 1).with_name("1.out.2").touch()
    assert mended(tmp_path) == b"01234\n[kala: 10 bytes were cut out here]\nabcde"


def test_a_file_that_is_not_ours_is_no_segment(tmp_path):
    killed = Spool(tmp_path, 1, 10)
    killed.append(b"0123456789ABCDE")
    live_path_of(tmp_path, 1).with_name("1.out.bak").write_bytes(b"somebody's")
    assert mended(tmp_path) == b"01234\n[kala: 5 bytes were cut out here]\nABCDE"


def test_a_kill_while_the_output_is_put_together_loses_nothing(tmp_path):
    killed = Spool(tmp_path, 1, 10)
    killed.append(b"0123456789ABCDE")
    path_of(tmp_path, 1).parent.mkdir()
    path_of(tmp_path, 1).write_bytes(b"012")
    assert mended(tmp_path) == b"01234\n[kala: 5 bytes were cut out here]\nABCDE"


def test_a_power_cut_that_took_the_middle_leaves_the_beginning(tmp_path):
    for size in (1, 3, 10):
        killed = Spool(tmp_path, 1, 10)
        killed.append(b"0123456789ABCDEabcdefghij")
        live_path_of(tmp_path, 1).write_bytes(b"0123456789"[:size])
        live_path_of(tmp_path, 1).with_name("1.out.1").write_bytes(b"")
        assert mended(tmp_path) == b"0123456789"[:size]


def test_where_nothing_was_printed_nothing_is_found(tmp_path):
    assert Spool.found(tmp_path, 1) is None
    clear(tmp_path)


def test_a_kill_before_the_first_byte_leaves_no_output(tmp_path):
    Spool(tmp_path, 1, 10).append(b"lost by a power cut, or not written yet")
    live_path_of(tmp_path, 1).write_bytes(b"")
    assert Spool.found(tmp_path, 1) is None


def test_what_was_printed_is_for_the_owner_of_kala_alone(tmp_path):
    Spool(tmp_path, 1, 10).append(b"much too secret")
    files = [live_path_of(tmp_path, 1), live_path_of(tmp_path, 1).with_name("1.out.0")]
    assert [file.stat().st_mode & 0o777 for file in (files[0].parent, *files)] == [0o700, 0o600, 0o600]


def test_a_file_that_cannot_be_removed_is_told_of_and_fails_nobody(tmp_path, monkeypatch, caplog):
    def unlink(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    spool = Spool(tmp_path, 1, 10)
    spool.append(b"printed")
    spool.close()
    monkeypatch.setattr(Path, "unlink", unlink)
    spool.discard()
    [line] = caplog.messages
    assert line == f"{live_path_of(tmp_path, 1)} is not needed any more and could not be removed: Input/output error"
