"""A compressed body is decompressed as it comes, a small piece at a time."""

import gzip
import zlib
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kala.runner.content import decoded
from kala.runner.exchange import BrokenError

PACKERS = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "x-gzip": lambda data: gzip.compress(data[:100], mtime=0) + gzip.compress(data[100:], mtime=0),
    "deflate": zlib.compress,
    "raw": lambda data: zlib.compress(data, wbits=-15),
}


def parts(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return (data[start:end] for start, end in pairwise(places) if start < end)


@given(st.binary(max_size=500), st.integers(1, 1000), st.sampled_from(sorted(PACKERS)), st.lists(st.integers(0, 10**6)))
@example(b"\0", 1, "raw", list(range(100)))
@example(b"", 1, "gzip", [])
def test_it_is_decompressed_in_whatever_parts_it_comes(data, times, packer, cuts):
    pieces = list(decoded(parts(PACKERS[packer](data * times), cuts), [packer.replace("raw", "deflate")]))
    assert b"".join(pieces) == data * times
    assert all(0 < len(piece) <= 65536 for piece in pieces)


@pytest.mark.parametrize("size", range(65_530, 66_100, 19))
def test_bytes_that_zlib_keeps_when_a_piece_is_full_are_not_lost(size):
    packed = zlib.compress(bytes(size), wbits=-15)
    assert sum(map(len, decoded(iter([packed]), ["deflate"]))) == size


def test_a_bomb_comes_in_small_pieces():
    pieces = decoded(iter([gzip.compress(bytes(10_000_000))]), ["gzip"])
    assert {len(next(pieces)) for _ in range(100)} == {65536}


@pytest.mark.parametrize("codings", [[], ["identity"], ["br"], ["gzip", "gzip"], ["gzip", "br"]])
def test_with_other_codings_it_stays_unchanged(codings):
    assert list(decoded(iter([b"a", b"b"]), codings)) == [b"a", b"b"]


@pytest.mark.parametrize("packer", PACKERS)
def test_one_that_ends_early_is_broken(packer):
    packed = PACKERS[packer](bytes(range(256)) * 9)[:-9]
    with pytest.raises(BrokenError, match="the compressed body is truncated"):
        list(decoded(iter([packed]), [packer.replace("raw", "deflate")]))
