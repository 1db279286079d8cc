"""Kala's settings. `Config` is the one table: each key with its kind, meaning and default; `load` fills it.

Later sources win: defaults < /etc/kala/kala.toml < the user's kala.toml < KALA_* variables < flags.
A service does not read a user's file.
"""

import difflib
import ipaddress
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import msgspec
from msgspec.structs import replace

from kala.config.callers import (
    GROUP_ROLES,
    HEADER,
    PEERS,
    PROXIES,
    SESSION,
    check_proxy,
    check_tls,
    settle_auth,
)
from kala.config.kinds import (
    BASE_PATH,
    LENGTH,
    LINE,
    NAMES,
    ON_OFF,
    PATH,
    PATH_OR_NONE,
    POOLS,
    PORT,
    SECONDS,
    TEXT,
    Kind,
    choice,
    number,
)
from kala.core.caller import Role
from kala.core.errors import Invalid

_SYSTEM_FILE = Path("/etc/kala/kala.toml")
_ADDRESS = re.compile(r"(?:\[([^]]*)]|([^:]*)):(\d+)", re.ASCII)


class Key(msgspec.Struct, frozen=True):
    """All about a setting except its type and default; `flag` only if it differs from the key's name.

    The value of a setting that `is_secret` is never shown.
    """

    kind: Kind
    meaning: str
    short: str = ""
    flag: str = ""
    is_secret: bool = False


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The settings in effect. Every key can be set in a file, as KALA_<KEY>, and as a flag."""

    interface: Annotated[str, Key(TEXT, "The address to listen on.", "-i")] = "127.0.0.1"
    port: Annotated[int, Key(PORT, "The port to listen on, or address:port; port 0 picks a free port.", "-p")] = 8000
    data_dir: Annotated[
        Path,
        Key(
            PATH,
            "The directory for the database and the output of runs; by default the first available of"
            " $STATE_DIRECTORY, $XDG_DATA_HOME/kala and ~/.local/share/kala.",
        ),
    ]
    persist: Annotated[
        bool, Key(ON_OFF, "Store jobs and runs on disk; if off, they are lost when Kala stops.", "-n")
    ] = True
    default_owner: Annotated[str, Key(LINE, "The owner, an email address, of jobs that do not name one.", "-o")] = ""
    workers: Annotated[int, Key(number(1, 10000), "The maximum number of concurrent runs.")] = 128
    shutdown_grace: Annotated[
        float, Key(SECONDS, "How long to wait for runs to finish when Kala stops, in seconds.")
    ] = 30.0
    kill_grace: Annotated[
        float, Key(SECONDS, "How long to wait between SIGTERM and SIGKILL when a command is stopped, in seconds.")
    ] = 10.0
    durability: Annotated[
        Literal["full", "normal"],
        Key(choice("full", "normal"), "full survives a power failure; normal is faster, and survives a crash of Kala."),
    ] = "full"
    pools: Annotated[
        dict[str, int],
        Key(POOLS, "The maximum number of concurrent runs in each pool; jobs choose a pool by name.", flag="--pool"),
    ] = msgspec.field(default_factory=dict)
    keep_for: Annotated[
        str, Key(LENGTH, "How long to keep runs, as an ISO 8601 duration such as P90D; empty means forever.")
    ] = ""
    keep_runs: Annotated[int, Key(number(0), "How many runs of each job to keep; 0 means no limit.")] = 0
    keep_bytes: Annotated[
        int,
        Key(
            number(0, unit="bytes"),
            "How many bytes of output to keep in total; the oldest runs are deleted first, and 0 means no limit.",
        ),
    ] = 10 * 1024**3
    output_limit: Annotated[int, Key(number(1024, unit="bytes"), "How many bytes of output to keep for each run.")] = (
        1024 * 1024
    )
    allowed_hosts: Annotated[
        tuple[str, ...],
        Key(NAMES, "Additional host names that clients may use to reach Kala.", flag="--allowed-host"),
    ] = ()
    base_path: Annotated[
        str, Key(BASE_PATH, "The path at which a reverse proxy offers Kala, such as /kala; empty means the root.")
    ] = ""
    auth: Annotated[
        Literal["on", "off"],
        Key(choice("on", "off"), "Whether callers must prove who they are; off means that anyone may do anything."),
    ] = "on"
    insecure_no_auth: Annotated[
        bool,
        Key(ON_OFF, 'Another name of auth = "off": anyone who can reach Kala can run commands as its user.'),
    ] = False
    peers: Annotated[
        dict[Role, tuple[str, ...]],
        Key(PEERS, "Which users and @groups of this machine have which role on the Unix socket.", flag="--peer"),
    ] = msgspec.field(default_factory=dict)
    trusted_proxies: Annotated[
        tuple[str, ...],
        Key(
            PROXIES,
            "The reverse proxies whose headers Kala believes: addresses, networks, or user@127.0.0.1.",
            flag="--trusted-proxy",
        ),
    ] = ()
    proxy_user_header: Annotated[
        str, Key(HEADER, "The header in which a trusted proxy names the user whom it has logged in.")
    ] = ""
    proxy_groups_header: Annotated[
        str, Key(HEADER, "The header in which a trusted proxy lists the user's groups, with commas between them.")
    ] = ""
    group_roles: Annotated[
        dict[str, Role],
        Key(
            GROUP_ROLES,
            "Which role each of these groups has; * is everyone whom the proxy has logged in.",
            flag="--group-role",
        ),
    ] = msgspec.field(default_factory=dict)
    tls_certificate: Annotated[
        Path | None, Key(PATH_OR_NONE, "The certificate for HTTPS and those of its issuers, in one PEM file.")
    ] = None
    tls_key: Annotated[Path | None, Key(PATH_OR_NONE, "The private key of the certificate, as a PEM file.")] = None
    session_idle: Annotated[str, Key(SESSION, "How long a login lasts without a request, as an ISO 8601 duration.")] = (
        "P7D"
    )
    session_lifetime: Annotated[str, Key(SESSION, "How long a login lasts at most, as an ISO 8601 duration.")] = "P30D"
    keep_audit: Annotated[
        str, Key(LENGTH, "How long to keep the audit log, as an ISO 8601 duration; empty means forever.")
    ] = "P1Y"
    missing_limits: Annotated[
        Literal["refuse", "warn"],
        Key(
            choice("refuse", "warn"),
            "What to do with jobs whose limits cannot be enforced: refuse them, or warn and run them without limits.",
        ),
    ] = "refuse"
    verbose: Annotated[
        bool,
        Key(ON_OFF, "Also log each request to the engine, and malformed HTTP requests.", "-v"),
    ] = False
    log_format: Annotated[
        Literal["auto", "text", "journal", "json"],
        Key(
            choice("auto", "text", "journal", "json"),
            "The format of log lines; auto means journal under systemd, and text otherwise.",
        ),
    ] = "auto"
    log_file: Annotated[
        Path | None, Key(PATH_OR_NONE, "Where to write the log with --daemon; if not set, nothing is logged.")
    ] = None
    pid_file: Annotated[Path | None, Key(PATH_OR_NONE, "A file for the process ID, locked while Kala runs.")] = None

    @property
    def is_open(self) -> bool:
        """Whether anyone may do anything."""
        return self.insecure_no_auth or self.auth == "off"


KEYS: dict[str, Key] = {
    name: hint.__metadata__[0] for name, hint in get_type_hints(Config, include_extras=True).items()
}

DEFAULT_ORIGINS: Mapping[str, str] = dict.fromkeys(KEYS, "default")

# The keys that a reload applies; all others need a restart.
RELOADABLE = frozenset(
    {
        "default_owner",
        "verbose",
        "allowed_hosts",
        "shutdown_grace",
        "kill_grace",
        "output_limit",
        "pools",
        "keep_for",
        "keep_runs",
        "keep_bytes",
        "missing_limits",
        "peers",
        "trusted_proxies",
        "proxy_user_header",
        "proxy_groups_header",
        "group_roles",
        "session_idle",
        "session_lifetime",
        "keep_audit",
    }
)


class Loaded(msgspec.Struct, frozen=True):
    """The settings, and for each key the origin of its value: "default", a file, a variable or a flag."""

    config: Config
    origins: dict[str, str]


class _Value(msgspec.Struct, frozen=True):
    """One value from one source. `label` is origin and key for messages; relative paths are below `base`."""

    name: str
    value: object
    origin: str
    label: str
    base: Path

    def read(self) -> object:
        try:
            value = KEYS[self.name].kind.read(self.value)
        except (ValueError, RuntimeError, Invalid):  # RuntimeError: there is no home for ~
            expected = KEYS[self.name].kind.expected
            given = ",".join(self.value) if isinstance(self.value, tuple) else self.value
            raise Invalid(f"{self.label}: must be {expected}, not {given!r}") from None
        return self.base / value if isinstance(value, Path) else value

    def parts(self) -> list["_Value"]:
        """Split address:port, given as the port, into two values; the address overrides an earlier interface."""
        match = _ADDRESS.fullmatch(self.value) if self.name == "port" and isinstance(self.value, str) else None
        if not match:
            return [self]
        host = match[1] or match[2]
        port = replace(self, value=match[3])
        return [replace(self, name="interface", value=host), port] if host else [port]


def locate(config_file: str | None, environ: Mapping[str, str], here: Path) -> tuple[Path, ...]:
    """Return the files to read: the one that --config or KALA_CONFIG names, or else the default files.

    A service (systemd sets STATE_DIRECTORY) reads no user's file: its jobs can write one in their home directory.
    Raises Invalid if the named file does not exist, unless it is the system's, which an administrator may delete.
    """
    named, label = (config_file, "--config") if config_file else (environ.get("KALA_CONFIG"), "KALA_CONFIG")
    if named:
        if here / named != _SYSTEM_FILE and not (here / named).exists():
            raise Invalid(f"{label}: {named!r} does not exist; use the path of a TOML file")
        return (here / named,)
    home = None if environ.get("STATE_DIRECTORY") else _xdg(environ, "XDG_CONFIG_HOME", ".config")
    return (_SYSTEM_FILE, home / "kala/kala.toml") if home else (_SYSTEM_FILE,)


def load(
    flags: Mapping[str, object], environ: Mapping[str, str], files: Sequence[Path], here: Path | None = None
) -> Loaded:
    """Read every source. Raises Invalid for the first value that is wrong.

    A missing file counts as empty. Relative paths in a file are relative to its folder; those in variables and flags to
    `here`: the working directory at the start, which a daemon leaves before it reloads.
    """
    values: dict[str, Any] = {}
    origins = dict(DEFAULT_ORIGINS)
    for given in _all_values(flags, environ, files, here or Path.cwd()):
        for part in given.parts():
            values[part.name] = part.read()
            origins[part.name] = part.origin
    if "data_dir" not in values:
        values["data_dir"] = _default_data_dir(environ)
    settle_auth(values, origins)
    check_proxy(values)
    check_tls(values)
    return Loaded(Config(**values), origins)


def _all_values(
    flags: Mapping[str, object], environ: Mapping[str, str], files: Sequence[Path], here: Path
) -> Iterator[_Value]:
    """Yield every value of every source, the weakest source first; within a source in the order of the table."""
    for file in files:
        yield from _from_file(file)
    for name in KEYS:
        variable = f"KALA_{name.upper()}"
        if environ.get(variable):
            yield _Value(name, environ[variable], variable, variable, here)
    for name in KEYS:
        if flags.get(name) not in (None, ()):
            yield _Value(name, flags[name], flag(name, flags[name]), flag(name, flags[name]), here)


def _from_file(file: Path) -> Iterator[_Value]:
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise Invalid(f"{file}: cannot be read: {error.strerror}; make it readable by Kala's user") from None
    except ValueError as error:  # not UTF-8, or not TOML
        raise Invalid(f"{file}: invalid TOML: {error}; use lines such as port = 8000") from None
    for name in table:
        if name not in KEYS:
            raise Invalid(f"{file}: unknown key {name!r}; {_nearest(name)}")
    yield from (_Value(name, table[name], str(file), f"{file}: {name}", file.parent) for name in KEYS if name in table)


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name.replace("-", "_").lower(), KEYS, n=1)
    return f"did you mean {near[0]}?" if near else f"the keys are {', '.join(KEYS)}"


def flag(name: str, value: object = True) -> str:
    """Return the command-line option for a key with this value."""
    dashed = name.replace("_", "-")
    return KEYS[name].flag or (f"--no-{dashed}" if value is False else f"--{dashed}")


def _default_data_dir(environ: Mapping[str, str]) -> Path:
    if environ.get("STATE_DIRECTORY"):
        return Path(environ["STATE_DIRECTORY"].partition(":")[0])
    data = _xdg(environ, "XDG_DATA_HOME", ".local/share")
    if data is None:
        raise Invalid("data_dir: not set, and there is no home directory; use --data-dir")
    return data / "kala"


def _xdg(environ: Mapping[str, str], variable: str, below_home: str) -> Path | None:
    """Return an XDG base directory, ignoring a relative one as its specification says; None without a home."""
    if environ.get(variable, "").startswith("/"):
        return Path(environ[variable])
    home = environ.get("HOME") or os.path.expanduser("~")  # noqa: PTH111  Path raises if there is none
    return Path(home) / below_home if home.startswith("/") else None


def check_reach(address: str, config: Config, *, has_callers: bool) -> None:
    """Raise Invalid for an address to listen on that others can reach while nobody can prove who they are.

    `has_callers` tells whether there is a user or a token. Where anyone may do anything, the settings say so.
    """
    if not (config.is_open or has_callers or is_loopback(address)):
        raise Invalid(
            f"interface: {address} can be reached from other machines, and there is no user or token yet; create one"
            " with kala user add NAME --role admin, name a file with a token in KALA_ADMIN_TOKEN_FILE, listen on"
            " 127.0.0.1, or use --insecure-no-auth if a proxy or firewall controls access"
        )


def is_loopback(address: str) -> bool:
    """Whether only programs on this machine can reach an address to listen on."""
    return ipaddress.ip_address(address).is_loopback
