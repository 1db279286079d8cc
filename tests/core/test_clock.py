"""The digest of a zone's rules distinguishes zones by their UTC offsets, not by their names."""

import io
import struct
from datetime import UTC, timedelta, timezone
from itertools import combinations
from zoneinfo import ZoneInfo

import pytest

from kala.core.clock import rules_of


def ruled(rule: str) -> ZoneInfo:
    block = b"TZif2" + bytes(15) + struct.pack(">6l", 0, 0, 0, 0, 1, 4) + struct.pack(">lbb", 0, 0, 0) + b"UTC\0"
    return ZoneInfo.from_file(io.BytesIO(block * 2 + f"\n{rule}\n".encode()))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (ZoneInfo("Europe/Berlin"), ZoneInfo.no_cache("Europe/Berlin")),
        (UTC, ZoneInfo("Etc/UTC")),
        (UTC, ruled("UTC0")),
        (ZoneInfo("Asia/Calcutta"), ZoneInfo("Asia/Kolkata")),
        (ruled("<+01>-1"), timezone(timedelta(hours=1))),
    ],
)
def test_zones_whose_clocks_agree_have_the_same_digest(one, other):
    assert rules_of(one) == rules_of(other)


def test_zones_whose_clocks_ever_differ_have_different_digests():
    zones = [
        UTC,
        timezone(timedelta(seconds=1)),
        ZoneInfo("Europe/Berlin"),
        ZoneInfo("Europe/Paris"),  # as Berlin has it since 1980
        ruled("CET-1CEST,M3.5.0,M10.5.0/3"),
        ruled("CET-1CEST,M3.5.0,M10.5.0/3:00:01"),
        ruled("CET-1CEST,M3.5.0/2,M10.4.0/3"),
        ruled("CET-1"),
        ZoneInfo("Africa/Casablanca"),
        ZoneInfo("America/Noronha"),
    ]
    assert all(rules_of(one) != rules_of(other) for one, other in combinations(zones, 2))
