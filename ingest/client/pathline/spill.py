"""Events that wait on disk: bounded files in one folder, which several processes may share.

A file is written under another name and renamed when it is whole, so nobody reads half of it. What a killed process
left behind is taken over once nobody has written to it for a minute, up to its last whole line. Nothing is locked: two
processes may send the same file, and since every event has an id the server counts it once.
"""

import itertools
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, unquote

from pathline.losses import Line

WHOLE, PARTIAL = ".events", ".part"
FILES_MAX = 10_000
"""A folder with more of them is slow to list."""
ABANDONED_SECONDS = 60.0
"""A partial file that is so old has no writer any more: writing one takes milliseconds."""


class Spill:
    """The folder. Its methods may be called by any thread; each raises OSError as the file system does."""

    def __init__(self, folder: Path, bytes_max: int) -> None:
        """Make the folder, readable by its owner only: events hold what people said."""
        self._folder = folder
        self._bytes_max = bytes_max
        self._writer = os.urandom(6).hex()
        self._numbers = itertools.count()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def write(self, lines: Sequence[Line]) -> bool:
        """Keep them in a file of their own; False when there is no room for it."""
        content = b"".join(_written(line) for line in lines)
        sizes = [_size(path) for path in self._folder.iterdir() if path.suffix in (WHOLE, PARTIAL)]
        if len(sizes) >= FILES_MAX or sum(sizes) + len(content) > self._bytes_max:
            return False
        # The name says the order: time, then number. A forked child has the same name as a writer, but another id.
        name = f"{time.time_ns():020d}-{next(self._numbers):06d}-{self._writer}-{os.getpid()}"
        path = self._folder / f"{name}{PARTIAL}"
        try:
            with open(path, "xb", opener=_private) as file:
                file.write(content)
            path.replace(path.with_suffix(WHOLE))
        except OSError:
            path.unlink(missing_ok=True)
            raise
        return True

    def oldest(self) -> Path | None:
        """The file that is to be sent first; None when there is none."""
        for path in self._folder.glob(f"*{PARTIAL}"):
            if time.time() - _modified_at(path) > ABANDONED_SECONDS:
                path.replace(path.with_suffix(WHOLE))
        return min(self._folder.glob(f"*{WHOLE}"), default=None)

    def read(self, path: Path) -> tuple[list[Line], bool]:
        """The events of a file, and whether its end is missing: what follows the last whole line is left out."""
        lines: list[Line] = []
        for written in path.read_bytes().splitlines(keepends=True):
            line = _read(written)
            if line is None:
                return lines, True
            lines.append(line)
        return lines, False

    def remove(self, path: Path) -> bool:
        """The file is done with; False when another process was quicker."""
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        return True


def _written(line: Line) -> bytes:
    """The id of the session that it ends, or nothing; a space; the JSON."""
    ended = "" if line.ended_session_id is None else quote(line.ended_session_id, safe="", errors="replace")
    return ended.encode("ascii") + b" " + line.text + b"\n"


def _read(written: bytes) -> Line | None:
    ended, space, text = written.removesuffix(b"\n").partition(b" ")
    try:
        whole = written.endswith(b"\n") and space and isinstance(json.loads(text), dict)
        return Line(text, unquote(ended.decode("ascii")) or None) if whole else None
    except (ValueError, RecursionError):
        return None


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _modified_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return time.time()
