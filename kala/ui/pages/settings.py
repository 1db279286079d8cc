"""The settings in effect, to read; they are changed in files, variables and options."""

import msgspec

from kala.api.http import Request, Response
from kala.api.system_schema import Settings
from kala.config.shown import Setting
from kala.config.toml import toml
from kala.core.figures import length, size
from kala.ui.site import Site

# Numbers from this one on are also shown in words.
_LARGE = 1000


class Row(msgspec.Struct, frozen=True):
    """A setting in the table: its value as TOML and, where that helps, in words; the default is None if it varies."""

    setting: Setting
    value: str
    words: str
    default: str | None
    is_changed: bool


class SettingsPage:
    """`/settings`."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def show(self, request: Request) -> Response:
        settings = list(map(_row, self._site.backend.read(Settings, "getConfig").settings))
        only_changed = request.query.get("changed") == "true"
        changed = [row for row in settings if row.is_changed]
        rows = changed if only_changed else settings
        return self._site.page(
            "settings.html",
            rows=rows,
            only_changed=only_changed,
            total=len(settings),
            changed=len(changed),
            file="".join(f"{row.setting.key} = {row.value}\n" for row in rows),
        )


def _row(setting: Setting) -> Row:
    default = None if setting.default is None else toml(setting.default)
    return Row(setting, toml(setting.value), _words(setting), default, setting.source != "default")


def _words(setting: Setting) -> str:
    if setting.unit == "bytes" and setting.value >= _LARGE:
        return size(setting.value)
    return length(setting.value) if setting.unit == "seconds" and setting.value >= _LARGE else ""
