"""The names of time zones that a job may give, and the nearest ones where a name is not among them."""

from collections.abc import Collection
from difflib import get_close_matches

from kala.core.errors import Invalid
from kala.core.foreign import presentable

_LONGEST = 100
# What folders of zones hold beside zones: the machine's own zone, and that of a machine on which none was set.
_NO_ZONES = frozenset({"Factory", "localtime", "posixrules"})


def check_zone(name: str, known: Collection[str], field: str = "timezone") -> None:
    """Raise Invalid, with the nearest names, where a name is none of the known zones. A path never is."""
    if name in known and name not in _NO_ZONES:
        return
    nearest = _nearest(name[:_LONGEST], known)
    use = f"use {' or '.join(nearest)}" if nearest else "use a name of the IANA database, such as Europe/Berlin"
    raise Invalid(f"{field}: there is no time zone '{presentable(name, _LONGEST)}'; {use}")


def _nearest(name: str, known: Collection[str]) -> list[str]:
    """Return the names that differ in case only, or of that city, or else at most three that are spelled alike."""
    wanted = name.casefold().strip().replace(" ", "_")
    by_folded = {zone.casefold(): zone for zone in sorted(known) if zone not in _NO_ZONES}
    if wanted in by_folded:
        return [by_folded[wanted]]
    if cities := [zone for folded, zone in by_folded.items() if folded.rpartition("/")[2] == wanted.rpartition("/")[2]]:
        return cities[:3]
    if alike := get_close_matches(wanted, by_folded, 3, 0.9):
        return [by_folded[folded] for folded in alike]
    by_city = {folded.rpartition("/")[2]: zone for folded, zone in by_folded.items()}
    return [by_city[city] for city in get_close_matches(wanted, by_city, 3, 0.75)]
