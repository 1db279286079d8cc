"""Commands that run as another user than Kala: only root can do that."""

import os
import pwd
import shutil
from pathlib import Path

from kala.core.errors import Invalid


def account(name: str) -> pwd.struct_passwd:
    """The user of this name. Raises Invalid where no command can run as that one."""
    if os.geteuid() != 0:
        raise Invalid(f'user: "{name}" is possible only where Kala runs as root; leave it empty for Kala\'s own user')
    if not _setpriv():
        raise Invalid(f'user: "{name}" needs the program setpriv, of util-linux, which is not there')
    try:
        return pwd.getpwnam(name)
    except (KeyError, ValueError):
        raise Invalid(f'user: "{name}" is not a user of this machine') from None


def becoming(user: pwd.struct_passwd) -> tuple[str, ...]:
    """What to put before a command's words: posix_spawn(3) itself cannot change the user."""
    return (str(_setpriv()), f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--init-groups", "--")


def variables(user: pwd.struct_passwd) -> dict[str, str]:
    """What a login of that user would set (POSIX 8.3)."""
    return {"HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name}


def home(user: pwd.struct_passwd) -> Path:
    """Where the user's commands start; / for one without a home."""
    return Path(user.pw_dir) if Path(user.pw_dir).is_dir() else Path("/")


def _setpriv() -> str | None:
    return shutil.which("setpriv")
