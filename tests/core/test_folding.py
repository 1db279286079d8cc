"""Case-insensitive comparison, whatever the alphabet."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kala.core.folding import folded


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Backup", "bACKUP"),
        ("ÄRZTE", "ärzte"),
        ("STRASSE", "straße"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        ("ПРИВЕТ", "привет"),
        ("İ", "i\N{COMBINING DOT ABOVE}"),
        ("Ö", "o\N{COMBINING DIAERESIS}"),
    ],
)
def test_texts_that_differ_only_in_case_fold_to_the_same(one, other):
    assert folded(one) == folded(other)


@pytest.mark.parametrize(("one", "other"), [("ä", "a"), ("i", "ı"), ("a", "α")])
def test_different_letters_stay_different(one, other):
    assert folded(one) != folded(other)


@given(st.text())
def test_folding_ignores_composition_and_is_idempotent(text):
    assert folded(unicodedata.normalize("NFC", text)) == folded(unicodedata.normalize("NFD", text))
    assert folded(folded(text)) == folded(text)
