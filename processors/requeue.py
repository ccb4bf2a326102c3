"""Trying dead letters again: a person sets the wanted state, the worker of their partition does the work.

One bounded transaction at a time, which takes its turn with the live batches, so that neither holds the other up.
"""

from collections.abc import Mapping
from itertools import groupby

import asyncpg
import structlog

from ingest.event import EPOCH, to_us
from processors.batch import Place, Reader, Slice
from processors.errors import Fenced, StoreAway
from processors.store import Store

log = structlog.get_logger()

LOOK_INTERVAL_SECONDS = 1.0
"""Between two looks while nothing is wanted."""
LETTERS_MAX, BYTES_MAX = 200, 4 * 1024 * 1024
"""What one transaction tries; a larger letter is tried alone."""


class Requeue:
    """The letters of one topic that are wanted back in one worker's partitions."""

    def __init__(self, store: Store, reader: Reader, topic: str) -> None:
        self._store = store
        self._reader = reader
        self._topic = topic
        self._look_at = 0.0

    async def look(self, now: float, partitions: list[int]) -> dict[int, list[asyncpg.Record]]:
        """What to try next, by generation; nothing when it is not time yet. `now`: of a monotonic clock, in seconds."""
        if now < self._look_at or not partitions:
            return {}
        self._look_at = now + LOOK_INTERVAL_SECONDS
        try:
            return await self._store.load_requeued(self._topic, partitions, rows_max=LETTERS_MAX, bytes_max=BYTES_MAX)
        except StoreAway as fault:
            log.warning("requeue_waits", topic=self._topic, fault=str(fault))
            return {}

    async def take_back(self, found: dict[int, list[asyncpg.Record]], positions: Mapping[int, int]) -> None:
        """Try what `look` found. `positions`: the stored offsets of this worker's partitions.

        A partition that is not ours any more is left to whoever has it. Trouble of the database ends the attempt; what
        is not committed stays wanted.
        """
        try:
            for generation, letters in found.items():
                await self._reader.prepare(letter["record"] for letter in letters)
                for partition, group in groupby(letters, key=lambda letter: int(letter["partition"])):
                    if partition in positions:
                        part = self._read(partition, positions[partition], list(group))
                        await self._take_back(generation, part)
        except StoreAway as fault:
            log.warning("requeue_waits", topic=self._topic, fault=str(fault))

    async def _take_back(self, generation: int, part: Slice) -> None:
        try:
            stored = await self._store.take_back(generation, part)
        except Fenced:
            log.warning("requeue_fenced", topic=self._topic, partition=part.partition)
            return
        log.info(
            "requeued",
            topic=self._topic,
            partition=part.partition,
            generation=generation,
            new=stored.new,
            duplicates=stored.duplicates,
            failed=stored.dead_letters,
        )
        # More may be left: again after the next batch.
        self._look_at = 0.0

    def _read(self, partition: int, position: int, letters: list[asyncpg.Record]) -> Slice:
        """Decode letters as the loop decodes records, at the places where they lie, without moving the position."""
        part = Slice(self._topic, partition, position, 0, position, position, EPOCH)
        for letter in letters:
            timestamp_ms = to_us(letter["log_time"]) // 1000
            place = Place(self._topic, partition, letter["offset"], timestamp_ms)
            self._reader.take(part, place, letter["record_key"], letter["record"], timestamp_ms)
        part.next_offset = position
        return part
