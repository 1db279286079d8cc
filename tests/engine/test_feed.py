"""The feed gives its readers numbered changes as soon as they are published."""

from queue import Queue
from threading import Thread

import pytest

from kala.engine.feed import Change, Feed

ONE, TWO, THREE = (Change("run", number, "running") for number in "123")
PATIENCE = 10


def test_a_reader_gets_the_changes_after_a_number():
    feed = Feed()
    feed.publish([ONE, TWO])
    feed.publish([THREE])
    assert feed.after(0, PATIENCE) == [(1, ONE), (2, TWO), (3, THREE)]
    assert feed.after(2, PATIENCE) == [(3, THREE)]


def test_a_reader_that_knows_all_changes_gets_nothing_after_its_timeout():
    feed = Feed()
    feed.publish([ONE])
    assert feed.after(1, timeout=0) == []


def test_a_change_wakes_all_waiting_readers():
    feed, heard = Feed(), Queue()
    readers = [Thread(target=lambda: heard.put(feed.after(0, PATIENCE))) for _ in range(3)]
    for reader in readers:
        reader.start()
    feed.publish([ONE])
    assert [heard.get(timeout=PATIENCE) for _ in readers] == [[(1, ONE)]] * 3
    for reader in readers:
        reader.join()


def test_an_empty_publication_is_no_change():
    feed = Feed()
    feed.publish([])
    assert feed.after(0, timeout=0) == []


def test_old_changes_are_dropped_and_the_others_keep_their_numbers():
    feed = Feed()
    feed.publish([ONE] * 15_000)
    kept = feed.after(0, PATIENCE)
    assert (len(kept), kept[0][0], kept[-1][0]) == (10_000, 5_001, 15_000)


class TestResuming:
    """A reader that reconnects gets the changes that it missed, or learns that they are no longer kept."""

    def test_continues_after_the_given_number(self):
        feed = Feed()
        feed.publish([ONE, TWO, THREE])
        assert feed.since(1, limit=10) == [(2, TWO), (3, THREE)]

    def test_gives_no_more_than_the_limit(self):
        feed = Feed()
        feed.publish([ONE, TWO, THREE])
        assert feed.since(0, limit=2) == [(1, ONE), (2, TWO)]

    def test_gives_nothing_if_nothing_was_missed(self):
        feed = Feed()
        feed.publish([ONE])
        assert feed.since(1, limit=10) == []

    @pytest.mark.parametrize("number", [4_998, 4_999])
    def test_is_refused_if_a_change_in_between_was_dropped(self, number):
        feed = Feed()
        feed.publish([ONE] * 15_000)
        assert feed.since(number, limit=10) is None

    def test_is_possible_from_the_oldest_kept_change_on(self):
        feed = Feed()
        feed.publish([ONE] * 15_000)
        assert feed.since(5_000, limit=1) == [(5_001, ONE)]

    def test_is_refused_for_a_number_that_the_feed_has_not_reached(self):
        feed = Feed()
        feed.publish([ONE])
        assert feed.since(2, limit=10) is None

    def test_distinguishes_feeds_by_their_tokens(self):
        assert Feed().token != Feed().token


def test_a_listener_is_called_after_each_publication():
    feed, heard = Feed(), []
    feed.subscribe(lambda: heard.append(feed.last))
    feed.publish([ONE, TWO])
    feed.publish([THREE])
    assert heard == [2, 3]
