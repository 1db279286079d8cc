"""A delay that keeps jobs with the same slot from starting all at once, the same each time it is asked for."""

from datetime import datetime, timedelta
from hashlib import blake2b

from kala.core.instants import rfc3339

_MOMENT = timedelta(microseconds=1)
_BYTES = 8


def delay_of(job_id: str, slot: datetime, jitter: timedelta) -> timedelta:
    """Return how long after its slot a job runs: at least nothing, less than `jitter`, and evenly spread in between.

    It is made from the job and the slot, so that a restart changes no plan, and two slots of a job differ.
    """
    digest = blake2b(f"{job_id} {rfc3339(slot)}".encode(errors="surrogatepass"), digest_size=_BYTES).digest()
    return (jitter // _MOMENT * int.from_bytes(digest) >> 8 * _BYTES) * _MOMENT
