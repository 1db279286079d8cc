"""The secrets of tokens, sessions and invitations: 190 random bits, and a checksum that tells a typo from a guess.

Kala stores a hash only. SHA-256 without a salt suffices, as nobody can guess that many bits.
"""

import hashlib
import re
import secrets
import string
import zlib

_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_PREFIX = "kala_"
_RANDOM = 32
_CHECKSUM = 6  # the digits of 32 bits
_FORM = re.compile(rf"{_PREFIX}[0-9A-Za-z]{{{_RANDOM + _CHECKSUM}}}")


def new_secret() -> str:
    """Return a secret that nobody has had, with a prefix by which tools find it where it has leaked."""
    text = _PREFIX + "".join(secrets.choice(_DIGITS) for _ in range(_RANDOM))
    return text + _checksum(text)


def is_secret(text: str) -> bool:
    """Whether Kala may have made this text: its form and its checksum are right. If not, do not look it up."""
    return _FORM.fullmatch(text) is not None and text.endswith(_checksum(text[:-_CHECKSUM]))


def hashed(secret: str) -> bytes:
    """Return what is stored of a secret, and looked up."""
    return hashlib.sha256(secret.encode()).digest()


def _checksum(text: str) -> str:
    number, digits = zlib.crc32(text.encode()), ""
    for _ in range(_CHECKSUM):
        number, digit = divmod(number, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return digits
