"""Bringing a generation that is being built up to where the partitions' owners are, and handing it over to them.

A loop of its own with a consumer without a group. It may be killed at any moment: the position is the stored offset.
"""

from collections import defaultdict, deque

import asyncpg
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from infra.postgres import load_sql
from ingest.event import from_us
from processors.batch import Place, Reader, Slice
from processors.store import Store

FETCH_WAIT_MS = 200
FETCH_RECORDS_MAX = 2_000
"""Of all partitions; so many at most does an owner wait for when a partition is handed over."""


class CatchUp:
    """The catch-up of one topic in one generation."""

    def __init__(
        self, consumer: AIOKafkaConsumer, pool: asyncpg.Pool, store: Store, reader: Reader, topic: str, number: int
    ) -> None:
        self._consumer, self._pool, self._store, self._reader = consumer, pool, store, reader
        self._topic, self._number = topic, number
        self._fetched: dict[int, deque[ConsumerRecord]] = defaultdict(deque)

    async def run(self) -> None:
        """Return when every partition is handed over.

        Raises:
            StoreAway, KafkaError: run it again, it goes on from what is stored.
        """
        left = await self._left()
        self._consumer.assign([TopicPartition(self._topic, partition) for partition in left])
        for partition, (offset, _) in left.items():
            self._consumer.seek(TopicPartition(self._topic, partition), offset)
        while left:
            fetched = await self._consumer.getmany(timeout_ms=FETCH_WAIT_MS, max_records=FETCH_RECORDS_MAX)
            for tp, records in fetched.items():
                self._fetched[tp.partition].extend(records)
            await self._reader.prepare(record.value for records in fetched.values() for record in records)
            for partition, (offset, owner) in left.items():
                await self._advance(partition, offset, owner)
            left = await self._left()
            waiting = [TopicPartition(self._topic, partition) for partition in left]
            if waiting:
                self._resume(waiting)

    def _resume(self, waiting: list[TopicPartition]) -> None:
        """Read on what is not handed over, a bounded amount ahead of what is stored."""
        full = [tp for tp in self._consumer.assignment() if tp not in waiting or self._fetched[tp.partition]]
        self._consumer.pause(*full)
        self._consumer.resume(*(tp for tp in waiting if tp not in full))

    async def _left(self) -> dict[int, tuple[int, int]]:
        """The partitions that are not handed over: our offset and the owner's."""
        rows = await self._pool.fetch(load_sql("processors", "read_replay"))
        return {
            row["partition"]: (row["next_offset"], row["owner_offset"])
            for row in rows
            if row["topic"] == self._topic and not row["is_handed_over"]
        }

    async def _advance(self, partition: int, offset: int, owner: int) -> None:
        records = self._fetched[partition]
        while records and records[0].offset < offset:
            records.popleft()
        end = records[-1].offset + 1 if records else offset
        if end < owner:
            if records:
                await self._store.commit([self._slice(partition, offset, end)])
                records.clear()
            return

        def read_to(now: int) -> Slice | None:
            return self._slice(partition, offset, now) if now <= end else None

        await self._store.hand_over(self._number, self._topic, partition, read_to)

    def _slice(self, partition: int, offset: int, end: int) -> Slice:
        """The records from our offset to before `end`, decoded."""
        records = [record for record in self._fetched[partition] if record.offset < end]
        part = Slice(
            topic=self._topic,
            partition=partition,
            expected_offset=offset,
            epoch=0,
            next_offset=offset,
            end_offset=end,
            as_of=from_us(max((record.timestamp for record in records), default=0) * 1000),
        )
        for record in records:
            place = Place(self._topic, partition, record.offset, record.timestamp)
            self._reader.take(part, place, record.key, record.value, record.timestamp)
        # Behind the last record, where the log has a gap.
        part.next_offset = end
        return part
