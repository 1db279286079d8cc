"""The server that a command calls, as the options of `kala` say."""

from typing import NamedTuple


class Target(NamedTuple):
    """A URL, or the name of a server in cli.toml."""

    url: str | None
    server: str | None
