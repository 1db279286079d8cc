"""The number of examples of a property test."""

from typing import Any

from hypothesis import settings

NORMAL = 100  # the default of hypothesis; the profile `long` has 50 times as many, `quick` a tenth


def effort(examples: int, **options: Any) -> settings:
    """Return settings with this number of examples in a normal run, scaled by the profile of hypothesis."""
    return settings(max_examples=max(1, settings().max_examples * examples // NORMAL), **options)
