"""The secrets of tokens, sessions and invitations."""

import re
import string
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kala.access.credentials import hashed, is_secret, new_secret

KNOWN = "kala_00000000000000000000000000000000"
DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase


def has_checksum(secret):
    number = 0
    for digit in secret[37:]:
        number = number * 62 + DIGITS.index(digit)
    return number == zlib.crc32(secret[:37].encode())


def test_a_secret_is_a_prefix_32_random_digits_and_a_checksum_of_6():
    assert re.fullmatch(r"kala_[0-9A-Za-z]{38}", new_secret())
    assert is_secret(new_secret())


def test_two_secrets_differ():
    assert len({new_secret() for _ in range(1_000)}) == 1_000


def test_a_secret_uses_all_62_digits():
    assert {*"".join(new_secret()[5:37] for _ in range(200))} == {*DIGITS}


def test_the_checksum_is_the_crc32_of_what_is_before_it_in_base_62():
    assert has_checksum(new_secret())


def test_a_checksum_that_was_right_stays_right():
    assert is_secret(f"{KNOWN}0R0lF0")


@given(st.integers(0, 42), st.sampled_from(DIGITS + "_ é"))
def test_one_wrong_character_is_found(place, character):
    secret = f"{KNOWN}0R0lF0"
    changed = secret[:place] + character + secret[place + 1 :]
    assert is_secret(changed) == (changed == secret)


@pytest.mark.parametrize("text", ["", "kala_", KNOWN, f"{KNOWN}0R0lF0\n", f" {KNOWN}0R0lF0", f"{KNOWN}0R0lF0" * 2])
def test_a_text_of_another_form_is_no_secret(text):
    assert not is_secret(text)


@given(st.text(DIGITS, min_size=38, max_size=38).map("kala_".__add__))
def test_digits_are_a_secret_only_with_the_right_checksum(text):
    assert is_secret(text) == has_checksum(text)


def test_the_hash_of_a_secret_is_its_sha_256():
    assert hashed("kala_a").hex() == "bb41286180d4271124dcdc7414924079c8f5d8cde02bf9f9ed1d377b3fa67b93"
