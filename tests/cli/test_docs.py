"""docs/cli.md has the commands and exit codes of the tables."""

import re
from pathlib import Path

from kala.cli.exits import EXITS
from kala.cli.table import GROUPS

PAGE = (Path(__file__).parents[2] / "docs/cli.md").read_text()


def test_the_page_lists_the_commands_in_their_groups():
    section = PAGE.partition("\n## Commands\n")[2].partition("\n## ")[0]
    for group, commands in GROUPS.items():
        part = section.partition(f"\n{group}:\n")[2].partition(":\n")[0]
        rows = re.findall(r"^\| `kala (\w+)` \| (.+) \|$", part, re.MULTILINE)
        assert rows == [(name, command.summary) for name, command in commands.items()]


def test_the_page_has_the_exit_codes():
    section = PAGE.partition("\n## Exit codes\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", section, re.MULTILINE)
    assert rows == [(str(row.code), row.meaning) for row in EXITS]
