"""Run commands as another user than Kala, which only root can do."""

import os
import pwd
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from kala.core.errors import Invalid
from kala.runner.environment import Environ

# The PATH of a user's commands, as it is for systemd's services.
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# The programs that run as root are looked up once, when Kala starts, and only in these directories: neither Kala's own
# PATH nor that of a job decides what root runs.
_SETPRIV, _ENV = (shutil.which(name, path="/usr/bin:/bin:/usr/sbin:/sbin") for name in ("setpriv", "env"))
# The locale and time zone of the machine (locale(7)). A user gets nothing else of root's environment.
_LOCALE_VARIABLES = """
    LANG LANGUAGE LC_ADDRESS LC_ALL LC_COLLATE LC_CTYPE LC_IDENTIFICATION LC_MEASUREMENT LC_MESSAGES LC_MONETARY LC_NAME
    LC_NUMERIC LC_PAPER LC_TELEPHONE LC_TIME TZ
""".split()
# The exit status of env(1) when env itself fails.
_ENV_FAILED = 125
# The message begins with the path of env up to coreutils 9.1, and with its name in 9.7.
_CHDIR_FAILED = re.compile(rb"(?:/\S+/)?env: cannot change directory to ")
# The shells of users that cannot log in. They get /bin/sh, because a program that starts $SHELL needs one that works.
_NOLOGIN_SHELLS = ("nologin", "false", "")


def lookup(name: str) -> pwd.struct_passwd:
    """Return the user with this name. Raise Invalid if no command can run as that user."""
    if os.geteuid() != 0:
        raise Invalid(f'user: "{name}" requires Kala to run as root; leave it empty to use Kala\'s own user')
    if not _SETPRIV or not _ENV:
        raise Invalid(f'user: "{name}" requires setpriv (from util-linux) and env, which are not installed')
    try:
        return pwd.getpwnam(name)
    except (KeyError, ValueError):
        raise Invalid(f'user: "{name}" is not a user on this machine') from None


def setpriv_words(user: pwd.struct_passwd, folder: Path, environ: Environ) -> tuple[list[str], Environ]:
    """Return the words that go before those of a command to run it as `user`, and the environment for them.

    posix_spawn(3) cannot change the user. The job's variables must not affect programs that run as root (LD_PRELOAD,
    for example), and must not be arguments, which all users can see. So they are passed under meaningless names, and
    env(1), which already runs as the user, gives them their own names. env also changes the directory, because root
    could enter one that the user may not.

    setpriv keeps root's capabilities until it calls execve(2), so it must not start a program of the job: that would be
    looked up with them. Then they are gone (capabilities(7), "Transformation of capabilities during execve()").
    """
    assert _SETPRIV
    assert _ENV
    carried = {f"KALA_CARRIED_{number}": name for number, name in enumerate(environ)}
    names = " ".join(f"{name}=${{{carrier}}}" for carrier, name in carried.items())
    rights = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--init-groups", "--inh-caps=-all"]
    setpriv = [_SETPRIV, *rights, "--"]
    env = [_ENV, "--ignore-environment", f"--chdir={folder}", f"--split-string={names}"]
    return [*setpriv, *env], {
        carrier: carrier.encode() + environ[name].removeprefix(name.encode()) for carrier, name in carried.items()
    }


def chdir_error(exit_code: int | None, printed: bytes) -> str:
    """Return why env(1) could not change the directory, by its exit status and message; empty if it could."""
    if exit_code != _ENV_FAILED or not _CHDIR_FAILED.match(printed):
        return ""
    return printed.splitlines()[0].rpartition(b": ")[2].decode(errors="replace")


def variables(user: pwd.struct_passwd, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a login of the user would set (POSIX 8.3), and `environ`'s locale and time zone."""
    has_shell = Path(user.pw_shell).name not in _NOLOGIN_SHELLS
    return {
        **{name: environ[name] for name in _LOCALE_VARIABLES if name in environ},
        "PATH": _SYSTEM_PATH,
        "HOME": user.pw_dir,
        "USER": user.pw_name,
        "LOGNAME": user.pw_name,
        "SHELL": user.pw_shell if has_shell else "/bin/sh",
    }


def home(user: pwd.struct_passwd) -> Path:
    """Return the directory in which the user's commands start: the home directory, or / if there is none."""
    return Path(user.pw_dir) if Path(user.pw_dir).is_dir() else Path("/")
