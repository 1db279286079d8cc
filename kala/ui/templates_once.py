"""Loads templates so that each is compiled once, however many threads want it at the same time."""

from collections.abc import MutableMapping
from pathlib import Path
from threading import Lock
from typing import Any

from jinja2 import Environment, FileSystemLoader, Template


class TemplatesOnce(FileSystemLoader):
    """Compiles a template in the first thread that loads it, while the others wait.

    Jinja itself has every thread compile what is not yet in its cache, and pages load most of their templates only
    while they are rendered. Sixteen first pages at once would take as long as sixteen compilations, one after another.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._compiling = Lock()
        self._compiled: dict[str, Template] = {}

    def load(
        self,
        environment: Environment,
        name: str,
        globals: MutableMapping[str, Any] | None = None,  # noqa: A002  Jinja's
    ) -> Template:
        """Return the template, compiled with the globals that its first loader gave."""
        with self._compiling:
            if name not in self._compiled:
                self._compiled[name] = super().load(environment, name, globals)
            return self._compiled[name]
