"""Decode content codings (RFC 9110, section 8.4.1): some servers compress a body though Kala does not ask for it."""

import zlib
from collections.abc import Iterator

from kala.core.limits import RESPONSE_UNPACKED
from kala.runner.exchange import BrokenError

_PIECE = 1 << 16
_GZIP = b"\x1f\x8b"
# inflateInit2 of zlib.h: detect the header of zlib or gzip; expect no header.
_WITH_HEADER, _RAW = 32 + zlib.MAX_WBITS, -zlib.MAX_WBITS
_KNOWN = frozenset({"gzip", "x-gzip", "deflate"})


def decoded(pieces: Iterator[bytes], codings: list[str]) -> Iterator[bytes]:
    """Yield the decompressed body. A body with an unknown coding or with several stays as it is."""
    codings = [coding for coding in codings if coding != "identity"]
    return _within_limit(_inflate(pieces)) if len(codings) == 1 and codings[0] in _KNOWN else pieces


def _within_limit(pieces: Iterator[bytes]) -> Iterator[bytes]:
    left = int(RESPONSE_UNPACKED)
    for piece in pieces:
        left -= len(piece)
        if left < 0:
            raise BrokenError(f"the decompressed body is larger than {RESPONSE_UNPACKED} bytes")
        yield piece


def _inflate(pieces: Iterator[bytes]) -> Iterator[bytes]:
    inflater, has_started = None, False
    for piece in pieces:
        data = piece
        while data:
            if inflater is None:
                if has_started and data[0] != _GZIP[0]:
                    break  # padding after the last gzip member
                # Some servers send deflate without the header of zlib.
                has_header = data[0] == _GZIP[0] or data[0] & 0x8F == zlib.DEFLATED
                inflater, has_started = zlib.decompressobj(_WITH_HEADER if has_header else _RAW), True
            yield from _decompress(inflater, data)
            data = inflater.unused_data
            if inflater.eof:
                inflater = None  # another gzip member can follow (RFC 1952, section 2.2)
    if inflater:
        raise BrokenError("the compressed body is truncated")


def _decompress(inflater: "zlib._Decompress", data: bytes) -> Iterator[bytes]:
    """Yield the decompressed data in small pieces, however large they are."""
    is_full = False
    while data or is_full:
        try:
            piece = inflater.decompress(data, _PIECE)
        except zlib.error as error:
            raise BrokenError(f"the compressed body is corrupt: {error}") from error
        if piece:
            yield piece
        data, is_full = inflater.unconsumed_tail, len(piece) == _PIECE
