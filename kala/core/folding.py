"""Case-insensitive comparison of text, in every alphabet."""

import unicodedata


def folded(text: str) -> str:
    """Return a form of `text` that is equal for texts that differ only in case or in how accents are composed.

    Canonical caseless matching (Unicode, chapter 3.13, D145).
    """
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", text).casefold())
