"""Values of settings as TOML."""

import json
from pathlib import Path

from kala.core.foreign import is_plain_line


def toml(value: object) -> str:
    """Return the value as TOML: strings, numbers and lists are as in JSON, except for surrogate pairs and DEL.

    Control characters that a terminal obeys are escaped, which means the same in TOML.
    """
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(key)} = {toml(one)}" for key, one in value.items()) + "}"
    return "".join(map(_escaped, json.dumps(plain(value), ensure_ascii=False)))


def _escaped(character: str) -> str:
    return character if is_plain_line(character) else f"\\U{ord(character):08x}"


def plain(value: object) -> object:
    """Return the value as a file would have it: TOML has no null."""
    if value is None:
        return ""
    return str(value) if isinstance(value, Path) else value
