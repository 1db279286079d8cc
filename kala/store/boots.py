"""The boot of the machine that Kala last ran in."""

from kala.store.statements import Statements

_CURRENT = "SELECT id FROM boot"
_SAVE = "UPDATE boot SET id = ?"


class Boots:
    """The table of one boot on one connection."""

    def __init__(self, sql: Statements) -> None:
        self._sql = sql

    def current(self) -> str:
        """Return the id of the boot that was saved last, "" for none."""
        return str(self._sql(_CURRENT).fetchone()[0])

    def save(self, boot_id: str) -> None:
        self._sql(_SAVE, (boot_id,))
