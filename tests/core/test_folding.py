"""Texts that differ in case alone are one, whatever their alphabet."""

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
def test_texts_that_differ_in_case_alone_are_folded_to_the_same(one, other):
    assert folded(one) == folded(other)


@pytest.mark.parametrize(("one", "other"), [("ä", "a"), ("i", "ı"), ("a", "α")])
def test_other_letters_stay_others(one, other):
    assert folded(one) != folded(other)


@given(st.text())
def test_folding_does_not_mind_how_a_text_is_composed_and_twice_is_once(text):
    assert folded(unicodedata.normalize("NFC", text)) == folded(unicodedata.normalize("NFD", text))
    assert folded(folded(text)) == folded(text)
