import json
from datetime import UTC, datetime
from typing import NamedTuple

import click
import pytest
import yaml
from click.testing import CliRunner

from kala.cli.view import Column, View, cut, fitting, listing, width, yaml_of


class Item(NamedTuple):
    name: str
    state: str = "ok"
    at: datetime | None = None


COLUMNS = (
    Column("name", lambda item: item.name, can_be_cut=True),
    Column("state", lambda item: item.state),
    Column("at", lambda item: item.at),
    Column("more", lambda _: True, is_wide=True),
)
ITEMS = [Item("a", at=datetime(2030, 1, 1, 8, tzinfo=UTC)), Item("日本 🙂", "failing")]


def printed(*arguments, items=ITEMS, **options):
    @click.command()
    @listing(COLUMNS)
    def command(view):
        view.print(items, lambda item: item.name)

    return CliRunner().invoke(command, arguments, **options)


def test_a_table_for_programs_has_its_full_width_no_colours_and_exact_times():
    assert printed().output.splitlines() == [
        "NAME     STATE    AT",
        "a        ok       2030-01-01T08:00:00Z",
        "日本 🙂  failing  -",
    ]


def test_wide_has_more_columns_and_columns_can_be_chosen():
    assert printed("-o", "wide", "--no-headers").output.splitlines()[0].split()[-1] == "yes"
    assert printed("--columns", "state, name", "--no-headers").output == "ok       a\nfailing  日本 🙂\n"


def test_an_unknown_column_is_a_usage_error_that_names_the_others():
    result = printed("--columns", "nope")
    assert (result.exit_code, "'nope' is not one of name, state, at, more" in result.output) == (2, True)


@pytest.mark.parametrize(("form", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_json_and_yaml_have_the_same_items(form, read):
    items = [{"name": "a\nb 🙂", "n": 1}, {"name": "on", "n": None}]
    assert read(printed("-o", form, items=items).output) == items


def test_jsonl_has_a_line_for_each_item():
    items = [{"name": "a\nb"}, {"name": "c"}]
    assert [json.loads(line) for line in printed("-o", "jsonl", items=items).output.splitlines()] == items


def test_names_are_one_to_a_line():
    assert printed("-o", "name").output == "a\n日本 🙂\n"


def test_what_a_terminal_obeys_is_escaped_in_a_table():
    assert printed("--columns", "name", "--no-headers", items=[Item("\x1b[2J\u202ea")]).output == "\\x1b[2J\\u202ea\n"


def test_texts_of_several_lines_are_blocks_in_yaml():
    assert yaml_of({"command": "a\nb\n", "schedule": "30 2 * * *"}) == "command: |\n  a\n  b\nschedule: 30 2 * * *\n"


@pytest.mark.parametrize(
    ("widths", "available", "fitted"),
    [
        ([20, 7, 20], 60, [20, 7, 20]),
        ([20, 7, 20], 40, [9, 7, 20]),  # only the first can be cut
        ([20, 7, 20], 30, [20, 7]),  # the last one is left out
        ([20, 7, 20], 20, [11, 7]),
        ([20, 7, 20], 12, [12]),
    ],
)
def test_columns_fit_into_a_terminal(widths, available, fitted):
    assert fitting(widths, [True, False, False], available) == fitted


@pytest.mark.parametrize(("text", "size", "shown"), [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("日本語", 5, "日本…")])
def test_a_cut_text_takes_no_more_cells(text, size, shown):
    assert (cut(text, size), width(shown) <= size) == (shown, True)


def test_a_view_for_people_shows_ages_and_durations_in_words(monkeypatch):
    view = View(COLUMNS, "table", None, has_headers=True, utc=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert view.text(datetime(2020, 1, 1, tzinfo=UTC)).endswith(" y ago")
