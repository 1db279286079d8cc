"""A Debian in a virtual machine, for tests that depend on the kernel: boots, runs one script, and is deleted.

It is emulated (qemu without KVM), as the machine may be virtual itself: 20 to 40 seconds. Needs root, and Debian's
packages qemu-system-x86 and e2fsprogs beside those of box.py.
"""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from box import base

PACKAGES = ("systemd", "systemd-sysv", "dbus", "udev", "linux-image-cloud-amd64", "python3", "procps")
_SIZE = "3G"
_LIMIT_SECONDS = 240
# qemu sometimes hangs before the kernel's first message, which takes 20 seconds: then start it again.
_FIRST_WORD_SECONDS = 90
_UNIT = """
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c '/usr/bin/python3 /root/script.py >/dev/ttyS1 2>&1 </dev/null'
ExecStopPost=/bin/systemctl --no-block poweroff
"""


def run(suite: str, script: str, files: Mapping[str, Path], folder: Path) -> str:
    """What a Python script says there, which finds the files in /root. `folder` is for its disk and console."""
    root = base(suite, PACKAGES)
    tree, disk = folder / "tree", folder / "disk"
    for name in ("tree", "upper", "work"):
        (folder / name).mkdir()
    layers = f"lowerdir={root},upperdir={folder}/upper,workdir={folder}/work"
    subprocess.run(["mount", "-t", "overlay", "kala-vm", "-o", layers, tree], check=True)
    try:
        (tree / "etc/fstab").write_text("/dev/vda / ext4 defaults 0 0\n")
        (tree / "etc/systemd/system/script.service").write_text(_UNIT)
        (tree / "root/script.py").write_text(script)
        for name, file in files.items():
            subprocess.run(["cp", file, tree / "root" / name], check=True)
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", tree, disk, _SIZE], check=True)
    finally:
        subprocess.run(["umount", tree], check=True)
    kernel, initrd = (str(next(root.glob(f"boot/{name}-*"))) for name in ("vmlinuz", "initrd.img"))
    said, console = folder / "said", folder / "console"
    machine = ["-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1024", "-no-reboot"]
    bare = ["-nodefaults", "-no-user-config", "-display", "none", "-device", "virtio-rng-pci"]
    lines = ["-serial", f"file:{console}", "-serial", f"file:{said}"]
    boot = ["-kernel", kernel, "-initrd", initrd, "-append"]
    boot.append("root=/dev/vda rw console=ttyS0 quiet panic=-1 systemd.wants=script.service")
    drive = ["-drive", f"if=virtio,format=raw,cache=unsafe,file={disk}"]
    command = ["qemu-system-x86_64", *machine, *bare, *lines, *boot, *drive]
    while not _ran(command, console):
        pass
    disk.unlink()
    return said.read_text(errors="replace")


def _ran(command: list[str], console: Path) -> bool:
    """Whether the machine came up, and then ran to its end. The test's own time limit bounds how often it is tried."""
    with subprocess.Popen(command) as emulator:
        try:
            emulator.wait(_FIRST_WORD_SECONDS)
        except subprocess.TimeoutExpired:
            if not console.stat().st_size:
                emulator.kill()
                return False
        try:
            assert emulator.wait(_LIMIT_SECONDS) == 0
        finally:
            emulator.kill()
    return True
