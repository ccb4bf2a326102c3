"""The hot loop: fetch, decode, store, partition by partition in order, with the position kept in Postgres.

While one batch is in the database the next is fetched and decoded. Kafka's group only says which partitions are ours;
where to read from is the offset stored with the data. Nothing here is needed for exactness: two workers that both
believe they own a partition meet at its offset fence, and one of them starts over from what is stored.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from infra.kafka_logs import Log
from ingest.event import from_us
from processors.batch import Place, Reader, Slice
from processors.errors import Fenced, ForeignOffsets, GenerationStopped, StoreAway
from processors.fetch import Batch, FetchAhead, Flow, Records
from processors.progress import Progress
from processors.requeue import Requeue
from processors.store import Store
from processors.tally import Stored

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


class Consume(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """The loop over one topic. `run` returns after `stop`; it survives outages of Kafka and Postgres."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        store: Store,
        reader: Reader,
        topic: str,
        *,
        read_log: Callable[[], Awaitable[Log]],
        batch_bytes_max: int,
        memory_bytes_max: int,
    ) -> None:
        self._consumer = consumer
        self._store = store
        self._reader = reader
        self._requeue = Requeue(store, reader, topic)
        self._topic = topic
        self._log = log.bind(topic=topic)
        self._read_log = read_log
        self._positions: dict[int, Position] = {}
        self._unclaimed: set[int] = set()
        self._epoch = 0
        self._stopping = asyncio.Event()
        self._observed_at = 0.0
        self.flow = Flow(consumer)
        self.ahead = FetchAhead(
            self._fetch, self._epoch_of, self.flow, batch_bytes_max=batch_bytes_max, bytes_max=memory_bytes_max
        )
        self.progress = Progress()
        self.trouble: str | None = None
        """What Kafka or Postgres keeps the loop waiting with, while it does."""
        self.has_joined = False
        """The group has said which partitions are ours: none, when there are more workers than partitions."""

    def stop(self) -> None:
        """Finish the batch in the database, then let `run` return."""
        self._stopping.set()

    async def run(self) -> None:
        """Consume until `stop`."""
        self._consumer.subscribe([self._topic], listener=self)
        storing: asyncio.Task[None] | None = None
        self.ahead.start()
        try:
            while not self._stopping.is_set():
                with self.progress.heart.outside():
                    await self._claim()
                batch = await self.ahead.get(FETCH_WAIT_MS / 1000)
                if batch is not None:
                    with self.progress.stages["decode"].timed():
                        slices = await self._decode(batch)
                    if storing is not None:
                        with self.progress.heart.outside():
                            await storing
                    storing = asyncio.create_task(self._store_and_free(slices, batch.bytes))
                    # Their records are let go with the transaction, not with the next batch.
                    del batch, slices
                if storing is not None and storing.done():
                    await storing
                    storing = None
                with self.progress.heart.outside():
                    if wanted := await self._requeue.look(asyncio.get_running_loop().time(), sorted(self._positions)):
                        # Between two batches, so that our positions are the stored ones.
                        if storing is not None:
                            await storing
                            storing = None
                        await self._requeue.take_back(wanted, self._next_offsets())
                    if storing is None:
                        await self._observe()
                # Held back, with nothing to come and nothing in work, it would wait for ever.
                if storing is not None or not self.flow.held:
                    self.progress.heart.beat()
        finally:
            await self.ahead.stop()
            if storing is not None:
                await storing

    # Called by the consumer, in the middle of its own coordination: neither may wait for the database.
    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        """Hold new partitions back until their stored offset is known."""
        for tp in assigned:
            self._consumer.seek(tp, 0)
        self._consumer.pause(*assigned)
        self._unclaimed = {tp.partition for tp in assigned}
        self.has_joined = True
        self._log.info("assigned", partitions=sorted(self._unclaimed))

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        """Forget the positions: what is still decoded for them is dropped, what is in the database is fenced."""
        self._positions.clear()
        self._unclaimed.clear()
        self.has_joined = False
        self.flow.forget()
        self.progress.lost()

    async def _claim(self) -> None:
        """Seek newly assigned partitions to their stored offsets and let them go."""
        wanted = [TopicPartition(self._topic, partition) for partition in sorted(self._unclaimed)]
        if not wanted:
            return
        try:
            # Asked each time: a topic of this name may be another one by now.
            log_id = (await self._read_log()).log_id
            firsts = await self._consumer.beginning_offsets(wanted)
            stored = await self._store.claim(self._topic, {tp.partition: firsts[tp] for tp in wanted}, log_id)
        except (StoreAway, KafkaError) as fault:
            self._note_trouble("claim_waits", fault)
            await self._pause_for(RETRY_SECONDS_MAX)
            return
        for tp in wanted:
            if tp.partition not in self._unclaimed or tp not in self._consumer.assignment():
                continue
            offset, stored_log_id = stored[tp.partition]
            self._unclaimed.discard(tp.partition)
            if stored_log_id != log_id:
                self._note_stopped(tp.partition, str(ForeignOffsets(stored_log_id, log_id)))
                continue
            self._seek(tp, offset)
            self.progress.claimed(tp.partition, offset)
            self.flow.open(tp)
        self.trouble = None

    def _seek(self, tp: TopicPartition, offset: int) -> None:
        self._epoch += 1
        self._positions[tp.partition] = Position(offset, self._epoch)
        self._consumer.seek(tp, offset)

    def _epoch_of(self, partition: int) -> int | None:
        position = self._positions.get(partition)
        return None if position is None else position.epoch

    async def _fetch(self) -> Records:
        try:
            with self.progress.stages["fetch"].timed():
                fetched: Records = await self._consumer.getmany(timeout_ms=FETCH_WAIT_MS, max_records=FETCH_RECORDS_MAX)
            return fetched
        except OffsetOutOfRangeError as fault:
            for tp, offset in fault.args[0].items():
                self._stop_partition(tp, offset)
        except KafkaError as fault:
            self._note_trouble("fetch_waits", fault)
            await self._pause_for(RETRY_SECONDS_MAX)
        return {}

    def _stop_partition(self, tp: TopicPartition, offset: int) -> None:
        """The stored offset is not in the log: what lies between is gone, and only a person may accept that."""
        self._positions.pop(tp.partition, None)
        self.flow.close(tp)
        self._note_stopped(
            tp.partition,
            f"The log has no offset {offset}. Run `python -m processors accept-gap` to go on without it.",
        )

    def _note_trouble(self, event: str, fault: Exception) -> None:
        self.trouble = f"{type(fault).__name__}: {fault}"
        self._log.warning(event, fault=self.trouble)

    def _note_stopped(self, partition: int, fault: str) -> None:
        self.progress.stopped[partition] = fault
        self._log.error("partition_stopped", partition=partition, fault=fault)

    async def _decode(self, batch: Batch) -> list[Slice]:
        slices: list[Slice] = []
        if not await self._prepare(batch.records):
            return slices
        for tp, records in batch.records.items():
            position = self._positions.get(tp.partition)
            # Fetched before a seek: the log is read again from where we are.
            if position is None or position.epoch != batch.epochs[tp.partition]:
                continue
            if not self._continues(tp, position, records[0].offset):
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
                    self.progress.heart.beat()
                    await asyncio.sleep(0)
            if self._positions.get(tp.partition) is position:
                position.next_offset = part.next_offset
                slices.append(part)
        return slices

    async def _prepare(self, fetched: Records) -> bool:
        """Get what decoding needs, waiting out every trouble of the database; False when `stop` came first."""
        delay = RETRY_SECONDS_MIN
        while True:
            try:
                with self.progress.heart.outside():
                    await self._reader.prepare(record.value for records in fetched.values() for record in records)
            except StoreAway as fault:
                self._note_trouble("decode_waits", fault)
                if self._stopping.is_set():
                    return False
                with self.progress.heart.outside():
                    await self._pause_for(delay)
                delay = min(delay * 2, RETRY_SECONDS_MAX)
            else:
                return True

    def _continues(self, tp: TopicPartition, position: Position, offset: int) -> bool:
        """Whether a run of records begins where we are. If not, ask once more.

        A log that answers twice with the same gap really has it (control records of a foreign transactional producer).
        """
        if offset == position.next_offset or (position.sought_again and offset > position.next_offset):
            position.sought_again = False
            return True
        self._seek(tp, position.next_offset)
        self._positions[tp.partition].sought_again = True
        return False

    async def _store_and_free(self, slices: list[Slice], batch_bytes: int) -> None:
        try:
            with self.progress.stages["store"].timed():
                await self._store_until_done(slices)
            self.progress.batch_bytes += batch_bytes
        finally:
            slices.clear()
            self.ahead.done_with(batch_bytes)

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
                return
            except Fenced as fault:
                self._log.warning("fenced", partitions=sorted(fault.partitions))
                unsure = True
            except GenerationStopped as fault:
                if self.progress.generation_stopped is None:
                    self._log.error("generation_stopped", fault=str(fault), command="python -m processors resume")
                    self.progress.generation_stopped = str(fault)
                unsure = True
                if self._stopping.is_set():
                    return
                await self._observe({part.partition: part.expected_offset for part in slices})
                await self._pause_for(STOPPED_LOOK_SECONDS)
            except StoreAway as fault:
                self._note_trouble("store_waits", fault)
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
        self.trouble = None
        self.progress.committed(slices, stored)
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
            self.trouble = None
            for partition, (_, end) in seen.items():
                self.progress.observed(partition, end, asked_at)
        except (KafkaError, StoreAway) as fault:
            self._note_trouble("observe_failed", fault)

    async def _pause_for(self, seconds: float) -> None:
        """Wait, but not beyond `stop`."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return
