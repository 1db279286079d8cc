"""What it costs to find the slots of cron expressions. Starts no process."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from kala.core import cron
from kala.core.cron import Cron

ZONE = ZoneInfo("Europe/Berlin")
EXPRESSIONS = {
    "each minute": "* * * * *",
    "on weekdays": "30 2 * * 1-5",
    "on the last Friday of a month": "0 18 * * 5L",
}
START = datetime(2030, 1, 1, tzinfo=UTC)
YEAR = timedelta(days=365)
ROUNDS = 7
INSTANTS = 1000


def measure() -> dict[str, float]:
    """Return what each takes, in microseconds: the least of some rounds."""
    found = {}
    for name, text in EXPRESSIONS.items():
        plan = cron.parse(text, ZONE)
        instants = [START + number * YEAR / INSTANTS for number in range(INSTANTS)]
        found[f"the next slot, {name}"] = _least(lambda plan, instant: plan.next_after(instant), plan, instants)
        found[f"a year of missed slots, {name}"] = _least(
            lambda plan, start: plan.due(start, start + YEAR, 1), plan, instants[:: INSTANTS // 10]
        )
    return found


def _least(ask: Callable[[Cron, datetime], object], plan: Cron, instants: Sequence[datetime]) -> float:
    costs = []
    for _ in range(ROUNDS):
        clock = time.process_time()
        for instant in instants:
            ask(plan, instant)
        costs.append((time.process_time() - clock) / len(instants) * 1e6)
    return min(costs)
