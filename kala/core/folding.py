"""Text compared without regard to case, in every alphabet."""

import unicodedata


def folded(text: str) -> str:
    """What two texts have in common that differ in case alone, or in how their accents are composed.

    Canonical caseless matching (Unicode, chapter 3.13, D145).
    """
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", text).casefold())
