"""The settings as they are shown: each with its value, its default and where it comes from, and no secret."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from kala.config import KEYS, RELOADABLE, Config, Key, Loaded
from kala.config.toml import plain


class Setting(msgspec.Struct, frozen=True, rename={"is_reloadable": "reloadable"}):
    """A setting as it is shown. `source` is the kind of its origin. The default is None if it depends on the system."""

    key: str
    value: Any
    default: Any
    origin: str
    source: Literal["default", "file", "variable", "flag"]
    unit: str
    is_reloadable: bool
    meaning: str


def described(loaded: Loaded, keys: Mapping[str, Key] = KEYS) -> list[Setting]:
    """Return all settings, in the order of the table, without secrets."""
    defaults = {field.name: _default(field, keys[field.name]) for field in msgspec.structs.fields(Config)}
    return [
        Setting(
            name,
            _shown(getattr(loaded.config, name), key),
            defaults[name],
            loaded.origins[name],
            _source(loaded.origins[name]),
            key.kind.unit,
            name in RELOADABLE,
            key.meaning,
        )
        for name, key in keys.items()
    ]


def _default(field: msgspec.structs.FieldInfo, key: Key) -> object:
    if field.default_factory is not msgspec.NODEFAULT:
        return _shown(field.default_factory(), key)
    return None if field.default is msgspec.NODEFAULT else _shown(field.default, key)


def _shown(value: object, key: Key) -> object:
    if key.is_secret and value:
        return "***"
    return plain(value)


def _source(origin: str) -> Literal["default", "file", "variable", "flag"]:
    if origin == "default":
        return "default"
    if origin.startswith("-"):
        return "flag"
    return "variable" if origin.startswith("KALA_") else "file"
