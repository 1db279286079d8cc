"""Kala is killed repeatedly at random moments, while clients are at work, zones change, and the clock is set.

What it acknowledged stays true.

CONTRIBUTING.md describes how to run more kills and how to reproduce a failure: KILLS, SEED and FIRST.
"""

import os
from random import SystemRandom

import pytest
from clock import library
from driver import Era

__all__ = ("library",)

# The data directory is new after this many lives, as checking it takes longer with each life.
_ERA = 50
_FEW = 18
_SECONDS_OF_A_LIFE = 20


def _seeds():
    """Return the requested seed, or else a fixed one and a random one."""
    return [int(os.environ["SEED"])] if os.environ.get("SEED") else [1, SystemRandom().randrange(10**6)]


def _eras():
    """Return the lives of each era. The first era is complete, whichever of its lives was requested."""
    first = (int(os.environ.get("FIRST") or 1) - 1) // _ERA * _ERA + 1
    end = first + int(os.environ.get("KILLS") or _FEW)
    for seed in _seeds():
        for start in range(first, end, _ERA):
            lives = range(start, min(start + _ERA, end))
            timeout = pytest.mark.timeout(120 + _SECONDS_OF_A_LIFE * len(lives))
            yield pytest.param(seed, lives, id=f"seed {seed}, lives {lives[0]} to {lives[-1]}", marks=timeout)


@pytest.mark.parametrize(("seed", "lives"), list(_eras()))
def test_what_was_acknowledged_survives_kills_and_nothing_runs_twice_or_never(tmp_path, library, seed, lives):
    era = Era(tmp_path / "era", seed, library=library)
    states = era.go_on(lives)
    print(f"\nseed {seed}, lives {lives[0]} to {lives[-1]}: {era.acknowledged} requests acknowledged, {dict(states)}")
    if len(lives) >= _FEW:
        assert states["lost"], "no kill met a run; this proves nothing"
        assert states["succeeded"] > 5 * len(lives)
