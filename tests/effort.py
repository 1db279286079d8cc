"""How many examples a law is tried with."""

from typing import Any

from hypothesis import settings

NORMAL = 100  # hypothesis's own default; the profile `long` has many times as many


def effort(examples: int, **options: Any) -> settings:
    """So many examples in a normal run, and accordingly more with `--hypothesis-profile long`."""
    return settings(max_examples=max(1, settings().max_examples * examples // NORMAL), **options)
