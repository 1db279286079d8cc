"""Which passwords are allowed, and how they are stored."""

import re
import threading
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from process import eventually

from kala.access import passwords
from kala.access.passwords import DUMMY, check_new, hashed, matches
from kala.core.errors import Busy, Invalid

GOOD = "correct horse battery staple"


@pytest.fixture
def fast(monkeypatch):
    """Take 1 MiB and no time for a hash."""
    monkeypatch.setattr(passwords, "_COST", passwords._Cost(10, 8, 3))


def refusal(password, name="ann"):
    with pytest.raises(Invalid) as error:
        check_new(password, name)
    assert password not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    "password",
    [
        GOOD,
        "twelve_chars",
        "ÄÖÜäöüßàéîõū",
        "密码密码密碼很长很长很长",
        "tr0ub4dor&3 tr0ub4dor&4",
        "192837465012",
        "x" + "9876543210" * 25,
    ],
)
def test_any_password_of_twelve_characters_is_allowed_that_nobody_tries_first(password):
    check_new(password, "ann")


@pytest.mark.parametrize(("password", "length"), [("", 0), ("elevenchars", 11), ("ﬁ" * 5, 10)])
def test_a_short_password_is_refused(password, length):
    with pytest.raises(Invalid, match=f"at least 12 characters, not {length};"):
        check_new(password, "ann")


@pytest.mark.parametrize("password", ["ab c" * 64 + "d", "\ufdfa" * 15, "a" * 1_000_000, "a" + "\u0301" * 1_000_000])
def test_a_long_password_is_refused_at_once(password):
    started = time.thread_time()
    assert refusal(password).startswith("password: must have at most 256 characters, not ")
    assert time.thread_time() - started < 0.5


@pytest.mark.parametrize("password", ["1qaz2wsx3edc", "Unbelievable", "QWERTY123456", "iloveyouforever"])
def test_a_common_password_is_refused_in_any_case(password):
    assert "tried first" in refusal(password)


@pytest.mark.parametrize(
    "password", ["zzzzzzzzzzzz", "abcabcabcabca", "1234123412341", "567890123456", "abcdefghijklm", "2109876543210"]
)
def test_a_password_that_repeats_or_counts_is_refused(password):
    assert "tried first" in refusal(password)


@pytest.mark.parametrize(
    ("password", "name"),
    [
        ("Christopher.W", "christopher.w"),
        ("ann-2026-11-28", "ann"),
        ("ANNannANNann", "ann"),
        ("123456789012345", "123456789012345"),
        ("Kala-Admin-2026!", "bob"),
        ("passwordpassword", "bob"),
    ],
)
def test_a_password_made_of_the_name_or_of_obvious_words_is_refused(password, name):
    assert "obvious" in refusal(password, name)


def test_a_name_inside_a_longer_password_is_allowed():
    check_new("ann likes horses", "ann")
    check_new("twelve_chars", "007")


@given(st.text(max_size=300), st.text(max_size=70))
def test_every_password_is_allowed_or_refused_with_a_sentence(password, name):
    sentences = []
    try:
        check_new(password, name)
    except Invalid as error:
        sentences.append(str(error))
    assert all(re.fullmatch("password: .{20,}", sentence) for sentence in sentences)


def test_the_list_has_the_top_3000_that_would_be_long_enough():
    # As ASVS 5.0 (6.2.4) requires it.
    common = passwords._common()
    assert len(common) > 3_000
    assert {*common} == {word.casefold() for word in common if 12 <= len(word) <= 256}


def test_a_stored_password_has_the_form_of_crypt_with_its_parameters():
    assert re.fullmatch(r"\$scrypt\$ln=15,r=8,p=3\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}", hashed(GOOD))


def test_a_password_matches_what_was_stored_of_it_only(fast):
    stored = hashed(GOOD)
    assert matches(GOOD, stored)
    assert not matches(GOOD + " ", stored)
    assert not matches("", stored)


def test_the_same_password_is_stored_with_another_salt_each_time(fast):
    assert len({hashed(GOOD) for _ in range(10)}) == 10


def test_a_password_of_another_program_with_other_parameters_matches():
    # From passlib's documentation.
    stored = "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E"
    assert matches("password", stored)
    assert not matches("Password", stored)


def test_a_password_matches_however_the_keyboard_composes_it(fast):
    stored = hashed("Größenwahnsinn ﬁx")
    assert matches(unicodedata.normalize("NFD", "Größenwahnsinn fix"), stored)


@given(st.text(max_size=50))
def test_any_text_can_be_tried(password):
    stored = "$scrypt$ln=4,r=1,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E"
    assert not matches(password, stored)


def test_a_text_that_is_too_long_matches_nothing(fast):
    assert not matches("a" + "\u0301" * 1_000_000, hashed("a" + "\u0301" * 255))


def test_a_damaged_hash_is_an_error():
    with pytest.raises(ValueError, match="damaged"):
        matches(GOOD, "$scrypt$ln=15,r=8$abc")


@pytest.mark.parametrize("password", ["", GOOD, "A" * 43])
def test_nothing_matches_the_stored_password_of_no_account(password):
    assert not matches(password, DUMMY)


class Gate:
    """In place of scrypt: each call waits until it is let through, and notes how many are inside."""

    def __init__(self):
        self.open = threading.Event()
        self.inside = self.most = 0

    def __call__(self, *_, dklen, **__):
        self.inside += 1
        self.most = max(self.most, self.inside)
        assert self.open.wait(60)
        self.inside -= 1
        return b"\0" * dklen


def test_one_password_is_hashed_at_a_time_a_few_wait_and_the_next_is_refused(monkeypatch):
    gate = Gate()
    monkeypatch.setattr(passwords.hashlib, "scrypt", gate)
    threads = [threading.Thread(target=hashed, args=(GOOD,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    eventually(lambda: not passwords._PLACES._value)
    with pytest.raises(Busy, match="too many passwords"):
        hashed(GOOD)
    gate.open.set()
    for thread in threads:
        thread.join(60)
    assert gate.most == 1
    assert hashed(GOOD)


def test_other_threads_go_on_while_a_password_is_hashed():
    taken = []

    def work():
        taken.append(-time.thread_time())
        hashed(GOOD)
        taken.append(time.thread_time())

    thread = threading.Thread(target=work)
    started = time.thread_time()
    thread.start()
    while thread.is_alive():
        pass
    # With the GIL, the other thread would leave this one only a few milliseconds.
    assert time.thread_time() - started > sum(taken) / 4
