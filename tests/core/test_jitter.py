"""The delay by which a job with jitter runs after its slot."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from kala.core.jitter import delay_of

SLOT = datetime(2030, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@given(st.text(), st.datetimes(), st.timedeltas(timedelta(microseconds=1), timedelta(days=4_000)))
def test_the_delay_is_at_least_nothing_and_less_than_the_jitter(job_id, slot, jitter):
    assert timedelta() <= delay_of(job_id, slot.replace(tzinfo=UTC), jitter) < jitter


def test_without_jitter_there_is_no_delay():
    assert delay_of("1", SLOT, timedelta()) == timedelta()


def test_the_delay_of_a_slot_is_always_the_same_in_every_zone():
    assert delay_of("1", SLOT, MINUTE) == timedelta(seconds=59, microseconds=627_281)
    assert delay_of("1", SLOT.astimezone(timezone(timedelta(hours=5))), MINUTE) == delay_of("1", SLOT, MINUTE)


def test_the_delays_of_many_jobs_and_of_many_slots_are_spread_evenly():
    of_jobs = [delay_of(str(number), SLOT, MINUTE) for number in range(6_000)]
    of_slots = [delay_of("1", SLOT + MINUTE * number, MINUTE) for number in range(6_000)]
    for delays in (of_jobs, of_slots):
        counts = [0] * 6
        for delay in delays:
            counts[delay // timedelta(seconds=10)] += 1
        assert all(850 < count < 1_150 for count in counts)
