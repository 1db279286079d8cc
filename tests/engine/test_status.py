"""What the engine publishes about itself after each step."""

from datetime import timedelta

EVERY_SECOND = "R/2030-01-01T12:00:01Z/PT1S"
FAR = "R/2040-01-01T00:00:00Z/P1D"


def test_it_says_how_late_slots_were_claimed(kala):
    kala.create(schedule=EVERY_SECOND)
    assert kala.engine.status.last_claim_lag is None
    kala.passes(seconds=1.25)
    status = kala.engine.status
    assert (status.last_claim_at, status.last_claim_lag) == (kala.now, 0.25)
    kala.passes(seconds=0.1)
    assert (kala.engine.status.last_claim_at, kala.engine.status.last_claim_lag) == (status.last_claim_at, 0.25)


def test_slots_from_before_its_start_do_not_count_as_lag(kala):
    kala.create(schedule=EVERY_SECOND)
    kala.restart(hours=1)
    assert kala.engine.status.last_claim_lag == 0


def test_it_counts_the_running_runs_and_those_in_pools(new_kala):
    kala = new_kala(disk=1)
    for pool in ("disk", "disk", ""):
        kala.start(kala.create(schedule=FAR, pool=pool))
    assert (kala.engine.status.running, kala.engine.status.in_pools) == (2, {"disk": 1})


def test_it_says_that_kala_drains(kala):
    assert not kala.engine.status.is_draining
    kala.drain()
    assert kala.engine.status.is_draining


def test_a_disk_that_fails_is_trouble_until_a_step_succeeds(kala):
    assert kala.engine.status.storage is None
    with kala.dead_disk():
        kala.passes(seconds=1)
        trouble = kala.engine.status.storage
        assert "disk I/O error" in trouble.what
        assert trouble.until is None
        kala.passes(seconds=1)
        assert kala.engine.status.storage == trouble
    kala.passes(seconds=1)
    over = kala.engine.status.storage
    assert (over.what, over.since) == (trouble.what, trouble.since)
    assert timedelta() <= over.until - over.since < timedelta(minutes=1)


def test_a_status_never_changes(kala):
    before = kala.engine.status
    kala.start(kala.create(schedule=FAR))
    assert (before.running, kala.engine.status.running) == (0, 1)
    assert len(kala.engine.status.step_seconds) == len(before.step_seconds) + 2
