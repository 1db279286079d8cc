"""Passwords: which ones are allowed, as in NIST SP 800-63B (5.1.1.2), and how they are stored, by scrypt (RFC 7914)."""

import gzip
import hashlib
import hmac
import re
import secrets
import unicodedata
from base64 import b64decode, b64encode
from itertools import pairwise
from pathlib import Path
from threading import BoundedSemaphore, Lock
from typing import NamedTuple

from kala.core.errors import Invalid, too_many_checks
from kala.core.limits import CHECKS
from kala.server.processors import on_any_processor

SHORTEST = 12
LONGEST = 256
# Unicode's normalization can make a text shorter, but takes quadratic time for many combining characters.
_LONGEST_TEXT = 4 * LONGEST
_COMMON = Path(__file__).parent / "common_passwords.txt.gz"
_OBVIOUS = ("kala", "password", "passwort", "admin")
_NOT_LETTERS = re.compile(r"[\W\d_]+")
# The steps from each character to the next: up or down, with 0 after 9 or 9 after 0.
_SEQUENCES = ({1}, {-1}, {1, -9}, {-1, 9})


class _Cost(NamedTuple):
    """What one hash costs: p passes over 2**ln blocks of r times 128 bytes."""

    ln: int
    r: int
    p: int

    def __str__(self) -> str:
        return f"ln={self.ln},r={self.r},p={self.p}"


# 32 MiB, and 0.25 s of CPU time, as in OWASP's Password Storage Cheat Sheet.
_COST = _Cost(15, 8, 3)
_STORED = re.compile(r"\$scrypt\$ln=(\d+),r=(\d+),p=(\d+)\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)")
# One hash at a time, which leaves a processor to others, without the GIL. What waits for it holds a worker of the HTTP
# server, so only a few may wait.
_TURN = Lock()
_PLACES = BoundedSemaphore(CHECKS)

DUMMY = f"$scrypt${_COST}${'A' * 22}${'A' * 43}"
"""A stored password that none matches: to check against where there is no account, which takes the same time."""


def check_new(password: str, name: str) -> None:
    """Raise Invalid if a user of this name should not have this password. The message does not show it."""
    text, folded_name = _normalized(password), name.casefold()
    if len(password) > _LONGEST_TEXT or len(text) > LONGEST:
        raise Invalid(f"password: must have at most {LONGEST} characters, not {max(len(text), len(password))}")
    if len(text) < SHORTEST:
        raise Invalid(f"password: must have at least {SHORTEST} characters, not {len(text)}; use several words")
    folded = text.casefold()
    if folded == folded_name or _is_obvious(folded, folded_name):
        raise Invalid("password: is the user's name or an obvious word with little else; use several other words")
    if folded in _common() or _is_regular(folded):
        raise Invalid("password: is one of those that are tried first; use several words that do not belong together")


def hashed(password: str) -> str:
    """Return what is stored of a password. Raise Busy if too many others are being hashed."""
    salt = secrets.token_bytes(16)
    return f"$scrypt${_COST}${_base64(salt)}${_base64(_scrypt(password, salt, _COST, 32))}"


def matches(password: str, stored: str) -> bool:
    """Whether this is the password that was stored. Raise Busy if too many others are being hashed."""
    match = _STORED.fullmatch(stored)
    if match is None:
        raise ValueError("a stored password is damaged")
    salt, expected = (b64decode(f"{text}{'=' * (-len(text) % 4)}") for text in match.group(4, 5))
    cost = _Cost(*map(int, match.group(1, 2, 3)))
    return hmac.compare_digest(_scrypt(password, salt, cost, len(expected)), expected)


def _scrypt(password: str, salt: bytes, cost: _Cost, length: int) -> bytes:
    n, r, p = 2**cost.ln, cost.r, cost.p
    given = _normalized(password).encode(errors="surrogatepass")
    if not _PLACES.acquire(blocking=False):
        raise too_many_checks()
    try:
        with _TURN, on_any_processor():
            return hashlib.scrypt(given, salt=salt, n=n, r=r, p=p, dklen=length, maxmem=128 * r * (n + p + 2))
    finally:
        _PLACES.release()


def _normalized(password: str) -> str:
    """Return the same text for the same password, whichever keyboard it is from; for one that is too long, none."""
    return "" if len(password) > _LONGEST_TEXT else unicodedata.normalize("NFKC", password)


def _is_obvious(text: str, name: str) -> bool:
    """Whether all letters of the text are the name or obvious words, as in Kala-2026-Admin."""
    letters = _NOT_LETTERS.sub("", text)
    rest = letters
    for word in (_NOT_LETTERS.sub("", name), *_OBVIOUS):
        rest = rest.replace(word, "") if word else rest
    return not rest and bool(letters)


def _is_regular(text: str) -> bool:
    """Whether the text repeats up to four characters, as abcabcabc, or is a sequence, as 34567890 or cba."""
    repeats = any(text[period:] == text[:-period] for period in range(1, 5))
    return repeats or {ord(after) - ord(before) for before, after in pairwise(text)} in _SEQUENCES


def _common() -> list[str]:
    return gzip.decompress(_COMMON.read_bytes()).decode().splitlines()


def _base64(data: bytes) -> str:
    return b64encode(data).decode().rstrip("=")
