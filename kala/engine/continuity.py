"""What the clock and the zone were at the engine's steps: gaps between steps, and changes that make plans stale."""

import logging
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta, tzinfo

from kala.core.clock import CLOCK_SLACK, rules_of
from kala.core.plan import zone_of_basis
from kala.zone import named_zones

logger = logging.getLogger("kala.engine")

# The wall clock may be set while the loop waits, so it looks at the clock at least this often, in seconds.
LONGEST_WAIT = 30.0
# Two commits further apart have a gap between them: the machine slept, its clock was set, or the disk failed.
_GAP = timedelta(seconds=2 * LONGEST_WAIT)


class Continuity:
    """Compares the clock and the zone from step to step. Used by the engine's thread."""

    def __init__(self, zone: tzinfo) -> None:
        self.zone = zone
        # The end of the last gap: slots before this instant were missed.
        self.watching_since = datetime.min.replace(tzinfo=UTC)
        # The latest time of a step since the clock was last set back.
        self.latest = self.watching_since
        # By how much the clock was set back since the last commit.
        self.set_back = timedelta()
        # None if all plans are up to date. Otherwise some may come from a clock that was ahead by up to this length or,
        # whatever the length, from another zone.
        self.stale_by: timedelta | None = timedelta()
        self._last_commit = self.watching_since
        self._zone_changes = named_zones.changes
        # Whether zones that jobs name have other rules, which the log does not tell yet.
        self._has_new_rules = False

    def begin(self, now: datetime, last_claim: datetime | None, stale_zones: Iterable[str] = ()) -> None:
        """Start from what the last Kala wrote: it may have had another clock and other rules of zones.

        `stale_zones` has the names of these zones, and "" for the server's.
        """
        self.watching_since = self.latest = self._last_commit = now
        for name in sorted(stale_zones):
            self._log_zone(name)
        if last_claim is not None and last_claim - now > CLOCK_SLACK:
            self._mark_stale(last_claim - now, now)
        else:
            self.latest = max(now, last_claim or now)

    def check(self, now: datetime, zone: tzinfo) -> None:
        """Compare the clock and the zone with those of the step before."""
        # Steps without a commit belong to the gap: they could not write runs for the slots that came due.
        has_gap = now - self._last_commit > _GAP
        set_back = self.latest - now
        if set_back > CLOCK_SLACK:
            self.set_back += set_back
            self._mark_stale(set_back, now)
            self.latest = now
        self.latest = max(self.latest, now)
        self.watching_since = now if has_gap else min(self.watching_since, now)
        if named_zones.changes != self._zone_changes:
            self._zone_changes = named_zones.changes
            self._has_new_rules = True
            self.stale_by = self.stale_by or timedelta()
        if zone is not self.zone:
            is_other = rules_of(zone) != rules_of(self.zone)
            self.zone = zone
            if is_other:
                self.stale_by = self.stale_by or timedelta()
                self._log_zone()

    def tell_zones(self, stale_rules: Collection[str]) -> None:
        """Log which zones have other rules, once: those of the plans that are stale."""
        if self._has_new_rules:
            for name in sorted({zone_of_basis(rules) for rules in stale_rules} - {""}):
                self._log_zone(name)
            self._has_new_rules = False

    def committed(self, now: datetime, stale_by: timedelta | None) -> None:
        """Note that a step is on disk; `stale_by` says which plans it has left stale."""
        self.set_back, self._last_commit, self.stale_by = timedelta(), now, stale_by

    def _mark_stale(self, set_back: timedelta, now: datetime) -> None:
        self.stale_by = max(self.stale_by or timedelta(), set_back)
        logger.warning(
            "the clock was set back by %s to %s: jobs are planned again",
            timedelta(seconds=round(set_back.total_seconds())),
            f"{now:%Y-%m-%d %H:%M:%S} UTC",
            extra={"fields": {"action": "clock_set_back", "seconds": round(set_back.total_seconds())}},
        )

    def _log_zone(self, name: str = "") -> None:
        if name:
            logger.warning(
                "the rules of the time zone %s have changed: jobs that name it are planned again",
                name,
                extra={"fields": {"action": "zone_changed", "zone": name}},
            )
            return
        logger.warning(
            "the server's time zone, now %s, or its rules have changed: jobs that follow it are planned again",
            self.zone,
            extra={"fields": {"action": "zone_changed", "zone": str(self.zone)}},
        )
