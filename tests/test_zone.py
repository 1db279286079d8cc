"""What a date and time without an offset means: the zone that TZ gives, in each form that tzset(3) knows."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import tzdata
from zone_files import NAME, zone_files

from kala import zone
from kala.core.errors import Invalid
from kala.zone import ServerZone, known_zones, named_zone, named_zones

ZONES = Path("/usr/share/zoneinfo")
WINTER, SUMMER = datetime(2030, 1, 1, 12), datetime(2030, 7, 1, 12)  # noqa: DTZ001  they get their zone below


def hours_east(given: str) -> tuple[float, float]:
    """The offsets in winter and in summer, in hours."""
    zone = ServerZone({"TZ": given}).current
    return tuple(day.replace(tzinfo=zone).utcoffset() / timedelta(hours=1) for day in (WINTER, SUMMER))


@pytest.mark.parametrize(
    ("given", "winter", "summer"),
    [
        ("Europe/Berlin", 1, 2),
        (":Europe/Berlin", 1, 2),
        ("/usr/share/zoneinfo/Asia/Tokyo", 9, 9),
        (":/usr/share/zoneinfo/Asia/Tokyo", 9, 9),
        ("EST5EDT", -5, -4),  # a name and not a rule, as it has a file
        ("UTC0", 0, 0),
        ("<+0330>-3:30", 3.5, 3.5),
        ("<-03>3", -3, -3),
        ("CET-1CEST,M3.5.0,M10.5.0/3", 1, 2),
        ("EST5EDT,M3.2.0,M11.1.0", -5, -4),
        ("<-02>2<-01>,M3.5.0/-1,M10.5.0/0", -2, -1),
        ("IST-1GMT0,M10.5.0,M3.5.0/1", 0, 1),
        ("XXX3YYY,J60,300/26", -3, -2),
        ("", 0, 0),
        (":", 0, 0),
    ],
)
def test_tz_is_a_name_or_a_path_or_a_rule_and_utc_when_it_is_empty(given, winter, summer):
    assert hours_east(given) == (winter, summer)


@pytest.mark.parametrize(
    "given",
    [
        "Mars/Olympus",
        "UTC+25",
        "CET-1CEST",  # it does not say when summer time begins
        "CET-1CEST,M13.5.0,M10.5.0",
        "CET-1CEST,M3.5.0,M10.5.0/3 ",
        "UTC0\nUTC0",
        "/usr/share",
        "/no/such/file",
        "../../etc/passwd",
        "Zürich",
        "UTC\0",
        "\ud800",
    ],
)
def test_anything_else_is_refused_with_what_to_use_instead(given):
    with pytest.raises(Invalid, match=r"TZ: .* is neither the name of a time zone nor a rule; use a name such as"):
        ServerZone({"TZ": given})


def test_a_value_with_control_characters_is_shown_escaped():
    with pytest.raises(Invalid, match=r"TZ: '\\x1b\[2J'"):
        ServerZone({"TZ": "\x1b[2J"})


def test_without_tz_the_zone_is_that_of_the_machine():
    here = datetime.now().astimezone()
    assert here.replace(tzinfo=ServerZone({}).current).astimezone(UTC) == here


class TestTheZoneOfTheMachine:
    """The zone of /etc/localtime, for which these tests use another path."""

    @pytest.fixture
    def lead_to(self, tmp_path):
        def lead_to(target: str | Path) -> None:
            (tmp_path / "new").symlink_to(ZONES / target)
            (tmp_path / "new").replace(tmp_path / "localtime")

        return lead_to

    @pytest.fixture
    def zone(self, tmp_path, lead_to):
        lead_to("Europe/Berlin")
        return ServerZone({}, tmp_path / "localtime")

    def test_is_utc_if_there_is_no_file(self, tmp_path):
        assert ServerZone({}, tmp_path / "nothing").current is UTC

    def test_is_that_of_the_file_to_which_the_link_now_points(self, zone, lead_to):
        assert str(zone.current) == "Europe/Berlin"
        lead_to("Asia/Tokyo")
        zone.refresh()
        assert str(zone.current) == "Asia/Tokyo"

    def test_is_checked_every_30_seconds(self, zone, lead_to, monkeypatch):
        lead_to("Asia/Tokyo")
        assert str(zone()) == "Europe/Berlin"
        now = time.monotonic()
        monkeypatch.setattr("time.monotonic", lambda: now + 31)
        assert str(zone()) == "Asia/Tokyo"

    def test_is_the_same_object_as_long_as_the_file_is_the_same(self, zone):
        before = zone.current
        zone.refresh()
        assert zone.current is before

    def test_stays_while_the_file_is_gone_and_is_read_when_there_is_one_again(self, zone, tmp_path, lead_to, caplog):
        (tmp_path / "localtime").unlink()
        zone.refresh()
        zone.refresh()
        assert str(zone.current) == "Europe/Berlin"
        assert caplog.messages == [f"{tmp_path}/localtime is gone; keeping the current time zone"]
        lead_to("Asia/Tokyo")
        zone.refresh()
        assert str(zone.current) == "Asia/Tokyo"

    def test_stays_if_the_file_is_no_longer_a_zone_file(self, zone, tmp_path, caplog):
        (tmp_path / "localtime").unlink()
        (tmp_path / "localtime").write_text("Asia/Tokyo\n")
        zone.refresh()
        assert str(zone.current) == "Europe/Berlin"
        assert "is not a time zone file; make it a link to one, or set TZ; keeping the current time zone" in caplog.text

    def test_that_is_no_zone_file_is_refused_at_the_start(self, tmp_path):
        (tmp_path / "localtime").write_text("Asia/Tokyo\n")
        with pytest.raises(Invalid, match="localtime is not a time zone file"):
            ServerZone({}, tmp_path / "localtime")

    def test_is_ignored_if_tz_is_set(self, tmp_path, lead_to):
        lead_to("Europe/Berlin")
        assert str(ServerZone({"TZ": "Asia/Tokyo"}, tmp_path / "localtime").current) == "Asia/Tokyo"


class TestAZoneThatAJobNames:
    @pytest.fixture
    def put(self, tmp_path):
        with zone_files(tmp_path) as put:
            yield put

    def test_has_the_new_rules_after_its_file_was_replaced(self, put):
        put("Europe/Berlin")
        before, changes = named_zone(NAME), named_zones.changes
        assert WINTER.replace(tzinfo=before).utcoffset() == timedelta(hours=1)
        put("Asia/Tokyo")
        named_zones.refresh()
        assert WINTER.replace(tzinfo=named_zone(NAME)).utcoffset() == timedelta(hours=9)
        assert (str(named_zone(NAME)), named_zones.changes) == (NAME, changes + 1)

    def test_is_the_same_object_as_long_as_its_rules_are_the_same(self, put):
        put("Europe/Berlin")
        before, changes = named_zone(NAME), named_zones.changes
        put("Europe/Berlin")
        named_zones.refresh()
        assert (named_zone(NAME), named_zones.changes) == (before, changes)

    def test_stays_while_its_file_is_gone_or_is_no_zone_file(self, put, tmp_path, caplog):
        put("Europe/Berlin")
        before = named_zone(NAME)
        (tmp_path / NAME).unlink()
        named_zones.refresh()
        (tmp_path / NAME).write_text("nothing")
        named_zones.refresh()
        named_zones.refresh()
        assert named_zone(NAME) is before
        assert caplog.messages == [f"the rules of the time zone {NAME} cannot be read; keeping the current ones"]

    def test_of_which_there_were_no_rules_is_utc_until_there_are(self, put):
        assert named_zone(NAME) is UTC
        put("Asia/Tokyo")
        named_zones.refresh()
        assert str(named_zone(NAME)) == NAME

    def test_is_checked_by_the_engine_after_a_refresh_of_the_servers_zone(self, put):
        put("Europe/Berlin")
        server, before = ServerZone({"TZ": "UTC0"}), named_zone(NAME)
        put("Asia/Tokyo")
        server()
        assert named_zone(NAME) is before
        server.refresh()
        assert named_zone(NAME) is before
        server()
        assert named_zone(NAME) is not before

    def test_is_known_after_an_update_that_brings_it(self, put, tmp_path):
        server = ServerZone({"TZ": "UTC0"})
        known_zones.cache_clear()
        assert NAME not in known_zones()
        put("Asia/Tokyo")
        (tmp_path / "tzdata.zi").write_text("# version 2031b\n")
        server.refresh()
        assert (NAME in known_zones(), server.tzdata) == (True, "2031b")
        known_zones.cache_clear()


def test_the_version_of_the_zones_is_that_of_the_system_or_of_the_package(tmp_path, monkeypatch):
    (tmp_path / "tzdata.zi").write_text("# version 2031a\n# ddeps backzone\n")
    monkeypatch.setattr(zone, "TZPATH", (str(tmp_path / "none"), str(tmp_path)))
    assert ServerZone({"TZ": "UTC0"}).tzdata == "2031a"
    monkeypatch.setattr(zone, "TZPATH", ())
    assert ServerZone({"TZ": "UTC0"}).tzdata == tzdata.IANA_VERSION
    (tmp_path / "tzdata.zi").rename(tmp_path / "UTC")
    monkeypatch.setattr(zone, "TZPATH", (str(tmp_path),))
    assert ServerZone({"TZ": "UTC0"}).tzdata is None
