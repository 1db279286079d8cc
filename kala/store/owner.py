"""Work as the owner of a directory when Kala runs as root.

Jobs can write to the data directory. A name that root opens there may be a link to any file of the machine, and a
database may be crafted to exploit SQLite. So root first drops its privileges for good, in a child process.
"""

import os
import pwd
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from kala.core.errors import Busy, Conflict, Invalid, KalaError, NotFound, describe_os_error
from kala.core.foreign import presentable

_ERRORS = {kind.__name__: kind for kind in (Invalid, NotFound, Conflict, Busy, KalaError)}
_REPORT_BYTES = 64 * 1024
# nogroup on Debian: never root's group.
_NO_GROUP = 65534


def as_owner_of(folder: Path, work: Callable[[], None]) -> None:
    """Call `work` as the owner of `folder`: in a child process if Kala runs as root and the owner is another user.

    Raises a KalaError from `work` as it is, and an OSError as a KalaError with its message. Open files stay open and
    can be used in `work`.
    """
    owner = folder.stat() if folder.exists() else None
    if os.geteuid() != 0 or owner is None or owner.st_uid == 0:
        work()
        return
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        _work_as(owner, work, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        report = pipe.read(_REPORT_BYTES).decode(errors="replace")
    _, status = os.waitpid(child, 0)
    if report or status:
        kind, _, sentence = report.partition(":")
        raise _ERRORS.get(kind, KalaError)(
            presentable(sentence) or f"{folder}: work as the owner of the directory failed"
        )


def _work_as(owner: os.stat_result, work: Callable[[], None], writing: int) -> NoReturn:
    """Exit after `work`, never return: the caller of as_owner_of() continues in the parent only."""
    try:
        _drop_privileges(owner)
        work()
    except KalaError as error:
        os.write(writing, f"{type(error).__name__}:{error}".encode(errors="replace"))
    except OSError as error:
        os.write(writing, f"KalaError:{describe_os_error(error)}".encode(errors="replace"))
    except BaseException:  # noqa: BLE001  a bug is reported here, as the parent cannot do it
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def _drop_privileges(owner: os.stat_result) -> None:
    try:
        group = pwd.getpwuid(owner.st_uid).pw_gid
    except KeyError:  # an id without a name, such as that of a user in a container
        group = owner.st_gid or _NO_GROUP
    os.setgroups([])
    os.setresgid(group, group, group)
    os.setresuid(owner.st_uid, owner.st_uid, owner.st_uid)
