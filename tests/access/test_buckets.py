"""How many wrong passwords and tokens are allowed."""

import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from kala.access.buckets import Tries
from kala.core.errors import Busy, TooManyTries

HOME = "192.0.2.1"
NOW = 1_000_000.0
MINUTE = 60.0


@pytest.fixture
def tries():
    return Tries()


def take(tries, count, name="ann", address=HOME, now=NOW):
    for number in range(count):
        tries.take(name, address.replace("*", str(number)), now)


def is_refused(tries, name="ann", address=HOME, now=NOW):
    """Return the seconds to wait, or 0 if a try is allowed, which is then counted."""
    try:
        tries.take(name, address, now)
    except TooManyTries as error:
        return error.retry_after
    return 0


def test_an_account_has_ten_tries_from_wherever_they_come(tries):
    take(tries, 10, address="192.0.2.*")
    assert is_refused(tries, address="203.0.113.7")


def test_an_account_that_does_not_exist_has_ten_tries_too(tries):
    take(tries, 10, name="nobody of this name")
    assert is_refused(tries, name="nobody of this name")


def test_an_address_has_thirty_tries_for_whichever_accounts(tries):
    for number in range(30):
        tries.take(f"user {number}", HOME, NOW)
    assert is_refused(tries, name="another")
    assert not is_refused(tries, name="another", address="192.0.2.2")


def test_a_wrong_token_counts_for_its_address_only(tries):
    take(tries, 30, name="")
    assert is_refused(tries, name="")
    assert not is_refused(tries, name="", address="192.0.2.2")


def test_the_error_says_when_the_next_try_is_allowed(tries):
    take(tries, 10)
    assert is_refused(tries) == 90
    assert is_refused(tries, now=NOW + 89.5) == 1
    assert not is_refused(tries, now=NOW + 90)
    assert is_refused(tries, now=NOW + 90) == 90


def test_a_refused_try_does_not_make_the_wait_longer(tries):
    take(tries, 10)
    assert {is_refused(tries) for _ in range(10_000)} == {90}


def test_after_fifteen_minutes_all_tries_are_there_again_and_no_more(tries):
    take(tries, 10)
    take(tries, 10, now=NOW + 15 * MINUTE)
    assert is_refused(tries, now=NOW + 15 * MINUTE)
    take(tries, 10, now=NOW + 1_000 * MINUTE)
    assert is_refused(tries, now=NOW + 1_000 * MINUTE)


def test_a_right_password_costs_no_tries(tries):
    for _ in range(1_000):
        tries.take("ann", HOME, NOW).succeed()
    take(tries, 10)
    assert is_refused(tries)


def test_a_right_password_does_not_refill_what_others_used_up(tries):
    take(tries, 9)
    tries.take("ann", HOME, NOW).succeed()
    assert not is_refused(tries, address="192.0.2.2")
    assert is_refused(tries, address="192.0.2.3")
    take(tries, 20, name="")
    tries.take("bob", HOME, NOW).succeed()
    assert not is_refused(tries, name="")
    assert is_refused(tries, name="")


def test_a_password_that_was_not_checked_costs_no_tries(tries):
    for _ in range(1_000):
        tries.take("ann", HOME, NOW).give_back()
    take(tries, 10)
    assert is_refused(tries)


def test_right_passwords_at_the_same_time_cost_no_tries(tries):
    """Although the first one makes the address known, and with that the others would be counted elsewhere."""
    for one in [tries.take("ann", HOME, NOW) for _ in range(10)]:
        one.succeed()
    take(tries, 10, address="203.0.113.*")
    assert is_refused(tries, address="198.51.100.1")
    assert not is_refused(tries, name="bob")


def test_an_address_has_four_passwords_checked_at_the_same_time(tries):
    with ExitStack() as checks:
        for number in range(4):
            checks.enter_context(tries.trying(f"user {number}", HOME, NOW))
        with pytest.raises(Busy, match="too many passwords"), tries.trying("ann", HOME, NOW):
            pass
        with tries.trying("ann", "192.0.2.2", NOW):
            pass
    with tries.trying("ann", HOME, NOW):
        pass
    assert not tries._checking


def test_a_user_gets_in_from_a_known_address_while_others_try_the_account(tries):
    tries.take("ann", HOME, NOW).succeed()
    take(tries, 10, address="203.0.113.*")
    assert is_refused(tries, address="198.51.100.1")
    take(tries, 10)
    assert is_refused(tries) == 90


def test_a_user_gets_in_from_a_known_address_while_others_there_use_up_its_tries(tries):
    """Such as behind the same router."""
    tries.take("ann", HOME, NOW).succeed()
    take(tries, 30, name="")
    assert is_refused(tries, name="bob")
    tries.take("ann", HOME, NOW).succeed()
    assert is_refused(tries, name="bob")
    take(tries, 10, name="ann")
    assert is_refused(tries, name="ann")


def test_after_ten_thousand_tries_the_next_one_is_allowed_when_the_error_said(tries):
    for number in range(10_000):
        is_refused(tries, name="ann", address=f"198.18.{number // 250 % 250}.{number % 250}")
    wait = is_refused(tries)
    assert wait <= 90
    assert not is_refused(tries, now=NOW + wait)


def test_an_address_that_one_user_is_known_at_gets_no_tries_for_another(tries):
    tries.take("ann", HOME, NOW).succeed()
    take(tries, 10, name="bob", address="203.0.113.*")
    assert is_refused(tries, name="bob")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff"),
        ("2001:db8::1", "2001:DB8:0:0:0::2"),
        ("fe80::1%eth0", "fe80::2%eth1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("uid 1000", "uid 1000"),
        ("127.0.0.1", "127.255.1.2"),
        ("127.0.0.1", "::1"),
    ],
)
def test_these_addresses_share_a_bucket(tries, one, other):
    take(tries, 30, name="", address=one)
    assert is_refused(tries, name="", address=other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2001:db8:0:1::1", "2001:db8:0:2::1"),
        ("192.0.2.1", "192.0.2.2"),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2"),
        ("uid 1000", "uid 1001"),
        ("", "192.0.2.1"),
    ],
)
def test_these_addresses_have_buckets_of_their_own(tries, one, other):
    take(tries, 30, name="", address=one)
    assert not is_refused(tries, name="", address=other)


def size(tries):
    tables = (tries._accounts._full_at, tries._addresses._full_at, tries._known)
    return sum(sys.getsizeof(table) + sum(map(sys.getsizeof, table)) for table in tables)


def test_any_number_of_names_and_networks_takes_little_memory(tries):
    for number in range(20_000):
        tries.take(f"{number}" * 100, f"2001:db8:{number:x}::1", NOW + number).succeed()
    assert max(len(tries._accounts._full_at), len(tries._addresses._full_at), len(tries._known)) <= 10_000
    assert size(tries) < 4_000_000


def test_an_account_under_attack_is_not_forgotten_in_a_flood_of_other_names(tries):
    take(tries, 10, address="203.0.113.*")
    for number in range(20_000):
        tries.take(f"user {number}", f"2001:db8:{number:x}::1", NOW)
    assert is_refused(tries, address="198.51.100.1") == 90


def test_tries_at_the_same_time_are_counted_one_by_one(tries):
    with ThreadPoolExecutor(16) as pool:
        allowed = list(pool.map(lambda number: not is_refused(tries, address=f"192.0.2.{number}"), range(200)))
    assert sum(allowed) == 10


@pytest.mark.parametrize("name", ["\ud800", "é" * 10_000, "\0"])
def test_any_text_can_be_tried_as_a_name(tries, name):
    take(tries, 10, name=name)
    assert is_refused(tries, name=name)
