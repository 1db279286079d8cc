"""How long values are kept: in proportion to what they cost."""

import pytest

from kala.api.kept import Kept


@pytest.fixture
def kept():
    """A store of values, a clock that stands still, and `make(seconds)`, which numbers the values that it makes."""
    kept = Kept(lambda: kept.now)
    kept.now, kept.made = 1000.0, 0

    def make(seconds):
        def make():
            kept.now += seconds
            kept.made += 1
            return kept.made

        return make

    kept.make = make
    return kept


def test_a_value_is_kept_for_five_hundred_times_what_it_took(kept):
    assert [kept.get("a", kept.make(0.1)) for _ in range(3)] == [1, 1, 1]
    kept.now += 49.8
    assert kept.get("a", kept.make(0.1)) == 1
    kept.now += 0.2
    assert kept.get("a", kept.make(0.1)) == 2


def test_a_cheap_value_is_always_new(kept):
    assert [kept.get("a", kept.make(0.001)) for _ in range(3)] == [1, 2, 3]


def test_each_key_has_its_value_and_few_are_kept(kept):
    assert [kept.get(key, kept.make(1)) for key in range(9)] == list(range(1, 10))
    assert kept.get(8, kept.make(1)) == 9
    assert kept.get(0, kept.make(1)) == 10


def test_what_cannot_be_made_is_not_kept(kept):
    with pytest.raises(ZeroDivisionError):
        kept.get("a", lambda: 1 / 0)
    assert kept.get("a", kept.make(1)) == 1
