"""Whose segments are whose: one folder for each process, with a lock that ends with the process.

    <spool>/<name>/lock       held with flock by the owner as long as it lives
    <spool>/<name>/*.seg      its segments, each named for the nanosecond of its beginning
    <spool>/aside/            what the broker refused and what could not be read; nobody takes it from there

Whoever gets the lock of a folder is its owner: the process that made it, later one that found it orphaned. The folder
must lie on a disk of this machine; locks of network file systems are not relied on.
"""

import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path

import structlog

log = structlog.get_logger()

ASIDE = "aside"
SEGMENT_SUFFIX = ".seg"


@dataclass(eq=False)
class Segment:
    """A segment that nobody writes any more."""

    path: Path
    bytes: int
    since: float
    """Unix seconds: nothing in it is older."""
    folder: "Folder"
    is_whole: bool
    """Whether this process itself saw every one of its `bytes` become durable."""


class Folder:
    """A folder of segments whose lock this process holds."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def create(cls, root: Path) -> "Folder":
        """A new folder of this process. It appears under its name only when its lock is held.

        Raises:
            OSError: the spool cannot be written.
        """
        name = f"{time.time_ns():020d}-{os.getpid()}"
        (root / ASIDE).mkdir(mode=0o700, parents=True, exist_ok=True)
        hidden = root / f".{name}"
        hidden.mkdir(mode=0o700)
        lock = _open_lock(hidden)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        hidden.rename(root / name)
        sync_folder(root)
        return cls(root / name, lock)

    @classmethod
    def adopt(cls, path: Path) -> "Folder | None":
        """The folder of a process that is gone; None when its owner lives, or another process was quicker."""
        try:
            lock = _open_lock(path)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        return cls(path, lock)

    def segments(self) -> list[Segment]:
        """What lies in it, oldest first."""
        found = []
        for path in sorted(self.path.glob(f"*{SEGMENT_SUFFIX}")):
            since_ns = int(path.stem) if path.stem.isdecimal() else path.stat().st_mtime_ns
            found.append(Segment(path, path.stat().st_size, since_ns / 1e9, self, is_whole=False))
        return found

    def leave(self) -> None:
        """Give the folder up: remove it when it is empty, else whoever finds it has it."""
        if not self.segments():
            # While the lock is still held. A process that waits at the lock's door finds the folder gone.
            (self.path / "lock").unlink(missing_ok=True)
            try:
                self.path.rmdir()
            except FileNotFoundError:
                pass
            except OSError as fault:
                log.warning("spool_folder_stays", folder=str(self.path), fault=str(fault))
        os.close(self._lock)


def segment_name(since_ns: int) -> str:
    """The file name of a segment; names sort by age."""
    return f"{since_ns:020d}{SEGMENT_SUFFIX}"


def aside_bytes(root: Path) -> int:
    """How much lies aside in a spool."""
    return sum(path.stat().st_size for path in (root / ASIDE).glob(f"*{SEGMENT_SUFFIX}"))


def orphans(root: Path) -> list[Path]:
    """Folders that may be without an owner, oldest first: all of them, the locks decide."""
    return sorted(
        path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".") and path.name != ASIDE
    )


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open_lock(folder: Path) -> int:
    return os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
