"""A Debian that is booted in a moment, thrown away after, and can be rebooted or lose its power in between.

It is an overlay over a root that mmdebstrap makes once, booted by systemd-nspawn: real units, real apt, real reboots.
The machine need not run systemd itself. Needs root, and Debian's packages systemd-container, mmdebstrap and util-linux.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

CACHE = Path("/var/tmp/kala-boxes")
PACKAGES = ("systemd", "systemd-sysv", "dbus", "libpam-systemd", "iproute2", "curl", "python3", "procps")
PATIENCE = 60
PAUSE = 0.05
# The signal to process 1 that makes systemd power off; see systemd(1).
_POWER_OFF = signal.SIGRTMIN + 4
# nspawn's exit status when the system inside asked for a reboot.
_REBOOT = 133
_ENVIRON = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "HOME": "/root",
    "DEBIAN_FRONTEND": "noninteractive",
}
_MIRROR = "http://deb.debian.org/debian"


def base(suite: str, packages: tuple[str, ...] = PACKAGES) -> Path:
    """Return the root file system of all boxes of this suite; creating it takes half a minute."""
    name = f"{suite}-{hashlib.sha256(' '.join(packages).encode()).hexdigest()[:8]}"
    root, new = CACHE / name, CACHE / f"{name}.new-{os.getpid()}"
    if not root.exists():
        CACHE.mkdir(mode=0o755, exist_ok=True)
        options = ["--variant=minbase", f"--include={','.join(packages)}"]
        # Do not fail if the machine's clock is ahead of the mirror's.
        options.append('--aptopt=Acquire::Check-Valid-Until "false"')
        subprocess.run(["mmdebstrap", "--quiet", *options, suite, str(new), _MIRROR], check=True)
        (new / "etc/machine-id").write_text("")  # each box makes its own
        (new / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")  # the installer's work, else
        (new / "etc/hostname").unlink(missing_ok=True)  # a box is called by its own name
        for timer in ("apt-daily", "apt-daily-upgrade"):  # they would hold dpkg's lock
            (new / f"etc/systemd/system/{timer}.timer").symlink_to("/dev/null")
        new.rename(root)
    return root


class Box:
    """One system. `root` is its file system, also while it is off."""

    def __init__(self, name: str, suite: str = "bookworm") -> None:
        self.name = name
        self.place = CACHE / "box" / f"{name}-{os.getpid()}"
        self.root = self.place / "root"
        for folder in ("upper", "work", "root"):
            (self.place / folder).mkdir(parents=True)
        layers = f"lowerdir={base(suite)},upperdir={self.place}/upper,workdir={self.place}/work"
        subprocess.run(["mount", "-t", "overlay", "kala-box", "-o", layers, str(self.root)], check=True)
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._init = 0

    def start(self) -> None:
        """Boot it, and return when it is up."""
        command = ["systemd-nspawn", "--quiet", "--boot", f"--directory={self.root}", f"--machine={self.name}"]
        # --register and --keep-unit: there may be no systemd around it. A network of its own, so ports are free.
        command += ["--register=no", "--keep-unit", "--private-network", "--console=pipe", "--link-journal=no"]
        with (self.place / "console").open("ab") as console:
            streams = {"stdin": subprocess.DEVNULL, "stdout": console, "stderr": console}
            self._nspawn = subprocess.Popen(["sh", "-c", self._in_cgroup(), *command], **streams)
        self._init = self._until(self._find_init)
        self._until(lambda: self._inside("systemctl", "is-system-running").stdout.strip() in ("running", "degraded"))
        self._inside("ip", "link", "set", "lo", "up")

    def run(self, *command: str, check: bool = True, text: str | None = None) -> "subprocess.CompletedProcess[str]":
        """Run a command inside, as a unit of its own, with `text` as its input; return its output."""
        escaped = [word.replace("$", "$$") for word in command]  # systemd-run would expand variables
        unit = ["systemd-run", "--quiet", "--wait", "--pipe", "--collect", "--service-type=exec", "--"]
        done = self._inside(*unit, *escaped, text=text)
        assert done.returncode == 0 or not check, f"{command}: {done.stdout}{done.stderr}"
        return done

    def copy(self, source: Path, target: str) -> None:
        """Copy a file or a folder of the machine into the box."""
        place = self.root / target.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-aT", "--no-preserve=ownership", str(source), str(place)], check=True)

    def reboot(self) -> None:
        """Return when it is up again."""
        self._inside("systemctl", "reboot")
        assert self._nspawn
        assert self._nspawn.wait(PATIENCE) == _REBOOT
        self.start()

    def kill(self) -> None:
        """Cut the power."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Power off cleanly."""
        self._end(_POWER_OFF)

    def destroy(self) -> None:
        """Delete the box."""
        self.kill()
        subprocess.run(["umount", str(self.root)], check=True)
        shutil.rmtree(self.place)
        for group in self._cgroups():
            subprocess.run(["find", str(group), "-depth", "-type", "d", "-exec", "rmdir", "{}", "+"], check=False)

    def _end(self, number: int) -> None:
        if self._nspawn is not None and self._nspawn.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self._init, number)
            self._nspawn.wait(PATIENCE)

    def _inside(self, *command: str, text: str | None = None) -> "subprocess.CompletedProcess[str]":
        enter = ["nsenter", f"--target={self._init}", "--all", "--"]
        return subprocess.run(
            [*enter, *command],
            env=_ENVIRON,
            input=text or "",
            capture_output=True,
            text=True,
            timeout=PATIENCE * 2,
            check=False,
        )

    def _find_init(self) -> int:
        """Return the outer PID of the box's process 1: nspawn's child, once it is systemd."""
        assert self._nspawn
        assert self._nspawn.poll() is None, (self.place / "console").read_text()
        pid = self._nspawn.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return next((int(child) for child in children if _name(child) == "systemd"), 0)

    def _until(self, fact):
        deadline = time.monotonic() + PATIENCE
        while not (found := fact()):
            assert time.monotonic() < deadline, (self.place / "console").read_text()
            time.sleep(PAUSE)
        return found

    def _in_cgroup(self) -> str:
        """Return shell words that enter a cgroup of this box: in a shared one, its systemd would kill other boxes."""
        groups = list(self._cgroups())
        for group in groups:
            group.mkdir(exist_ok=True)
        return "".join(f"echo $$ >{group}/cgroup.procs; " for group in groups) + 'exec "$0" "$@"'

    def _cgroups(self) -> Iterator[Path]:
        top = Path("/sys/fs/cgroup")
        for hierarchy in (top, *(top / name for name in ("unified", "systemd", "memory", "pids", "cpu", "blkio"))):
            if (hierarchy / "cgroup.procs").exists() and not hierarchy.is_symlink():
                yield hierarchy / self.place.name


def _name(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:  # it has just ended
        return ""
