"""Pictures as SVG, drawn by the server. Their shapes tell what their colours tell."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from kala.api.schema import NewestRun
from kala.core.figures import length
from kala.core.run import FAILURES, State

Url = Callable[..., str]
"""Returns the path of a page, as `Site.url`."""


class _Scale(NamedTuple):
    """Where a row of bars stands, in pixels: its line, and how long bars get above and below the line."""

    step: int
    width: int
    line: int
    up: int
    down: int

    def above(self, share: float) -> int:
        return 2 + round((self.up - 2) * share)

    def below(self, share: float) -> int:
        return 3 + round((self.down - 3) * share)


_SPARK = _Scale(step=6, width=4, line=15, up=14, down=7)
_CHART = _Scale(step=8, width=6, line=100, up=96, down=28)


def sparkline(runs: Sequence[NewestRun], most: int, url: Url) -> str:
    """Return the newest runs of a job as bars, the newest at the right, each a link to its run.

    A bar is as tall as its run was long. Failures hang below the line; a run that was skipped is a gap. The style sheet
    has the size and the line, as a page has fifty of these pictures.
    """
    return f'<svg class="spark" aria-hidden="true">{_bars(runs, most, _SPARK, url)}</svg>'


def durations(runs: Sequence[NewestRun], most: int, median: float | None, url: Url) -> str:
    """Return a chart of the newest runs of a job, drawn as in a sparkline, with a line at the median of `_share`."""
    width, height = most * _CHART.step, _CHART.line + _CHART.down + 2
    line = ""
    if median is not None:
        at = _CHART.line - _CHART.above(_share(median, _longest(runs)))
        line = f'<path class="median" d="M0 {at}h{width}" vector-effect="non-scaling-stroke"/>'
    return (
        f'<svg class="durations" viewBox="0 0 {width} {height}" preserveAspectRatio="none"'
        f' aria-hidden="true"><path class="line" d="M0 {_CHART.line + 0.5}h{width}"/>'
        f"{_bars(runs, most, _CHART, url)}{line}</svg>"
    )


def _bars(runs: Sequence[NewestRun], most: int, scale: _Scale, url: Url) -> str:
    longest = _longest(runs)
    bars = []
    for place, run in enumerate(runs[:most]):
        path = bar(run.state, (most - 1 - place) * scale.step + 1, _share(run.duration or 0, longest), scale)
        if path:
            # Not in the order of Tab, as a page has a thousand of them; the page of the job has links for the keyboard.
            name = "" if run.state is State.SUCCEEDED else f" class={run.state}"
            # Without quotes, as in all values here no character needs them; these are most of the bytes of a page.
            bars.append(f"<a href={url('runs', run.id)} tabindex=-1><path{name} d={path} />{_title(run)}</a>")
    return "".join(bars)


def _title(run: NewestRun) -> str:
    """Return what a pointer on a bar tells; a run that succeeded needs no words."""
    if run.state is State.SUCCEEDED:
        return ""
    after = f" after {length(run.duration)}" if run.duration else ""
    return f"<title>{run.state.replace('_', ' ')}{after}</title>"


def _longest(runs: Sequence[NewestRun]) -> float:
    return max((run.duration or 0 for run in runs), default=0)


def _share(duration: float, longest: float) -> float:
    return duration / longest if longest else 0


def bar(state: State, x: int, share: float, scale: _Scale = _SPARK) -> str:
    """Return the path of a bar for a run that took a share of the longest one; empty for a gap."""
    width, line = scale.width, scale.line
    up, down, side = scale.above(share), scale.below(share), width // 4
    match state:
        case State.SUCCEEDED:
            path = f"M{x},{line}v-{up}h{width}v{up}"
        case State.FAILED:
            path = f"M{x},{line + 1}v{down}h{width}v-{down}"
        case State.TIMED_OUT:  # with a wide foot
            stem = f"M{x + side},{line + 1}h{width - 2 * side}v{scale.down - 3}"
            path = f"{stem}h{side}v3h-{width}v-3h{side}z"
        case State.CANCELLED:  # hollow
            up = max(up, 5)
            path = f"M{x},{line}v-{up}h{width}v{up}zm1-1h{width - 2}v-{up - 2}h-{width - 2}z"
        case State.LOST:  # a diamond on the line
            half = width // 2
            path = f"M{x},{line}l{half}-5,{half},5-{half},5z"
        case State.RUNNING:  # the sign for play
            path = f"M{x},{line}v-10l{width + 1},5z"
        case State.QUEUED:
            path = f"M{x},{line - 3}h{width}v-2h-{width}z"
        case _:
            path = ""
    return path


def failed_of(runs: Sequence[NewestRun]) -> tuple[int, int]:
    """Return how many of the runs failed, and how many ended after they had started."""
    ended = [run for run in runs if run.state not in (State.QUEUED, State.RUNNING, State.SKIPPED)]
    return sum(run.state in FAILURES for run in ended), len(ended)
