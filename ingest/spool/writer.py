"""Appends groups of records to segments; a group is one write and one fsync. Blocking: runs in a thread of its own."""

import os
import time
from collections.abc import Iterable
from pathlib import Path

import structlog

from ingest.spool.folder import Folder, Segment, segment_name, sync_folder
from ingest.spool.segment import MAGIC, frame_of

log = structlog.get_logger()

WRITE_BYTES = 1024 * 1024
"""Frames are handed to the system in pieces of about this size, so a large group is not copied as a whole."""

KeyAndValue = tuple[bytes, bytes]

Group = tuple[str, list[KeyAndValue]]
"""Records of one topic."""


class SegmentWriter:
    """The one writer of a folder. Not safe for several threads at once."""

    def __init__(self, folder: Folder, *, segment_bytes_max: int) -> None:
        self._folder = folder
        self._segment_bytes_max = segment_bytes_max
        self._path = folder.path
        self._descriptor: int | None = None
        self._written = self._durable = 0
        self._since_ns = 0
        self._sealed: list[Segment] = []

    @property
    def bytes(self) -> int:
        """Length of the segment that is being written; 0 when none is open."""
        return self._written

    @property
    def since(self) -> float | None:
        """Unix seconds when the open segment was begun; None when none is open."""
        return self._since_ns / 1e9 if self._written else None

    def append(self, groups: Iterable[Group]) -> None:
        """Make records durable. When it raises, none of them is; they may be read from the segment all the same.

        Raises:
            OSError: no space, or the disk failed. The segment is closed for good, the next call begins another.
        """
        descriptor = self._open() if self._descriptor is None else self._descriptor
        try:
            self._write(descriptor, groups)
        except OSError:
            self._cut_back(descriptor)
            raise
        try:
            os.fsync(descriptor)
        except OSError:
            # What the system could not write it may have dropped and marked as clean: a second fsync would say that
            # all is well. Nothing of this file counts as durable any more but what did before.
            self.seal()
            raise
        self._durable = self._written
        if self._written >= self._segment_bytes_max:
            self.seal()

    def seal(self) -> None:
        """Close the open segment, if any; the next record begins another."""
        if self._descriptor is None:
            return
        if self._durable:
            is_whole = self._durable == self._written
            segment = Segment(self._path, self._written, self._since_ns / 1e9, self._folder, is_whole)
            self._sealed.append(segment)
        else:
            self._path.unlink(missing_ok=True)
        descriptor, self._descriptor, self._written, self._durable = self._descriptor, None, 0, 0
        os.close(descriptor)

    def take_sealed(self) -> list[Segment]:
        """The segments sealed since the last call, oldest first."""
        sealed, self._sealed = self._sealed, []
        return sealed

    def _open(self) -> int:
        self._since_ns = time.time_ns()
        self._path = self._folder.path / segment_name(self._since_ns)
        self._descriptor = _create(self._path)
        self._written = len(MAGIC)
        return self._descriptor

    def _write(self, descriptor: int, groups: Iterable[Group]) -> None:
        frames: list[bytes] = []
        waiting = 0
        for topic, records in groups:
            name = topic.encode()
            for key, value in records:
                frames.append(frame_of(name, key, value))
                waiting += len(frames[-1])
                if waiting >= WRITE_BYTES:
                    self._written += _write_whole(descriptor, b"".join(frames))
                    frames, waiting = [], 0
        self._written += _write_whole(descriptor, b"".join(frames))

    def _cut_back(self, descriptor: int) -> None:
        """Give back the space of what was written in part. Should that fail too, a reader stops there by itself."""
        try:
            os.ftruncate(descriptor, self._durable or len(MAGIC))
            self._written = self._durable or len(MAGIC)
        except OSError as fault:
            self._written = os.fstat(descriptor).st_size
            log.warning("spool_not_cut_back", fault=str(fault))
        self.seal()


def write_alone(path: Path, topic: str, key: bytes, value: bytes) -> int:
    """Make one record durable as a segment of its own; how long that is.

    Raises:
        OSError: it may or may not be there.
    """
    descriptor = _create(path)
    try:
        length = len(MAGIC) + _write_whole(descriptor, frame_of(topic.encode(), key, value))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return length


def _create(path: Path) -> int:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        _write_whole(descriptor, MAGIC)
        sync_folder(path.parent)
    except OSError:
        os.close(descriptor)
        path.unlink(missing_ok=True)
        raise
    return descriptor


def _write_whole(descriptor: int, data: bytes) -> int:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    return len(data)
