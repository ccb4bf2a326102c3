"""The hot loop: fetch, decode, store, partition by partition in order, with the position kept in Postgres.

While one batch is in the database the next is fetched and decoded. Kafka's group only says which partitions are ours;
where to read from is the offset stored with the data. Nothing here is needed for exactness: two workers that both
believe they own a partition meet at its offset fence, and one of them starts over from what is stored.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from ingest.event import from_us
from processors.batch import Place, Reader, Slice
from processors.errors import Fenced, ForeignOffsets, GenerationStopped, StoreAway
from processors.requeue import Requeue
from processors.store import Store, Stored

log = structlog.get_logger()

FETCH_WAIT_MS = 200
"""How long an empty fetch waits; also how soon a stop or a new assignment is noticed."""
FETCH_RECORDS_MAX = 20_000
"""Beside the bytes, so that tiny events do not make a transaction endless."""
OBSERVE_INTERVAL_SECONDS = 1.0
"""Between two looks at the ends of idle partitions: the resolution of lag and freshness."""
RETRY_SECONDS_MIN, RETRY_SECONDS_MAX = 0.1, 2.0
"""Between two attempts while the database is in trouble; doubled up to the larger one."""
STOPPED_LOOK_SECONDS = 1.0
"""Between two looks whether a stopped generation may go on."""
YIELD_EVERY_RECORDS = 200
"""Decoding pauses this often, so that a commit in the background and the group's heartbeats go on."""


@dataclass(slots=True)
class Position:
    """Where this worker is in one partition."""

    next_offset: int
    epoch: int
    sought_again: bool = False
    """The log was asked for `next_offset` once more, because it answered with a later one."""


@dataclass
class Progress:
    """What the loop did since it began, for metrics and the log."""

    events: int = 0
    batches: int = 0
    totals: Stored = field(default_factory=Stored)
    stopped: str | None = None
    """Why the generation is stopped, while it is."""


class Consume(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """The loop over one topic. `run` returns after `stop`; it survives outages of Kafka and Postgres."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        store: Store,
        reader: Reader,
        topic: str,
        *,
        cluster_id: str,
        batch_bytes_max: int,
    ) -> None:
        self._consumer = consumer
        self._store = store
        self._reader = reader
        self._requeue = Requeue(store, reader, topic)
        self._topic = topic
        self._log = log.bind(topic=topic)
        self._cluster_id = cluster_id
        self._batch_bytes_max = batch_bytes_max
        self._positions: dict[int, Position] = {}
        self._unclaimed: set[int] = set()
        self._epoch = 0
        self._stopping = asyncio.Event()
        self._observed_at = 0.0
        self.progress = Progress()

    def stop(self) -> None:
        """Finish the batch in the database, then let `run` return."""
        self._stopping.set()

    async def run(self) -> None:
        """Consume until `stop`."""
        self._consumer.subscribe([self._topic], listener=self)
        storing: asyncio.Task[None] | None = None
        try:
            while not self._stopping.is_set():
                await self._claim()
                for records in _in_batches(await self._fetch(), self._batch_bytes_max):
                    slices = await self._decode(records)
                    if storing is not None:
                        await storing
                    storing = asyncio.create_task(self._store_until_done(slices))
                if storing is not None and storing.done():
                    await storing
                    storing = None
                if wanted := await self._requeue.look(asyncio.get_running_loop().time(), sorted(self._positions)):
                    # Between two batches, so that our positions are the stored ones.
                    if storing is not None:
                        await storing
                        storing = None
                    await self._requeue.take_back(wanted, self._next_offsets())
                if storing is None:
                    await self._observe()
        finally:
            if storing is not None:
                await storing

    # Called by the consumer, in the middle of its own coordination: neither may wait for the database.
    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        """Hold new partitions back until their stored offset is known."""
        for tp in assigned:
            self._consumer.seek(tp, 0)
        self._consumer.pause(*assigned)
        self._unclaimed = {tp.partition for tp in assigned}
        self._log.info("assigned", partitions=sorted(self._unclaimed))

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        """Forget the positions: what is still decoded for them is dropped, what is in the database is fenced."""
        self._positions.clear()
        self._unclaimed.clear()

    async def _claim(self) -> None:
        """Seek newly assigned partitions to their stored offsets and let them go."""
        wanted = [TopicPartition(self._topic, partition) for partition in sorted(self._unclaimed)]
        if not wanted:
            return
        try:
            firsts = await self._consumer.beginning_offsets(wanted)
            stored = await self._store.claim(self._topic, {tp.partition: firsts[tp] for tp in wanted}, self._cluster_id)
        except (StoreAway, KafkaError) as fault:
            self._log.warning("claim_waits", fault=str(fault))
            await self._pause_for(RETRY_SECONDS_MAX)
            return
        for tp in wanted:
            if tp.partition not in self._unclaimed or tp not in self._consumer.assignment():
                continue
            offset, cluster_id = stored[tp.partition]
            self._unclaimed.discard(tp.partition)
            if cluster_id != self._cluster_id:
                foreign = ForeignOffsets(cluster_id, self._cluster_id)
                self._log.error("partition_stopped", partition=tp.partition, fault=str(foreign))
                continue
            self._seek(tp, offset)
            self._consumer.resume(tp)

    def _seek(self, tp: TopicPartition, offset: int) -> None:
        self._epoch += 1
        self._positions[tp.partition] = Position(offset, self._epoch)
        self._consumer.seek(tp, offset)

    async def _fetch(self) -> dict[TopicPartition, list[ConsumerRecord]]:
        try:
            fetched: dict[TopicPartition, list[ConsumerRecord]] = await self._consumer.getmany(
                timeout_ms=FETCH_WAIT_MS, max_records=FETCH_RECORDS_MAX
            )
            return fetched
        except OffsetOutOfRangeError as fault:
            for tp, offset in fault.args[0].items():
                self._stop_partition(tp, offset)
        except KafkaError as fault:
            self._log.warning("fetch_waits", fault=f"{type(fault).__name__}: {fault}")
            await self._pause_for(RETRY_SECONDS_MAX)
        return {}

    def _stop_partition(self, tp: TopicPartition, offset: int) -> None:
        """The stored offset is not in the log: what lies between is gone, and only a person may accept that."""
        self._positions.pop(tp.partition, None)
        self._consumer.pause(tp)
        self._log.error(
            "partition_stopped",
            partition=tp.partition,
            fault=f"The log has no offset {offset}. Run `python -m processors accept-gap` to go on without it.",
        )

    async def _decode(self, fetched: dict[TopicPartition, list[ConsumerRecord]]) -> list[Slice]:
        slices: list[Slice] = []
        if not await self._prepare(fetched):
            return slices
        for tp, records in fetched.items():
            position = self._positions.get(tp.partition)
            if position is None or not self._continues(tp, position, records[0].offset):
                continue
            part = Slice(
                topic=tp.topic,
                partition=tp.partition,
                expected_offset=position.next_offset,
                epoch=position.epoch,
                next_offset=position.next_offset,
                end_offset=self._consumer.highwater(tp) or 0,
                as_of=from_us(max(record.timestamp for record in records) * 1000),
            )
            for count, record in enumerate(records, start=1):
                place = Place(tp.topic, tp.partition, record.offset, record.timestamp)
                self._reader.take(part, place, record.key, record.value, record.timestamp)
                if count % YIELD_EVERY_RECORDS == 0:
                    await asyncio.sleep(0)
            if self._positions.get(tp.partition) is position:
                position.next_offset = part.next_offset
                slices.append(part)
        return slices

    async def _prepare(self, fetched: dict[TopicPartition, list[ConsumerRecord]]) -> bool:
        """Get what decoding needs, waiting out every trouble of the database; False when `stop` came first."""
        delay = RETRY_SECONDS_MIN
        while True:
            try:
                await self._reader.prepare(record.value for records in fetched.values() for record in records)
            except StoreAway as fault:
                self._log.warning("decode_waits", fault=str(fault), retry_seconds=delay)
                if self._stopping.is_set():
                    return False
                await self._pause_for(delay)
                delay = min(delay * 2, RETRY_SECONDS_MAX)
            else:
                return True

    def _continues(self, tp: TopicPartition, position: Position, offset: int) -> bool:
        """Whether a run of records begins where we are. If not it was fetched before a seek: ask once more.

        A log that answers twice with the same gap really has it (control records of a foreign transactional producer).
        """
        if offset == position.next_offset or (position.sought_again and offset > position.next_offset):
            position.sought_again = False
            return True
        self._seek(tp, position.next_offset)
        self._positions[tp.partition].sought_again = True
        return False

    async def _store_until_done(self, slices: list[Slice]) -> None:
        """Store a batch, waiting out every trouble of the database; drop what is no longer ours to store."""
        delay = RETRY_SECONDS_MIN
        unsure = False
        while slices := [part for part in slices if self._is_current(part)]:
            try:
                if unsure:
                    slices = await self._still_to_store(slices)
                    unsure = False
                if slices:
                    self._count(slices, await self._store.commit(slices))
                self.progress.stopped = None
                return
            except Fenced as fault:
                self._log.warning("fenced", partitions=sorted(fault.partitions))
                unsure = True
            except GenerationStopped as fault:
                if self.progress.stopped is None:
                    self._log.error("generation_stopped", fault=str(fault), command="python -m processors resume")
                self.progress.stopped = self.progress.stopped or str(fault)
                unsure = True
                if self._stopping.is_set():
                    return
                await self._observe({part.partition: part.expected_offset for part in slices})
                await self._pause_for(STOPPED_LOOK_SECONDS)
            except StoreAway as fault:
                self._log.warning("store_waits", fault=str(fault), retry_seconds=delay)
                unsure = True
                if self._stopping.is_set():
                    return
                await self._pause_for(delay)
                delay = min(delay * 2, RETRY_SECONDS_MAX)

    def _is_current(self, part: Slice) -> bool:
        position = self._positions.get(part.partition)
        return position is not None and position.epoch == part.epoch

    async def _still_to_store(self, slices: list[Slice]) -> list[Slice]:
        """Compare with what is stored: a slice may be committed, or another worker may have moved its partition."""
        stored = await self._store.next_offsets(self._topic, [part.partition for part in slices])
        remaining = []
        for part in slices:
            offset = stored[part.partition]
            if offset == part.expected_offset:
                remaining.append(part)
            elif offset != part.next_offset and self._is_current(part):
                self._seek(TopicPartition(part.topic, part.partition), offset)
        return remaining

    def _count(self, slices: list[Slice], stored: Stored) -> None:
        self.progress.batches += 1
        self.progress.events += sum(len(part.events) for part in slices)
        totals = self.progress.totals
        totals.new += stored.new
        totals.duplicates += stored.duplicates
        totals.conflicts += stored.conflicts
        totals.dead_letters += stored.dead_letters
        totals.expired += stored.expired
        if stored.conflicts or stored.dead_letters or stored.expired:
            self._log.warning(
                "batch_with_faults",
                conflicts=stored.conflicts,
                dead_letters=stored.dead_letters,
                expired=stored.expired,
            )

    def _next_offsets(self) -> dict[int, int]:
        return {partition: position.next_offset for partition, position in self._positions.items()}

    async def _observe(self, waiting: Mapping[int, int] = MappingProxyType({})) -> None:
        """Store how far behind idle partitions are; between two batches, so that our positions are the stored ones.

        `waiting`: the stored offsets of partitions whose batch cannot be stored now, which are not our positions.
        """
        now = asyncio.get_running_loop().time()
        if now < self._observed_at + OBSERVE_INTERVAL_SECONDS or not self._positions:
            return
        self._observed_at = now
        asked_at = datetime.now(UTC)
        partitions = [TopicPartition(self._topic, partition) for partition in self._positions]
        try:
            ends = await self._consumer.end_offsets(partitions)
            offsets = {**self._next_offsets(), **waiting}
            seen = {tp.partition: (offsets[tp.partition], end) for tp, end in ends.items() if tp.partition in offsets}
            await self._store.observe(self._topic, seen, asked_at)
        except (KafkaError, StoreAway) as fault:
            self._log.warning("observe_failed", fault=str(fault))

    async def _pause_for(self, seconds: float) -> None:
        """Wait, but not beyond `stop`."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return


def _in_batches(
    fetched: dict[TopicPartition, list[ConsumerRecord]], bytes_max: int
) -> Iterator[dict[TopicPartition, list[ConsumerRecord]]]:
    """Split a fetch into batches of at most `bytes_max` (a single larger record is a batch of its own)."""
    batch: dict[TopicPartition, list[ConsumerRecord]] = {}
    size = 0
    for tp, records in fetched.items():
        for record in records:
            length = len(record.value or b"")
            if batch and size + length > bytes_max:
                yield batch
                batch, size = {}, 0
            batch.setdefault(tp, []).append(record)
            size += length
    if batch:
        yield batch
