"""Which names of time zones a job may give."""

from zoneinfo import available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kala.core.errors import Invalid
from kala.core.foreign import is_plain_line
from kala.core.zone_names import check_zone

KNOWN = frozenset(available_timezones())


@pytest.mark.parametrize("name", ["Europe/Berlin", "UTC", "America/Argentina/Buenos_Aires", "Etc/GMT+5", "EST5EDT"])
def test_the_names_of_the_iana_database_are_accepted(name):
    check_zone(name, KNOWN)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Europe/Berln", "there is no time zone 'Europe/Berln'; use Europe/Berlin"),
        ("europe/berlin", "there is no time zone 'europe/berlin'; use Europe/Berlin"),
        ("Berlin", "there is no time zone 'Berlin'; use Europe/Berlin"),
        ("new york", "there is no time zone 'new york'; use America/New_York"),
        ("Germany/Berlin", "there is no time zone 'Germany/Berlin'; use Europe/Berlin"),
        ("Lisabon", "there is no time zone 'Lisabon'; use Europe/Lisbon"),
        (
            "/etc/localtime",
            "there is no time zone '/etc/localtime'; use a name of the IANA database, such as Europe/Berlin",
        ),
        (
            "../../etc/passwd",
            "there is no time zone '../../etc/passwd'; use a name of the IANA database, such as Europe/Berlin",
        ),
        ("localtime", "there is no time zone 'localtime'; use a name of the IANA database, such as Europe/Berlin"),
        ("", "there is no time zone ''; use a name of the IANA database, such as Europe/Berlin"),
        ("UTC\n", "there is no time zone 'UTC\\n'; use UTC"),
    ],
)
def test_any_other_name_is_refused_with_the_nearest_ones(name, reason):
    with pytest.raises(Invalid) as refusal:
        check_zone(name, KNOWN)
    assert str(refusal.value) == f"timezone: {reason}"


@given(st.text(max_size=300))
def test_a_name_of_any_kind_is_a_zone_or_refused_by_a_short_sentence_on_one_line(name):
    try:
        check_zone(name, KNOWN)
    except Invalid as refusal:
        if len(str(refusal)) > 300 or not is_plain_line(str(refusal)):
            raise
    else:
        assert name in KNOWN
