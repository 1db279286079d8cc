"""What a run prints is kept up to a limit: the beginning and the end stay, one line tells what went."""

import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kala.engine.output import Output, path_of


def kept(path: Path, limit: int, *pieces: bytes) -> bytes:
    """What is in the file when all pieces were printed."""
    with Output(path, limit) as output:
        for piece in pieces:
            output.write(piece)
    return path.read_bytes()


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "0" / "1.out"


class TestWhatIsKept:
    def test_is_all_up_to_the_limit(self, path):
        assert kept(path, 10, b"01234", b"56789") == b"0123456789"

    def test_beyond_the_limit_is_the_beginning_and_the_end(self, path):
        assert kept(path, 10, b"0123456789ABCDE") == b"01234\n[kala: 5 bytes were cut out here]\nABCDE"

    def test_is_nothing_where_nothing_was_printed_not_even_a_file(self, path):
        with Output(path, 10) as output:
            output.write(b"")
        assert not path.exists()
        assert (output.size, output.is_cut) == (0, False)

    def test_is_for_the_owner_of_kala_alone(self, path):
        kept(path, 10, b"secret")
        assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)

    def test_replaces_what_an_earlier_kala_left_there(self, path):
        kept(path, 100, b"a longer text")
        assert kept(path, 100, b"short") == b"short"

    def test_stays_as_it_is_when_it_is_closed_again(self, path):
        output = Output(path, 4)
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
        path = Path(folder) / "out"
        with Output(path, limit) as output:
            for piece in pieces:
                output.write(piece)
        found = path.read_bytes() if path.exists() else b""
    assert len(found) == output.size
    assert output.is_cut == (len(everything) > limit)
    if output.is_cut:
        line = f"\n[kala: {len(everything) - limit} bytes were cut out here]\n".encode()
        head, tail = limit // 2, limit - limit // 2
        assert found == everything[:head] + line + everything[-tail:]
    else:
        assert found == everything


def test_a_flood_costs_no_more_than_its_limit(path):
    with Output(path, 1000) as output:
        for _ in range(100):
            output.write(b"x" * 65536)
        assert path.stat().st_size <= 1000
    assert re.search(rb"\n\[kala: 6552600 bytes were cut out here\]\n", path.read_bytes())


@pytest.mark.parametrize(
    ("run", "file"), [(1, "0/1.out"), (999, "0/999.out"), (1000, "1/1000.out"), (1_234_567, "1234/1234567.out")]
)
def test_a_folder_holds_a_thousand_outputs(run, file):
    assert path_of(Path("/output"), run) == Path("/output") / file
