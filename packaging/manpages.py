"""Write the man pages kala.1 and kala.toml.5, and a kala.toml with every key commented out, to a folder.

    python packaging/manpages.py FOLDER

They are made from the program's help and its table of settings, so they are never out of date.
"""

import json
import os
import re
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import click

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from kala import __version__, config  # noqa: E402  this tree's, not an installed one
from kala.cli import commands  # noqa: E402
from kala.cli.exits import EXITS  # noqa: E402

DATA_DIR = "/var/lib/kala"
DEFAULTS = config.load({}, {"STATE_DIRECTORY": DATA_DIR}, ()).config


def main() -> None:
    """Write the files."""
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(f"usage: {sys.argv[0]} FOLDER, such as build/pages")
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kala.1").write_text(kala_1())
    (folder / "kala.toml.5").write_text(kala_toml_5())
    (folder / "kala.toml").write_text(kala_toml())


def kala_1() -> str:
    """Return the page of the commands, each with its options."""
    root = click.Context(commands, info_name="kala")
    summary, about = (commands.help or "").split("\n\n", 1)
    return "\n".join(
        [
            _title("kala", 1, "job scheduler service"),
            *_section("SYNOPSIS", "`kala` [OPTIONS] COMMAND [ARGUMENTS]"),
            *_section("DESCRIPTION", summary, about),
            ".SH OPTIONS",
            *_options(root),
            ".SH COMMANDS",
            *(line for command in commands.list_commands(root) for line in _command(root, command)),
            ".SH EXIT STATUS",
            *(line for row in EXITS for line in _entry(str(row.code), row.meaning)),
            *_section(
                "ENVIRONMENT",
                "`KALA_URL` is the server, as `--url`. `KALA_TOKEN` is a token for it, and `KALA_TOKEN_FILE` a file"
                " with one. `KALA_CA` is a file with the certificates of a CA of your own. `NO_COLOR` turns colours"
                " off. `VISUAL` and `EDITOR` name the editor of `kala edit`.",
            ),
            *_section("FILES", "/etc/kala/kala.toml, ~/.config/kala/kala.toml, ~/.config/kala/cli.toml"),
            *_section("SEE ALSO", "`kala.toml`(5)"),
            "",
        ]
    )


def kala_toml_5() -> str:
    """Return the page of the settings."""
    return "\n".join(
        [
            _title("kala.toml", 5, "settings of the Kala job scheduler"),
            *_section("SYNOPSIS", "/etc/kala/kala.toml\n\n~/.config/kala/kala.toml"),
            *_section(
                "DESCRIPTION",
                "An optional TOML file with lines such as `port = 8080`. Settings come from the defaults, these files,"
                " environment variables and the options of `kala serve`; later ones override earlier ones.",
                "`kala config show` shows the value of each key and where it comes from. If a value is invalid, it"
                " prints the error and exits with status 2.",
                _reload(),
            ),
            ".SH KEYS",
            *(line for name in config.KEYS for line in _key(name)),
            *_section("SEE ALSO", "`kala`(1)"),
            "",
        ]
    )


def kala_toml() -> str:
    """Return a settings file to edit. Unedited it changes nothing; a line without its # sets the default."""
    head = [
        "Kala's settings. Each line shows a default; remove the # to change it.",
        "See `man kala.toml` for details; `kala config show` shows the values in effect.",
        _reload(),
    ]
    parts = ["\n".join(_comment(text) for text in head)]
    parts += [f"{_comment(key.meaning)}\n#{name} = {_default(name)}" for name, key in config.KEYS.items()]
    return "\n\n".join(parts) + "\n"


def _reload() -> str:
    names = ", ".join(f"`{name}`" for name in config.KEYS if name in config.RELOADABLE)
    return f"A reload (`systemctl reload kala`, or SIGHUP) applies changes to {names}; the other keys need a restart."


def _default(name: str) -> str:
    """Return the default as TOML, which for these values is the same as JSON."""
    value = getattr(DEFAULTS, name)
    return json.dumps("" if value is None else value, default=str)


def _comment(text: str) -> str:
    return textwrap.fill(text.replace("`", ""), 80, initial_indent="# ", subsequent_indent="# ")


def _title(name: str, section: int, summary: str) -> str:
    day = time.strftime("%Y-%m-%d", time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))))
    head = f'.TH {name.upper()} {section} "{day}" "Kala {__version__}"'
    return f"{head}\n.SH NAME\n{name} \\- {summary}"


def _section(title: str, *paragraphs: str) -> Iterator[str]:
    yield f".SH {title}"
    yield "\n.PP\n".join(_roff(paragraph) for text in paragraphs for paragraph in text.split("\n\n"))


def _entry(term: str, text: str) -> Iterator[str]:
    yield ".TP"
    yield f"\\fB{_roff(term)}\\fR"
    yield _roff(text)


def _command(parent: click.Context, name: str) -> Iterator[str]:
    """Yield the lines of a command, or of each command of a group."""
    command = parent.command.get_command(parent, name)  # type: ignore[attr-defined]
    context = click.Context(command, parent=parent, info_name=name)
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            yield from _command(context, each)
        return
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield f'.SS "{_roff(usage)}"'
    yield "\n.PP\n".join(_roff(paragraph) for paragraph in (command.help or "").split("\n\n"))
    yield from _options(context)


def _options(context: click.Context) -> Iterator[str]:
    for parameter in context.command.get_params(context):
        record = parameter.get_help_record(context)
        if record and record[1]:  # an argument has none
            yield from _entry(*record)


def _key(name: str) -> Iterator[str]:
    key = config.KEYS[name]
    forms = ", ".join(f"`{one}`" for one in (f"KALA_{name.upper()}", config.flag(name), key.short) if one)
    default = "" if name == "data_dir" else f" Default: `{_default(name)}`."  # its meaning includes it
    yield from _entry(name, f"{key.meaning}{default} Value: {key.kind.expected}. Also: {forms}.")


def _roff(text: str) -> str:
    """Return the text for roff, `code` in bold and nothing interpreted as a roff request."""
    text = " ".join(text.split()).replace("\\", "\\e").replace("-", "\\-")
    text = re.sub(r"`(.+?)`", r"\\fB\1\\fR", text)
    return f"\\&{text}" if text.startswith((".", "'")) else text


if __name__ == "__main__":
    main()
