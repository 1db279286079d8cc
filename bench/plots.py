"""Plots as SVG, by matplotlib."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Text stays text, and equal figures give equal files.
mpl.rcParams.update(
    {
        "svg.fonttype": "none",
        "svg.hashsalt": "kala",
        "font.family": "sans-serif",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.3,
        "figure.constrained_layout.use": True,
    }
)

Figures = Mapping[str, Mapping[str, Any]]


def save(figure: Figure, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def draw(figures: Figures, samples: Mapping[tuple[str, str], Sequence[float]], folder: Path) -> None:
    """Draw the plots for which there are figures."""
    late = {key: values for key, values in samples.items() if key[0].startswith("lateness") and values}
    if late:
        _draw_lateness(late, folder / "lateness.svg")
    if any("C" in row for row in figures.values()):
        _draw_limit(figures, folder / "limit.svg")
    for kind in ("list", "stats", "memory", "start"):
        _draw_growth(figures, kind, folder / f"{kind}.svg")


def _draw_lateness(samples: Mapping[tuple[str, str], Sequence[float]], path: Path) -> None:
    figure, axes = plt.subplots(figsize=(7, 3.6))
    for (name, column), values in samples.items():
        label = f"{column}, {name.removeprefix('lateness at ').removesuffix(', p50')}"
        axes.plot(values, [100 * (place + 1) / len(values) for place in range(len(values))], label=label)
    axes.set(xscale="log", xlabel="start of the process after its slot, ms", ylabel="% of runs", ylim=(0, 101))
    axes.legend()
    save(figure, path)


def _draw_limit(figures: Figures, path: Path) -> None:
    rows = {name: row for name, row in figures.items() if "C" in row and "Kala" in row}
    figure, all_axes = plt.subplots(1, len(rows), figsize=(7, 3), squeeze=False)
    for axes, (name, row) in zip(all_axes[0], rows.items(), strict=True):
        columns = [column for column in ("C", "Kala", "peer") if column in row]
        axes.bar(
            columns,
            [row[column]["median"] for column in columns],
            color=["#999999", "#2a6fbb", "#bb7a2a"][: len(columns)],
        )
        axes.set_title(name, fontsize=9)
        axes.set_ylabel({"/s": "a second", "s": "seconds"}[row["unit"]])
    save(figure, path)


def _draw_growth(figures: Figures, kind: str, path: Path) -> None:
    pattern = re.compile(rf"{kind} with ([\d,]+) jobs")
    rows = {int(found[1].replace(",", "")): row for name, row in figures.items() if (found := pattern.fullmatch(name))}
    if not rows:
        return
    figure, axes = plt.subplots(figsize=(5, 3))
    for column in ("Kala", "peer"):
        points = [(max(jobs, 1), row[column]["median"]) for jobs, row in rows.items() if column in row]
        if points:
            axes.plot(*zip(*points, strict=True), "o-", label=column)
    _label(axes, kind, next(iter(rows.values()))["unit"])
    save(figure, path)


def _label(axes: Axes, kind: str, unit: str) -> None:
    axes.set(xscale="log", xlabel="jobs stored", ylabel=f"{kind}, {unit}")
    if kind in ("list", "stats"):
        axes.set(yscale="log")
    else:
        axes.set_ylim(bottom=0)
    axes.legend()
