"""How many examples a law is tried with."""

from typing import Any

from hypothesis import settings

NORMAL = 100  # hypothesis's own default; the profile `long` has many times as many, `quick` a fifth


def effort(examples: int, **options: Any) -> settings:
    """So many examples in a normal run, and accordingly more or fewer with another profile of hypothesis."""
    return settings(max_examples=max(1, settings().max_examples * examples // NORMAL), **options)
