"""Commands that run as another user than Kala: only root can do that."""

import os
import pwd
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from kala.core.errors import Invalid
from kala.runner.environment import Environ

# Programs that run as root are looked for once, at Kala's start, and only here: neither Kala's own PATH nor a job's
# decides what root runs. The same list is the PATH of a user's commands, as it is for systemd's services.
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SETPRIV, _ENV = (shutil.which(name, path="/usr/bin:/bin:/usr/sbin:/sbin") for name in ("setpriv", "env"))
# How text and time look on this machine (locale(7)); nothing else of root's environment is a user's business.
_OF_THE_MACHINE = """
    LANG LANGUAGE LC_ADDRESS LC_ALL LC_COLLATE LC_CTYPE LC_IDENTIFICATION LC_MEASUREMENT LC_MESSAGES LC_MONETARY LC_NAME
    LC_NUMERIC LC_PAPER LC_TELEPHONE LC_TIME TZ
""".split()
# The exit status of an env(1) that failed itself.
_ENV_FAILED = 125
# It calls itself by its path up to coreutils 9.1, and by its name alone in 9.7.
_CANNOT_ENTER = re.compile(rb"(?:/\S+/)?env: cannot change directory to ")
# The shells of users who do not log in; a program that starts $SHELL needs one that works.
_NO_SHELL = ("nologin", "false", "")


def lookup(name: str) -> pwd.struct_passwd:
    """The user of this name. Raises Invalid where no command can run as that one."""
    if os.geteuid() != 0:
        raise Invalid(f'user: "{name}" requires Kala to run as root; leave it empty to use Kala\'s own user')
    if not _SETPRIV or not _ENV:
        raise Invalid(f'user: "{name}" requires setpriv (from util-linux) and env, which are not installed')
    try:
        return pwd.getpwnam(name)
    except (KeyError, ValueError):
        raise Invalid(f'user: "{name}" is not a user on this machine') from None


def setpriv_words(user: pwd.struct_passwd, folder: Path, environ: Environ) -> tuple[list[str], Environ]:
    """What to put before a command's words, as posix_spawn(3) itself cannot change the user; and its environment.

    The command's own variables must not act while root's programs run (LD_PRELOAD, for one), and must not be arguments,
    which all users can see. So they travel under names that mean nothing to anybody, and env(1), which already runs as
    the user, gives them their own names. It enters the folder, too: root could enter one that the user may not.

    setpriv keeps root's capabilities until it starts the next program, so that must be none of the job's: it would be
    found with them. From there on there are none (capabilities(7), "Transformation of capabilities during execve()").
    """
    assert _SETPRIV
    assert _ENV
    carried = {f"KALA_CARRIED_{number}": name for number, name in enumerate(environ)}
    names = " ".join(f"{name}=${{{carrier}}}" for carrier, name in carried.items())
    rights = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--init-groups", "--inh-caps=-all"]
    becoming = [_SETPRIV, *rights, "--"]
    setting = [_ENV, "--ignore-environment", f"--chdir={folder}", f"--split-string={names}"]
    return [*becoming, *setting], {
        carrier: carrier.encode() + environ[name].removeprefix(name.encode()) for carrier, name in carried.items()
    }


def obstacle(exit_code: int | None, printed: bytes) -> str:
    """Why env(1) could not enter the folder, by its exit status and its words; empty where it was not that."""
    if exit_code != _ENV_FAILED or not _CANNOT_ENTER.match(printed):
        return ""
    return printed.splitlines()[0].rpartition(b": ")[2].decode(errors="replace")


def variables(user: pwd.struct_passwd, environ: Mapping[str, str]) -> dict[str, str]:
    """What a login of that user would set (POSIX 8.3), and of Kala's `environ` how text and time look here."""
    has_shell = Path(user.pw_shell).name not in _NO_SHELL
    return {
        **{name: environ[name] for name in _OF_THE_MACHINE if name in environ},
        "PATH": _SYSTEM_PATH,
        "HOME": user.pw_dir,
        "USER": user.pw_name,
        "LOGNAME": user.pw_name,
        "SHELL": user.pw_shell if has_shell else "/bin/sh",
    }


def home(user: pwd.struct_passwd) -> Path:
    """Where the user's commands start; / for one without a home."""
    return Path(user.pw_dir) if Path(user.pw_dir).is_dir() else Path("/")
