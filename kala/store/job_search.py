"""Which jobs match a filter, as their positions, which are read from small indexes."""

from collections.abc import Collection

import msgspec

from kala.core.folding import folded
from kala.core.summary import JobState
from kala.store.dialect import id_list
from kala.store.job_filter import JobFilter
from kala.store.job_states import NOT_OK, POSITIONS
from kala.store.statements import Statements
from kala.store.tags import HAVE

# The positions of the jobs whose names contain a folded text, and of the others. The index is small, as it has nothing
# else of the jobs.
_NAMED = "SELECT seq FROM job AS named [index job_folded_name] WHERE [contains named.folded_name ?]"
_NAMED_OTHERWISE = "SELECT seq FROM job AS named [index job_folded_name] WHERE NOT [contains named.folded_name ?]"
_WITH_ID = "SELECT seq FROM job WHERE id = ?"
_WITH_IDS = "SELECT seq FROM job WHERE id IN [job_ids ?]"
_WITHOUT_SLOT = "SELECT seq FROM job WHERE next_due IS NULL"
_OF_OWNER = "SELECT seq FROM job AS found [index job_owner] WHERE owner = ?"
_OF_OWNERS = "SELECT seq FROM job AS found [index job_owner]"
_JOBS = "SELECT jobs FROM totals"
_positions = msgspec.json.Decoder(frozenset[int]).decode


class Matches(msgspec.Struct, frozen=True):
    """The positions of jobs: of those included, or of all for None, without those excluded."""

    included: frozenset[int] | None
    excluded: frozenset[int]

    @property
    def are_all(self) -> bool:
        """Whether each job matches."""
        return self.included is None and not self.excluded

    def __contains__(self, position: int) -> bool:
        return (self.included is None or position in self.included) and position not in self.excluded


class JobSearch:
    """Finds the positions of jobs on one connection."""

    def __init__(self, sql: Statements) -> None:
        self._sql = sql

    def matches(self, wanted: JobFilter) -> Matches:
        """Return the jobs that match, without regard to the limit and the first and the last position.

        Each part of the filter reads one small index. Most jobs are enabled, not done and ok, so those that are not
        are read instead.
        """
        included: list[frozenset[int]] = []
        excluded: list[frozenset[int]] = []
        if wanted.q:
            self._add_named(wanted.q, included, excluded)
        if wanted.ids is not None:
            included.append(self._positions(_WITH_IDS, id_list(wanted.ids)))
        if wanted.owner is not None:
            included.append(self._positions(_OF_OWNER, wanted.owner))
        included += [self._positions(HAVE, tag, 0) for tag in wanted.tags]
        for state, value in ((JobState.DISABLED, wanted.disabled), (JobState.DONE, wanted.done)):
            if value is not None:
                (included if value else excluded).append(self._positions(POSITIONS[state]))
        if wanted.planned is not None:
            (excluded if wanted.planned else included).append(self._positions(_WITHOUT_SLOT))
        if wanted.states:
            self._add_in_states(wanted.states, included, excluded)
        if self._sql.is_of_owners and not included:
            # All jobs that the caller sees, which may be few.
            included.append(self._positions(_OF_OWNERS))
        without = frozenset[int]().union(*excluded)
        if not included:
            return Matches(None, without)
        return Matches(frozenset.intersection(*included) - without, frozenset())

    def _add_in_states(
        self, states: Collection[JobState], included: list[frozenset[int]], excluded: list[frozenset[int]]
    ) -> None:
        others = [self._positions(POSITIONS[state]) for state in states if state in POSITIONS]
        in_others = frozenset[int]().union(*others)
        if JobState.OK in states:
            excluded.append(self._positions(NOT_OK) - in_others)
        else:
            included.append(in_others)

    def _add_named(self, q: str, included: list[frozenset[int]], excluded: list[frozenset[int]]) -> None:
        """Add the jobs with a text in their names or as their id or, where these are most jobs, exclude the others."""
        name, with_id = folded(q), self._positions(_WITH_ID, q)
        if 2 * self._sql(f"SELECT count(*) FROM ({_NAMED}) AS found", (name,)).fetchone()[0] <= self.count_all():
            included.append(self._positions(_NAMED, name) | with_id)
        else:
            excluded.append(self._positions(_NAMED_OTHERWISE, name) - with_id)

    def count_all(self) -> int:
        """Return how many jobs there are."""
        return int(self._sql(_JOBS).fetchone()[0])

    def _positions(self, statement: str, *values: object) -> frozenset[int]:
        # All in one row, which takes a third of the time of many rows.
        return _positions(self._sql(f"SELECT [array seq] FROM ({statement}) AS found", values).fetchone()[0])
