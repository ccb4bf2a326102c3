"""The spool of one process: takes records until they are durable on disk, hands out segments, adopts orphans.

What arrives while a group is written and synced makes up the next group, so one fsync serves everybody who waits.
"""

import asyncio
import errno
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import structlog

from ingest.errors import NotDurable, PublishError, SpoolFull
from ingest.spool.folder import ASIDE, SEGMENT_SUFFIX, Folder, Segment, aside_bytes, orphans
from ingest.spool.segment import Kept, frames_bytes
from ingest.spool.writer import KeyAndValue, SegmentWriter, write_alone

log = structlog.get_logger()

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class _Group:
    """Records of one call that wait for their fsync."""

    __slots__ = ("bytes", "records", "topic", "waiter")

    def __init__(
        self, topic: str, records: list[KeyAndValue], size: int, waiter: asyncio.Future[PublishError | None]
    ) -> None:
        self.topic = topic
        self.records = records
        self.bytes = size
        self.waiter = waiter


class Spool:
    """One per process, over a folder that this process owns.

    `bytes_max` bounds what this process has on disk, adopted segments and what lies aside included; each of its
    properties may be read at any time.
    """

    def __init__(self, folder: Folder, *, bytes_max: int, segment_bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.pending_bytes = 0
        """Taken and not synced yet; in memory."""
        self.refused = 0
        """Records set aside because the broker will never take them."""
        self.cut_bytes = 0
        """Bytes behind the last whole record of adopted segments: torn by the end of their process."""
        self._folder = folder
        self._root = folder.path.parent
        self._writer = SegmentWriter(folder, segment_bytes_max=segment_bytes_max)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self._groups: list[_Group] = []
        self._committing: asyncio.Task[None] | None = None
        self._segments: deque[Segment] = deque()
        self._sealed_bytes = 0
        self._aside_bytes = aside_bytes(self._root)
        self._adopted: set[Folder] = set()
        self._fault = ""

    @property
    def bytes(self) -> int:
        """On disk, or on the way there."""
        return self._sealed_bytes + self._aside_bytes + self._writer.bytes + self.pending_bytes

    @property
    def is_full(self) -> bool:
        """Whether there is no room for one more event of ordinary size."""
        return self.bytes + 64 * 1024 > self.bytes_max

    @property
    def segments(self) -> int:
        """Segments that are not drained yet."""
        return len(self._segments) + (self._writer.since is not None)

    @property
    def oldest_age_seconds(self) -> float:
        """How long the oldest record has been waiting, at most; 0 when none is."""
        since = self._segments[0].since if self._segments else self._writer.since
        return max(0.0, time.time() - since) if since is not None else 0.0

    async def keep(self, records: list[KeyAndValue], topic: str) -> PublishError | None:
        """Put records on disk, all or none: None means that they are synced.

        After `SpoolFull` or `NotDurable` they may be drained all the same.
        """
        size = frames_bytes(records, topic)
        if self.bytes + size > self.bytes_max:
            return SpoolFull()
        group = _Group(topic, records, size, asyncio.get_running_loop().create_future())
        self._groups.append(group)
        self.pending_bytes += size
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit())
        return await group.waiter

    async def _commit(self) -> None:
        try:
            while self._groups:
                groups, self._groups = self._groups, []
                outcome = await self._append(groups)
                for group in groups:
                    self.pending_bytes -= group.bytes
                    if not group.waiter.done():
                        group.waiter.set_result(outcome)
        finally:
            self._committing = None

    async def _append(self, groups: list[_Group]) -> PublishError | None:
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._thread, self._writer.append, [(one.topic, one.records) for one in groups])
        except OSError as fault:
            if self._fault != (said := f"{type(fault).__name__}: {fault}"):
                self._fault = said
                log.error("spool_not_written", fault=said)
            return SpoolFull() if fault.errno in NO_SPACE else NotDurable()
        except Exception:
            # Whoever waits must get an answer, and the next group its turn.
            log.exception("spool_failed")
            return NotDurable()
        finally:
            self._collect()
        self._fault = ""
        return None

    def _collect(self) -> None:
        for segment in self._writer.take_sealed():
            self._add(segment)

    def _add(self, segment: Segment) -> None:
        self._segments.append(segment)
        self._sealed_bytes += segment.bytes

    async def next_segment(self) -> Segment | None:
        """The segment to drain next, sealed for it if need be; None when the spool is empty.

        It stays the next one until it is passed to `discard` or `set_segment_aside`.
        """
        if not self._segments and self._writer.since is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._writer.seal)
            self._collect()
        return self._segments[0] if self._segments else None

    async def discard(self, segment: Segment, *, good_bytes: int) -> None:
        """Delete a segment whose records are all where they belong; `good_bytes` of it could be read."""
        if good_bytes < segment.bytes:
            if segment.is_whole:
                await self.set_segment_aside(segment, f"damaged behind byte {good_bytes}")
                return
            self.cut_bytes += segment.bytes - good_bytes
            log.warning("spool_tail_cut", segment=str(segment.path), bytes=segment.bytes - good_bytes)
        await asyncio.to_thread(segment.path.unlink, missing_ok=True)
        await self._drop(segment)

    async def set_segment_aside(self, segment: Segment, fault: str) -> None:
        """Keep a segment that cannot be read to its end, for a person to look at."""
        log.error("spool_segment_aside", segment=str(segment.path), fault=fault)
        target = self._root / ASIDE / f"{segment.folder.path.name}-{segment.path.name}"
        await asyncio.to_thread(segment.path.rename, target)
        self._aside_bytes += segment.bytes
        await self._drop(segment)

    async def _drop(self, segment: Segment) -> None:
        self._segments.remove(segment)
        self._sealed_bytes -= segment.bytes
        folder = segment.folder
        if folder in self._adopted and all(other.folder is not folder for other in self._segments):
            self._adopted.remove(folder)
            await asyncio.to_thread(folder.leave)

    async def set_aside(self, record: Kept, code: str) -> None:
        """Keep a record that the broker will never take, as a segment of its own."""
        self.refused += 1
        name = f"{self._folder.path.name}-refused-{self.refused:08d}"
        log.error("spool_record_refused", topic=record.topic, bytes=len(record.value), code=code, file=name)
        path = self._root / ASIDE / f"{name}{SEGMENT_SUFFIX}"
        self._aside_bytes += await asyncio.to_thread(write_alone, path, *record)

    async def adopt(self) -> None:
        """Take over the segments of every process that is gone."""
        for folder in await asyncio.to_thread(self._orphaned):
            segments = await asyncio.to_thread(folder.segments)
            if not segments:
                await asyncio.to_thread(folder.leave)
                continue
            log.info("spool_adopted", folder=folder.path.name, segments=len(segments))
            self._adopted.add(folder)
            for segment in segments:
                self._add(segment)

    def _orphaned(self) -> list[Folder]:
        mine = {self._folder.path, *(folder.path for folder in self._adopted)}
        found = (Folder.adopt(path) for path in orphans(self._root) if path not in mine)
        return [folder for folder in found if folder is not None]

    async def stop(self) -> None:
        """Sync what was taken, then give the folders up; what was not drained is there for the next process."""
        if self._committing is not None:
            await self._committing
        await asyncio.get_running_loop().run_in_executor(self._thread, self._writer.seal)
        self._thread.shutdown()
        for folder in (*self._adopted, self._folder):
            folder.leave()
