"""The feed tells whoever waits what changed, numbered, as soon as it did."""

from queue import Queue
from threading import Thread

import pytest

from kala.engine.feed import Change, Feed

ONE, TWO, THREE = (Change("run", number, "running") for number in "123")
PATIENCE = 10


def test_a_reader_gets_the_changes_after_the_number_that_it_knows():
    feed = Feed()
    feed.publish([ONE, TWO])
    feed.publish([THREE])
    assert feed.after(0, PATIENCE) == [(1, ONE), (2, TWO), (3, THREE)]
    assert feed.after(2, PATIENCE) == [(3, THREE)]


def test_a_reader_that_knows_all_gets_nothing_when_its_time_is_up():
    feed = Feed()
    feed.publish([ONE])
    assert feed.after(1, timeout=0) == []


def test_a_reader_that_waits_is_woken_by_a_change():
    feed, heard = Feed(), Queue()
    readers = [Thread(target=lambda: heard.put(feed.after(0, PATIENCE))) for _ in range(3)]
    for reader in readers:
        reader.start()
    feed.publish([ONE])
    assert [heard.get(timeout=PATIENCE) for _ in readers] == [[(1, ONE)]] * 3
    for reader in readers:
        reader.join()


def test_nothing_that_changed_wakes_nobody():
    feed = Feed()
    feed.publish([])
    assert feed.after(0, timeout=0) == []


def test_old_changes_are_forgotten_and_keep_their_numbers():
    feed = Feed()
    feed.publish([ONE] * 15_000)
    kept = feed.after(0, PATIENCE)
    assert (len(kept), kept[0][0], kept[-1][0]) == (10_000, 5_001, 15_000)


class TestResuming:
    """A reader that was away gets what it missed, or learns that this is not to be had any more."""

    def test_goes_on_after_the_number_that_the_reader_knows(self):
        feed = Feed()
        feed.publish([ONE, TWO, THREE])
        assert feed.since(1, limit=10) == [(2, TWO), (3, THREE)]

    def test_gives_no_more_at_once_than_the_reader_takes(self):
        feed = Feed()
        feed.publish([ONE, TWO, THREE])
        assert feed.since(0, limit=2) == [(1, ONE), (2, TWO)]

    def test_of_a_reader_that_missed_nothing_gives_nothing(self):
        feed = Feed()
        feed.publish([ONE])
        assert feed.since(1, limit=10) == []

    @pytest.mark.parametrize("number", [4_998, 4_999])
    def test_is_refused_where_something_between_was_forgotten(self, number):
        feed = Feed()
        feed.publish([ONE] * 15_000)
        assert feed.since(number, limit=10) is None

    def test_is_possible_up_to_the_last_change_that_is_kept(self):
        feed = Feed()
        feed.publish([ONE] * 15_000)
        assert feed.since(5_000, limit=1) == [(5_001, ONE)]

    def test_is_refused_for_a_number_of_another_feed_that_was_further(self):
        feed = Feed()
        feed.publish([ONE])
        assert feed.since(2, limit=10) is None

    def test_can_tell_the_numbers_of_one_feed_from_those_of_another(self):
        assert Feed().token != Feed().token


def test_a_listener_is_called_at_each_publication_after_the_change_can_be_read():
    feed, heard = Feed(), []
    feed.subscribe(lambda: heard.append(feed.last))
    feed.publish([ONE, TWO])
    feed.publish([THREE])
    assert heard == [2, 3]
