"""Jobs that are due once after each boot of the machine."""

from pathlib import Path

from kala.core import policy
from kala.core.schedule import AT_BOOT
from kala.engine import plans
from kala.engine.step import Step

# The kernel makes a new id at each boot (random(4)). Containers see that of their host.
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_ALL = 1_000_000_000


def boot_id() -> str:
    """Return the id of the boot, "" where there is none."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def plan_after_boot(step: Step, now_in: str) -> None:
    """Make jobs due if the boot that Kala is in is another one than that of before."""
    if not now_in or now_in == step.boots.current():
        return
    step.boots.save(now_in)
    jobs = step.jobs.planned_with([AT_BOOT], _ALL)
    plans.move(step, [policy.after_boot(job, step.zone_of(job.spec), step.now) for job in jobs])
