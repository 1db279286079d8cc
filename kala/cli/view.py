"""What commands print: a table for people, JSON, YAML or names for programs."""

import functools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import click

from kala.cli.complete import choices
from kala.core.figures import length, relative
from kala.core.instants import rfc3339

FORMATS = ("table", "wide", "json", "jsonl", "yaml", "name")
_GAP = "  "
# No column becomes narrower than this on a terminal; the last ones are left out instead.
_NARROWEST = 8
_STATE_COLOURS = {
    "succeeded": "green",
    "ok": "green",
    "failed": "red",
    "failing": "red",
    "timed_out": "red",
    "lost": "red",
    "running": "cyan",
    "queued": "yellow",
    "cancelled": "magenta",
    "disabled": "bright_black",
    "skipped": "bright_black",
}


class Seconds(float):
    """A duration in a table."""


class Column(NamedTuple):
    """A column of a table: its name, and the value of an item.

    Only -o wide has a wide one. Where a terminal is too narrow, those that can be cut become narrower.
    """

    name: str
    value: Callable[[Any], Any]
    is_wide: bool = False
    can_be_cut: bool = False


class View:
    """How a command prints, as its options say."""

    def __init__(
        self, columns: Sequence[Column], output: str, chosen: str | None, *, has_headers: bool, utc: bool
    ) -> None:
        self._columns = (
            _chosen(columns, chosen) if chosen else [c for c in columns if output == "wide" or not c.is_wide]
        )
        self._names = chosen
        self._output = output
        self._has_headers = has_headers
        self._utc = utc
        self._now = datetime.now(UTC)

    @property
    def is_for_people(self) -> bool:
        """Whether a table goes to a terminal."""
        return sys.stdout.isatty() and self.is_table

    @property
    def is_table(self) -> bool:
        return self._output in ("table", "wide")

    def print(self, items: Iterable[Any], name: Callable[[Any], object]) -> None:
        """Print the items: as rows, or as the API has them; `name` is for -o name."""
        if self.is_table:
            self._print_table(list(items))
        elif self._output == "jsonl":
            for item in items:
                click.echo(_json(_plain(item)))
        elif self._output == "name":
            for item in items:
                click.echo(name(item))
        else:
            self.print_data([_plain(item) for item in items])

    def with_columns(self, columns: Sequence[Column]) -> "View":
        """Return the same view with other columns."""
        return View(columns, self._output, self._names, has_headers=self._has_headers, utc=self._utc)

    def print_one(self, data: Any, name: object) -> None:
        """Print one thing that is not a table; `name` is for -o name."""
        if self._output == "name":
            click.echo(name)
        elif self._output == "jsonl":
            click.echo(_json(_plain(data)))
        else:
            self.print_data(_plain(data))

    def print_data(self, data: Any) -> None:
        """Print plain data, as JSON or YAML."""
        if self._output == "yaml":
            click.echo(yaml_of(data), nl=False)
        else:
            click.echo(_json(data, indent=2))

    def text(self, value: Any) -> str:
        """Return a value as a table has it."""
        if value is None or value in ("", ()):
            return "-"
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, datetime | Seconds):
            return self._time(value)
        if isinstance(value, (tuple, list)):
            return ",".join(map(str, value))
        return safe(str(value))

    def _time(self, value: datetime | Seconds) -> str:
        is_for_people = sys.stdout.isatty()
        if isinstance(value, Seconds):
            return length(value) if is_for_people else f"{value:.3f}"
        if is_for_people and not self._utc:
            return relative(value, self._now)
        return rfc3339(value, "seconds" if is_for_people else "auto")

    def _print_table(self, items: list[Any]) -> None:
        rows = [[self.text(column.value(item)) for column in self._columns] for item in items]
        head = [column.name.upper().replace("_", " ") for column in self._columns]
        if not rows and sys.stdout.isatty():
            click.echo("nothing found", err=True)
            return
        widths = [max(map(width, cells)) for cells in zip(head, *rows, strict=True)] if rows else list(map(len, head))
        if sys.stdout.isatty():
            import shutil  # noqa: PLC0415  not in pipes

            can_be_cut = [column.can_be_cut for column in self._columns]
            widths = fitting(widths, can_be_cut, shutil.get_terminal_size().columns)
        if self._has_headers:
            click.echo(_line(head, widths))
        for row in rows:
            cells = [cut(cell, size) for cell, size in zip(row, widths, strict=False)]
            styled = [coloured(cell) for cell in cells]
            click.echo(_line(cells, widths, styled))


def listing(columns: Sequence[Column]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the options of output, and those of a table if it has columns; it gets a `view`."""
    names = [column.name for column in columns]
    options = [
        click.option("-o", "--output", type=click.Choice(FORMATS), default="table", help="The form. [default: table]"),
        click.option("--utc", is_flag=True, help="Times in UTC, as in pipes, instead of ages."),
    ]
    if columns:
        named = f"Columns of the table: {', '.join(names)}."
        options += [
            click.option("--columns", metavar="NAMES", shell_complete=choices(names), help=named),
            click.option("--no-headers", is_flag=True, help="No line with the names of the columns."),
        ]

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def wrapper(*arguments: Any, output: str, utc: bool, **rest: Any) -> Any:
            chosen, no_headers = rest.pop("columns", None), rest.pop("no_headers", False)
            view = View(columns, output, chosen, has_headers=not no_headers, utc=utc)
            return command(*arguments, view=view, **rest)

        decorated: Callable[..., Any] = wrapper
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return decorate


def fitting(widths: Sequence[int], can_be_cut: Sequence[bool], available: int) -> list[int]:
    """Return widths that fit: the widest columns become narrower and, if that is not enough, the last are left out."""
    fitted = list(widths)
    least = [min(size, _NARROWEST) if can else size for size, can in zip(widths, can_be_cut, strict=True)]
    while len(fitted) > 1 and _sum(least[: len(fitted)]) > available:
        fitted.pop()
    if len(fitted) == 1:
        return [min(fitted[0], available)]
    while _sum(fitted) > available:
        _, widest = max((size, place) for place, size in enumerate(fitted) if size > least[place])
        fitted[widest] -= 1
    return fitted


def _sum(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def width(text: str) -> int:
    """Return how many cells of a terminal a text takes."""
    if text.removesuffix("…").isascii():
        return len(text)
    from wcwidth import wcswidth  # noqa: PLC0415  most texts do not need it

    return max(0, wcswidth(text))


def cut(text: str, size: int) -> str:
    """Return a text that takes at most `size` cells."""
    if width(text) <= size:
        return text
    while text and width(text) > size - 1:
        text = text[:-1]
    return f"{text}…"


def coloured(text: str) -> str:
    """Return words for states in the colour of the first that has one; other texts as they are."""
    colour = next((_STATE_COLOURS[word] for word in text.split(",") if word in _STATE_COLOURS), None)
    return click.style(text, fg=colour) if colour else text


def safe(text: str) -> str:
    """Return a text on one line, in which characters that a terminal obeys are escaped."""
    if text.isascii() and text.isprintable():
        return text
    from kala.core.foreign import presentable  # noqa: PLC0415

    return presentable(text, limit=len(text) * 10)


def yaml_of(data: Any) -> str:
    """Return plain data as YAML; texts of several lines as blocks."""
    import yaml  # noqa: PLC0415  only for this format

    class Dumper(yaml.SafeDumper):  # type: ignore[misc]  # it has no types
        pass

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)

    Dumper.add_representer(str, text)
    written: str = yaml.dump(data, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=10_000)
    return written


def _chosen(columns: Sequence[Column], names: str) -> list[Column]:
    by_name = {column.name: column for column in columns}
    wanted = [name.strip().lower() for name in names.split(",")]
    for name in wanted:
        if name not in by_name:
            raise click.UsageError(f"--columns: {name!r} is not one of {', '.join(by_name)}")
    return [by_name[name] for name in wanted]


def _line(cells: Sequence[str], widths: Sequence[int], styled: Sequence[str] = ()) -> str:
    padded = [
        (styled[place] if styled else cells[place]) + " " * (size - width(cells[place]))
        for place, size in enumerate(widths)
    ]
    return _GAP.join(padded).rstrip()


def _plain(item: Any) -> Any:
    from msgspec import to_builtins  # noqa: PLC0415  `kala jobs --help` imports this module, too

    return to_builtins(item)


def _json(data: Any, indent: int = 0) -> str:
    from msgspec import json  # noqa: PLC0415  `kala jobs --help` imports this module, too

    written = json.encode(data)
    return (json.format(written, indent=indent) if indent else written).decode()


def lines_of(text: str) -> Iterator[str]:
    """Yield the lines of a text from outside, each safe to show."""
    yield from map(safe, text.splitlines())
