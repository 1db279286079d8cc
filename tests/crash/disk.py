"""A simulated disk for a real process: a power cut loses what was not synced, and operations fail on demand.

`disk.c` logs what the process does to its files. This module computes what a disk would have of it afterwards, by the
rules of ext4 and xfs with default mount options; where the two differ, by the worse one:

- Dirty pages of 4096 bytes are written back in any order, at any time. So each page has a random prefix of the writes
  since the last sync of its file. A page whose write-back was interrupted is torn: some of its sectors of 512 bytes are
  newer than others.
- After fsync or fdatasync has returned 0, all that was written to the file before the call is durable.
- After one of them has failed, the pages may never reach the disk, and a later successful sync says nothing about
  them: Linux marks those pages clean. Only a page that is written to again is written back again.
- Names (create, rename, unlink, mkdir, rmdir) and truncations go through a journal. Of the entries that are not
  durable, a random prefix has happened.
- A sync makes the journal durable up to the last entry about that file or folder: its creation, its name (fdatasync
  ignores renames), and for a folder the names in it. A sync that writes a new size adds an entry for it, so the whole
  journal is durable then. This is why a new file needs no sync of its folder on these file systems.
- A file that grew without a sync has one of the sizes that it had in between; pages that are missing read as zeros.
"""

import fnmatch
import os
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PAGE = 4096
SECTOR = 512
CONTROL = 4096
_RECORD = struct.Struct("<QIIc7x")
_SHM = "*-shm"


class Record(NamedTuple):
    """A record of the log.

    `number` is an offset, a size, whether a file was created (1) or truncated (2), or the number of a sync, odd for
    fsync.
    """

    operation: str
    handle: int
    number: int
    data: bytes


def records(path: Path) -> Iterator[Record]:
    """Read the log without an incomplete last record: the process was killed before that operation returned."""
    log = path.read_bytes() if path.exists() else b""
    place = 0
    while place + _RECORD.size <= len(log):
        number, handle, length, operation = _RECORD.unpack_from(log, place)
        place += _RECORD.size
        if place + length <= len(log):
            yield Record(operation.decode(), handle, number, log[place : place + length])
        place += length


class File:
    """The content of one inode: as the process sees it, and as the disk may have it."""

    def __init__(self, content: bytes = b"") -> None:
        self.seen = bytearray(content)
        self.kept = bytes(content)
        # Dirty pages, each with its states since the last sync: the time, and the bytes.
        self._dirty: dict[int, list[tuple[int, bytes]]] = {}
        # Dirty pages of a failed sync, which no later sync writes.
        self._given_up: dict[int, list[tuple[int, bytes]]] = {}
        self.sizes: list[tuple[int, int]] = []

    def write(self, time: int, offset: int, data: bytes) -> None:
        end = offset + len(data)
        if end > len(self.seen):
            self.seen.extend(bytes(end - len(self.seen)))
            self.sizes.append((time, end))
        self.seen[offset:end] = data
        for page in range(offset // PAGE, (end - 1) // PAGE + 1):
            self._note(time, page)

    def _note(self, time: int, page: int) -> None:
        self._dirty.setdefault(page, []).append((time, bytes(self.seen[page * PAGE : (page + 1) * PAGE])))

    def truncate(self, time: int, size: int) -> None:
        """Truncate the file as the process sees it. The journal calls `truncated` when the disk has it."""
        old = len(self.seen)
        del self.seen[size:]
        self.seen.extend(bytes(size - len(self.seen)))
        self.sizes.append((time, size))
        for page in range(min(size, old) // PAGE, (max(size, old) - 1) // PAGE + 1):
            self._note(time, page)

    def truncated(self, size: int) -> None:
        self.kept = self.kept[:size].ljust(size, b"\0")

    def grew(self, time: int) -> bool:
        """Whether a sync at that time writes a new size."""
        return any(when <= time for when, _ in self.sizes)

    def synced(self, time: int) -> None:
        size = [size for when, size in self.sizes if when <= time][-1:]
        kept = bytearray(self.kept[: size[0]].ljust(size[0], b"\0") if size else self.kept)
        for page, states in self._take(time).items():
            self._given_up.pop(page, None)
            content = states[-1][1]
            kept[page * PAGE : page * PAGE + len(content)] = content
        self.kept = bytes(kept[: size[0]] if size else kept)
        self.sizes = [one for one in self.sizes if one[0] > time]

    def failed(self, time: int) -> None:
        for page, states in self._take(time).items():
            self._given_up.setdefault(page, []).extend(states)

    def _take(self, time: int) -> dict[int, list[tuple[int, bytes]]]:
        """Return the pages that a sync at that time writes, with their states until then."""
        taken = {page: [state for state in states if state[0] <= time] for page, states in self._dirty.items()}
        later = {page: [state for state in states if state[0] > time] for page, states in self._dirty.items()}
        self._dirty = {page: states for page, states in later.items() if states}
        return {page: states for page, states in taken.items() if states}

    def after_cut(self, chance, truncations: "list[Entry]", until: int) -> bytes:
        """Return a possible content on disk after these truncations, without anything from after `until`."""
        since, least = 0, len(self.kept)
        for entry in truncations:
            since, least = entry.time, min(least, entry.size)
        sizes = [truncations[-1].size if truncations else least]
        sizes += [size for when, size in self.sizes if since < when < until]
        size = chance.choice((sizes[0], sizes[-1], chance.choice(sizes)))
        content = bytearray(self.kept[:least][:size].ljust(size, b"\0"))
        # Sometimes nearly all pages are written back, sometimes nearly none.
        share = chance.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        for page in sorted(self._dirty.keys() | self._given_up.keys()):
            states = [*self._given_up.get(page, ()), *self._dirty.get(page, ())]
            first = since if (page + 1) * PAGE > least else 0
            choice = [state for when, state in states if first <= when < until]
            if choice and chance.random() < share:
                _put(content, page * PAGE, _torn(content[page * PAGE : (page + 1) * PAGE], choice, chance))
        return bytes(content)


def _put(content: bytearray, offset: int, data: bytes) -> None:
    end = min(len(content), offset + len(data))
    if offset < end:
        content[offset:end] = data[: end - offset]


def _torn(old: bytes, states: list[bytes], chance) -> bytes:
    """Return one of the states, mostly the last, sometimes with sectors of the state before it."""
    last = len(states) - 1 if chance.random() < 0.5 else chance.randrange(len(states))
    new = states[last]
    if chance.random() < 0.7:
        return new
    before = (states[last - 1] if last else bytes(old)).ljust(len(new), b"\0")
    sectors = range(0, len(new), SECTOR)
    return b"".join((new if chance.random() < 0.5 else before)[at : at + SECTOR] for at in sectors)


class Entry(NamedTuple):
    """An entry of the journal. A sync of the files and folders in `concerns` makes it durable."""

    time: int
    operation: str
    path: str
    to: str
    file: File | None
    size: int = 0

    def concerns(self, what: "File | str", *, is_full: bool) -> bool:
        if isinstance(what, File):
            return self.file is what and (is_full or self.operation != "rename")
        return what in {self.path, *(os.path.dirname(name) for name in (self.path, self.to) if name)}  # noqa: PTH120


Names = dict[str, File | None]


class Replay:
    """A replay of the log, from a state of the disk. Names are paths below the folder; a folder has no file."""

    def __init__(self, folder: Path, state: dict[str, bytes | None]) -> None:
        self._folder = str(folder)
        self.seen: Names = {name: None if content is None else File(content) for name, content in state.items()}
        self.kept: Names = dict(self.seen)
        self._journal: list[Entry] = []
        self._time = 0
        self._handles: dict[int, File | str] = {}
        self._syncs: dict[int, int] = {}
        self.faults: list[str] = []

    def follow(self, log: Path) -> "Replay":
        for record in records(log):
            self._time += 1
            self._steps[record.operation](self, record)
        return self

    def _name(self, data: bytes) -> str:
        return os.fsdecode(data)[len(self._folder) + 1 :]

    def _enter(self, operation: str, path: str, to: str = "", file: File | None = None, size: int = 0) -> None:
        self._journal.append(Entry(self._time, operation, path, to, file, size))

    def _begin(self, record: Record) -> None:
        self._handles, self._syncs = {}, {}

    def _open(self, record: Record) -> None:
        name = self._name(record.data)
        if record.number == 1:
            self.seen[name] = File()
            self._enter("create", name, file=self.seen[name])
        file = self.seen.get(name)
        self._handles[record.handle] = name if file is None else file
        if record.number == 2 and file:
            self._cut_off(file, 0)

    def _cut_off(self, file: File, size: int) -> None:
        file.truncate(self._time, size)
        self._enter("truncate", "", file=file, size=size)

    def _file(self, record: Record) -> File:
        file = self._handles[record.handle]
        assert isinstance(file, File)
        return file

    def _write(self, record: Record) -> None:
        self._file(record).write(self._time, record.number, record.data)

    def _truncate(self, record: Record) -> None:
        self._cut_off(self._file(record), record.number)

    def _sync(self, record: Record) -> None:
        self._syncs[record.number] = self._time

    def _synced(self, record: Record) -> None:
        what, time, is_full = self._handles[record.handle], self._syncs[record.number], bool(record.number & 1)
        about = [entry.time for entry in self._journal if entry.time < time and entry.concerns(what, is_full=is_full)]
        if isinstance(what, File) and what.grew(time):
            about.append(time)
        self._commit(max(about, default=0))
        if isinstance(what, File):
            what.synced(time)

    def _commit(self, until: int) -> None:
        done = [entry for entry in self._journal if entry.time <= until]
        self._journal = self._journal[len(done) :]
        for entry in done:
            _carry_out(self.kept, entry)
            if entry.operation == "truncate" and entry.file:
                entry.file.truncated(entry.size)

    def _failed(self, record: Record) -> None:
        what = self._handles[record.handle]
        if isinstance(what, File):
            what.failed(self._syncs[record.number])

    def _rename(self, record: Record) -> None:
        old, new = map(self._name, record.data.split(b"\0"))
        self._change("rename", old, new, self.seen[old])

    def _unlink(self, record: Record) -> None:
        name = self._name(record.data)
        # bind(2) makes a socket, which the layer does not log: it has no data that could be lost.
        if not name.endswith(".sock"):
            self._change("unlink", name, "", self.seen[name])

    def _mkdir(self, record: Record) -> None:
        if name := self._name(record.data):
            self._change("mkdir", name, "", None)

    def _change(self, operation: str, path: str, to: str, file: File | None) -> None:
        self._enter(operation, path, to, file)
        _carry_out(self.seen, self._journal[-1])

    def _fault(self, record: Record) -> None:
        self.faults.append(self._name(record.data))

    _steps = {  # noqa: RUF012
        "B": _begin,
        "O": _open,
        "W": _write,
        "T": _truncate,
        "S": _sync,
        "E": _synced,
        "F": _failed,
        "R": _rename,
        "U": _unlink,
        "M": _mkdir,
        "X": _fault,
    }

    def before_cut(self) -> dict[str, bytes | None]:
        """Return the state that the process sees."""
        return {name: None if file is None else bytes(file.seen) for name, file in self.seen.items()}

    def after_cut(self, chance) -> dict[str, bytes | None]:
        """Return a random state of the disk after a power cut now. The replay is unchanged, so others can follow."""
        entries = chance.choice((0, len(self._journal), chance.randint(0, len(self._journal))))
        names = dict(self.kept)
        for entry in self._journal[:entries]:
            _carry_out(names, entry)
        state: dict[str, bytes | None] = {}
        for name, file in names.items():
            state[name] = None if file is None else self._content(file, entries, chance)
        return state

    def _content(self, file: File, entries: int, chance) -> bytes:
        truncations = [entry for entry in self._journal if entry.operation == "truncate" and entry.file is file]
        done = [entry for entry in self._journal[:entries] if entry in truncations]
        until = truncations[len(done)].time if len(done) < len(truncations) else self._time + 1
        return file.after_cut(chance, done, until)


def _carry_out(names: Names, entry: Entry) -> None:
    if entry.operation in ("create", "mkdir"):
        names[entry.path] = entry.file
    elif entry.operation == "unlink":
        del names[entry.path]
    elif entry.operation == "rename":
        names[entry.to] = names.pop(entry.path)


def state_of(folder: Path) -> dict[str, bytes | None]:
    """Return the files and folders below a folder, without SQLite's -shm file, which does not survive a restart."""
    found = sorted(folder.rglob("*")) if folder.exists() else []
    return {
        str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes()
        for path in found
        if not fnmatch.fnmatch(path.name, _SHM)
    }


def lay_out(state: dict[str, bytes | None], folder: Path) -> None:
    """Make the folder contain exactly this. Write only what differs, as a real disk may be slow."""
    folder.mkdir(mode=0o700, exist_ok=True)
    for path in sorted(folder.rglob("*"), reverse=True):
        name = str(path.relative_to(folder))
        if path.is_dir():
            if name not in state:
                path.rmdir()
        elif state.get(name) is None:
            path.unlink()
    for name, content in sorted(state.items()):
        path = folder / name
        if content is None:
            path.mkdir(mode=0o700, exist_ok=True)
        elif not path.exists() or path.read_bytes() != content:
            _fill(path, content)


def _fill(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    with path.open("r+b") as file:
        file.write(content)
        file.truncate()


class Disk:
    """The simulated disk below a folder, for one process at a time, started with `environ`. The folder may exist."""

    def __init__(self, layer: Path, folder: Path, place: Path) -> None:
        """Prepare the disk. `layer` is the library that build() made; the log and the faults are in `place`."""
        self.folder = folder.resolve()
        self.log = place / "disk.log"
        self._control = place / "disk.faults"
        self._control.write_bytes(bytes(CONTROL))
        self._before = state_of(self.folder)
        self.environ = {
            "LD_PRELOAD": str(layer),
            "DISK_FOLDER": str(self.folder),
            "DISK_LOG": str(self.log),
            "DISK_FAULTS": str(self._control),
        }

    def replay(self) -> Replay:
        return Replay(self.folder, self._before).follow(self.log)

    def cut(self, kala, chance) -> Replay:
        """Cut the power: kill the process and its children, and leave what the disk has. The process may have ended.

        Return the replay, which knows what else the disk could have had.
        """
        kala.kill()
        kala.close()
        replay = self.replay()
        self._before = replay.after_cut(chance)
        lay_out(self._before, self.folder)
        self.log.unlink(missing_ok=True)
        return replay

    def fail(self, *orders: tuple[str, str, int]) -> None:
        """Make these operations (open, read, write, sync, truncate, rename, unlink, mkdir) fail from now on.

        Each order is an operation, a pattern for the file's name below the folder, and the errno.
        """
        self.heal()
        lines = "".join(f"{operation} {files} {error}\n" for operation, files, error in orders).encode()
        assert len(lines) < CONTROL - 1
        self._order(1, lines.ljust(CONTROL - 1, b"\0"))
        self._order(0, b"\1")

    def heal(self) -> None:
        self._order(0, b"\0")

    def _order(self, offset: int, data: bytes) -> None:
        with self._control.open("r+b") as file:
            file.seek(offset)
            file.write(data)

    def faults(self) -> list[str]:
        """Return the names of the files for each operation that failed on demand since the last power cut."""
        return [os.fsdecode(r.data)[len(str(self.folder)) + 1 :] for r in records(self.log) if r.operation == "X"]


def build(place: Path) -> Path:
    """Compile the layer."""
    layer = place / "disk.so"
    source = Path(__file__).with_name("disk.c")
    words = ["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", layer, source, "-ldl", "-lpthread"]
    subprocess.run(words, check=True)
    return layer


@pytest.fixture(scope="module")
def layer(tmp_path_factory) -> Path:
    return build(tmp_path_factory.mktemp("layer"))


@pytest.fixture
def disk(layer, tmp_path) -> Disk:
    """A simulated disk for the data of a Kala from `make(environ=disk.environ)`."""
    return Disk(layer, tmp_path / "data", tmp_path)
