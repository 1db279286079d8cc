"""What a caller may do to jobs, beyond the role that a route needs: whose jobs they are, and as which user they run."""

from collections.abc import Collection

from msgspec.structs import replace

from kala.core.caller import Caller, Role
from kala.core.errors import Conflict, Forbidden, Invalid
from kala.core.job import Command, Spec

NOT_ALL = "all jobs can be deleted only by a caller who sees them all; delete yours with POST /api/v1/job/bulk/"
_NEEDED = "needs the role admin, or the permission run_as"


def check_limit(role: Role, owners: Collection[str]) -> None:
    """Raise Invalid for a limit to the jobs of some owners that is none: admins can make users without it."""
    if owners and role is Role.ADMIN:
        raise Invalid("owners: an admin sees the jobs of all owners; remove the owners, or use another role")


def check_change(caller: Caller, before: Spec | None, after: Spec, own_user: str = "") -> None:
    """Raise Forbidden if the caller may not give a job this spec. A new job has none before.

    `own_user` is root where Kala runs as root, and else empty: a command without a user runs as Kala's.
    """
    if not caller.sees(after.owner):
        patterns = " or ".join(caller.owners)
        given = f"not {after.owner!r}" if after.owner else "and there is none"
        raise Forbidden(f"owner: must match {patterns}, {given}; you see only jobs of such owners")
    if caller.may_choose_user:
        return
    user, wanted = _user(before, own_user) if before else "", _user(after, own_user)
    if wanted != user:
        what = (
            "setting or changing it"
            if after.user or not own_user
            else f"without one, the command runs as {own_user}; this"
        )
        raise Forbidden(f"user: {what} {_NEEDED}")
    # Whoever may choose the command of a job that runs as root is root.
    if before and user and after != replace(before, disabled=after.disabled):
        raise Forbidden(f"user: changing a job that runs as {user!r} {_NEEDED}; you can start, disable and enable it")


def _user(spec: Spec, own_user: str) -> str:
    return spec.user or (own_user if isinstance(spec.action, Command) else "")


def check_deletion(job_id: str, doomed: Collection[str], seen: Collection[str]) -> None:
    """Raise Conflict if jobs would be deleted with a job that the caller does not see. They are not named."""
    unseen = len(set(doomed).difference(seen))
    if unseen:
        raise Conflict(
            f"job {job_id}: {unseen:,} of the jobs that would be deleted with it, as they have no other parent, "
            f"{'belongs' if unseen == 1 else 'belong'} to other owners; ask them to give these another parent first"
        )
