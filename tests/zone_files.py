"""Zones whose rules a test decides."""

import zoneinfo
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kala import zone

NAME = "Test/City"
_SYSTEM = Path("/usr/share/zoneinfo")


@contextmanager
def zone_files(folder: Path) -> Iterator[Callable[[str], None]]:
    """Yield what gives Test/City the rules of another zone, as an update of tzdata does."""

    def put(source: str) -> None:
        (folder / "Test").mkdir(exist_ok=True)
        (folder / "new").write_bytes((_SYSTEM / source).read_bytes())
        (folder / "new").replace(folder / NAME)

    zoneinfo.reset_tzpath([str(folder)])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(zone, "TZPATH", (str(folder),))
        patched.setattr(zone.named_zones, "_zones", {})
        yield put
    zoneinfo.reset_tzpath()
    zoneinfo.ZoneInfo.clear_cache()
