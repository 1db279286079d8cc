"""The results: a table for people, the figures as JSON, and plots."""

import json
import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import machine, plots
from bench.rows import Figure

Found = Mapping[tuple[str, str], Sequence[Figure]]
_COLUMNS = ("Kala", "C", "peer")


def write(found: Found, folder: Path) -> None:
    """Write results.json, table.md and the plots, and print the table."""
    folder.mkdir(parents=True, exist_ok=True)
    results = {"machine": machine.description(), "at": datetime.now(UTC).isoformat(), "figures": _figures(found)}
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    table = _table(results)
    (folder / "table.md").write_text(table)
    plots.draw(results["figures"], {key: figures[-1].sample for key, figures in found.items()}, folder)
    print(table)


def _figures(found: Found) -> dict[str, dict[str, Any]]:
    """Return, by name, the unit and for each column the median and all values."""
    figures: dict[str, dict[str, Any]] = {}
    for (name, column), measured in found.items():
        values = [round(figure.value, 3) for figure in measured]
        row = figures.setdefault(name, {"unit": measured[0].unit})
        row[column] = {"median": statistics.median(values), "all": values}
    return figures


def _table(results: dict[str, Any]) -> str:
    figures = results["figures"]
    columns = [column for column in _COLUMNS if any(column in row for row in figures.values())]
    others = columns[1:]
    head = ["", *columns, *(f"Kala / {column}" for column in others), "unit"]
    lines = [f"- {name}: {value}" for name, value in results["machine"].items()]
    lines += [f"- measured: {results['at'][:16].replace('T', ' ')} UTC, {_rounds(figures)}", ""]
    lines += [_line(head), _line(["---", *("---:" for _ in columns + others), "---"])]
    for name, row in figures.items():
        cells = [_number(row, column) for column in columns] + [_ratio(row, column) for column in others]
        lines.append(_line([name, *cells, row["unit"]]))
    return "\n".join(lines) + "\n"


def _rounds(figures: Mapping[str, Any]) -> str:
    rounds = max(len(row["Kala"]["all"]) for row in figures.values() if "Kala" in row)
    return f"medians of {rounds} rounds" if rounds > 1 else "one round"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _number(row: Mapping[str, Any], column: str) -> str:
    if column not in row:
        return ""
    value = row[column]["median"]
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _ratio(row: Mapping[str, Any], column: str) -> str:
    if column not in row or "Kala" not in row or not row[column]["median"]:
        return ""
    return f"{row['Kala']['median'] / row[column]['median']:.2f}"
