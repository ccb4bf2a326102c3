"""Records out to Kafka: per-partition batches, bounded bytes in flight, one outcome per record.

Each partition has a lane with at most one batch on its way. What arrives meanwhile gathers in the lane's next batch,
so batches grow by themselves under load and a lone event waits for nobody. aiokafka puts the batches of all lanes
that are ready into one request to the broker.
"""

import asyncio
import time
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Protocol

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from infra.kafka import make_producer
from infra.topics import EVENTS, RECORD_BYTES_MAX, Topic
from ingest.errors import NotDurable, Overloaded, PublishError, RecordTooLarge
from ingest.event import partition_of
from ingest.lanes import RECORD_OVERHEAD_BYTES, Batch, Delivery, Lane, Part
from ingest.metrics import ACK_SECONDS_BOUNDS, Histogram

log = structlog.get_logger()

SEND_ATTEMPTS_MAX = 2
"""A batch whose producer broke is sent once more by a new one; copies are one event downstream."""

CLOSE_SECONDS = 1.0
"""How long a producer may take to close. One whose broker is away would wait for acknowledgements without end."""

RESTART_INTERVAL_SECONDS = 0.2
"""Between two attempts to reach a broker that is away."""


class Publisher(Protocol):
    """Where the doors put records."""

    async def publish(self, records: list[tuple[bytes, bytes]], topic: str = EVENTS.name) -> list[PublishError | None]:
        """Publish `(key, value)` records and return one outcome each, in order: None means durable.

        Durable means acknowledged by every in-sync replica. Records of one partition keep their order. A record
        whose outcome is `NotDurable` may arrive all the same.

        Raises:
            Overloaded: the bytes in flight would exceed their budget; nothing was taken.
        """

    async def publish_one(self, key: bytes, value: bytes) -> PublishError | None:
        """`publish` for a single record."""


class KafkaPublisher:
    """`Publisher` on a broker. `start` returns at once, also while the broker is away: publishing then answers
    `NotDurable` after `ack_timeout_seconds` until it comes. In a partition whose last batch is overdue it answers so
    at once: what comes behind that batch cannot be any sooner.

    `topics` has, for each name that a door publishes to, the topic as it exists on the broker.
    """

    def __init__(
        self,
        servers: str,
        topics: Mapping[str, Topic],
        *,
        in_flight_bytes_max: int,
        batch_bytes_max: int,
        ack_timeout_seconds: float,
    ) -> None:
        self._servers = servers
        self._topics = [topic.name for topic in topics.values()]
        self._in_flight_bytes_max = in_flight_bytes_max
        self._batch_bytes_max = batch_bytes_max
        self._ack_timeout_seconds = ack_timeout_seconds
        self._lanes_of = {
            name: [Lane(topic.name, partition) for partition in range(topic.partitions)]
            for name, topic in topics.items()
        }
        self._lanes = [lane for lanes in self._lanes_of.values() for lane in lanes]
        self._producer: AIOKafkaProducer | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._starting: asyncio.Task[None] | None = None
        self.in_flight_bytes = 0
        self.acknowledgements = Histogram(ACK_SECONDS_BOUNDS)
        self.is_away = False
        """Whether the last thing heard of the broker is that it could not be reached or let a time limit pass."""

    @property
    def is_ready(self) -> bool:
        """Whether a producer is connected; says nothing of the broker's health since."""
        return self._producer is not None

    def knows(self, topic: str) -> bool:
        """Whether records of this topic can be published."""
        return topic in self._lanes_of

    async def start(self) -> None:
        """Begin to connect in the background."""
        self._loop = asyncio.get_running_loop()
        self._begin_producer()

    async def stop(self) -> None:
        """Wait until everything taken has its outcome, but not for overdue acknowledgements, then disconnect."""
        deadline = self._loop.time() + self._ack_timeout_seconds
        while any(lane.waiting or (lane.sending and not lane.overdue) for lane in self._lanes) and self._tasks:
            if self._loop.time() > deadline:
                break
            await asyncio.wait(self._tasks, timeout=0.1, return_when=asyncio.FIRST_COMPLETED)
        if self._starting is not None:
            self._starting.cancel()
        for task in self._tasks:
            task.cancel()
        if self._producer is not None:
            await _close(self._producer)

    async def publish_one(self, key: bytes, value: bytes) -> PublishError | None:
        """See `Publisher.publish_one`."""
        if len(value) > RECORD_BYTES_MAX:
            return RecordTooLarge()
        delivery = Delivery(1, self._loop.create_future())
        part = Part(delivery)
        part.add(0, (key, value))
        lanes = self._lanes_of[EVENTS.name]
        self._take({partition_of(key, len(lanes)): part}, lanes, part.body_bytes)
        await delivery.future
        return delivery.outcomes[0]

    async def publish(self, records: list[tuple[bytes, bytes]], topic: str = EVENTS.name) -> list[PublishError | None]:
        """See `Publisher.publish`."""
        if not records:
            return []
        delivery = Delivery(len(records), self._loop.create_future())
        parts: dict[int, Part] = {}
        lanes = self._lanes_of[topic]
        size, lane_count = 0, len(lanes)
        last_key: bytes | None = None
        # Written out: whatever is done here is done for every event.
        for index, record in enumerate(records):
            key, value = record
            value_bytes = len(value)
            if value_bytes > RECORD_BYTES_MAX:
                delivery.outcomes[index] = RecordTooLarge()
                delivery.remaining -= 1
                continue
            if key is not last_key:
                # A session's events come in a row, and share the object.
                last_key = key
                partition = partition_of(key, lane_count)
                part = parts.get(partition) or parts.setdefault(partition, Part(delivery))
            part.indices.append(index)
            part.records.append(record)
            part.body_bytes += value_bytes + RECORD_OVERHEAD_BYTES
            size += value_bytes + RECORD_OVERHEAD_BYTES
        self._take(parts, lanes, size)
        if delivery.remaining:
            await delivery.future
        return delivery.outcomes

    def _take(self, parts: Mapping[int, Part], lanes: Sequence[Lane], size: int) -> None:
        if self.in_flight_bytes + size > self._in_flight_bytes_max:
            raise Overloaded
        for partition, part in parts.items():
            self._append(lanes[partition], part)

    def _append(self, lane: Lane, part: Part) -> None:
        if part.body_bytes > self._batch_bytes_max and len(part.records) > 1:
            for piece in part.pieces(self._batch_bytes_max):
                self._append(lane, piece)
            return
        batch = lane.waiting[-1] if lane.waiting else None
        if (
            batch is None
            or batch.attempts
            or batch.settled
            or batch.body_bytes + part.body_bytes > self._batch_bytes_max
        ):
            if lane.overdue:
                part.delivery.settle(part.indices, NotDurable())
                return
            batch = self._enqueue(lane, Batch())
        self.in_flight_bytes += part.body_bytes
        batch.body_bytes += part.body_bytes
        batch.parts.append(part)

    def _enqueue(self, lane: Lane, batch: Batch) -> Batch:
        batch.began_at = self._loop.time()
        batch.expiry = self._loop.call_at(batch.began_at + self._ack_timeout_seconds, self._expire, lane, batch)
        self._line_up(lane, batch)
        return batch

    def _line_up(self, lane: Lane, batch: Batch) -> None:
        lane.waiting.append(batch)
        if not lane.sending and self._producer is not None:
            lane.sending = True
            # A task starts in the next turn of the loop, so everything that arrived in this turn travels together.
            self._spawn(self._drain(lane))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _expire(self, lane: Lane, batch: Batch) -> None:
        """The time limit passed. What was not sent yet is forgotten; what is on its way keeps its bytes.

        With a batch that is on its way all those behind it are given up.
        """
        if not self.is_away:
            self.is_away = True
            log.warning("broker_away", fault=f"no acknowledgement within {self._ack_timeout_seconds} s")
        late = [batch]
        if batch not in lane.waiting:
            lane.overdue = True
            late = list(lane.waiting)
        batch.settle(NotDurable())
        for waiting in late:
            lane.waiting.remove(waiting)
            self.in_flight_bytes -= waiting.body_bytes
            waiting.settle(NotDurable())

    async def _drain(self, lane: Lane) -> None:
        try:
            while lane.waiting and self._producer is not None:
                await self._send(lane, lane.waiting.popleft(), self._producer)
                lane.overdue = False
        finally:
            lane.sending = lane.overdue = False

    async def _send(self, lane: Lane, batch: Batch, producer: AIOKafkaProducer) -> None:
        builder = producer.create_batch()
        append, now_ms = builder.append, time.time_ns() // 1_000_000
        for part in batch.parts:
            for key, value in part.records:
                append(key=key, value=value, timestamp=now_ms)
        builder.close()
        batch.attempts += 1
        try:
            await (await producer.send_batch(builder, lane.topic, partition=lane.partition))
        except KafkaError as fault:
            self._retire(producer, fault)
            self._resend(lane, batch, fault)
            return
        self.in_flight_bytes -= batch.body_bytes
        self.acknowledgements.observe(self._loop.time() - batch.began_at)
        batch.settle(None)
        if self.is_away:
            self._note_back()

    def _resend(self, lane: Lane, batch: Batch, fault: KafkaError) -> None:
        """Decide what becomes of a batch that failed for good: apart, again, or its outcome."""
        self.in_flight_bytes -= batch.body_bytes
        too_large = isinstance(fault, MessageSizeTooLargeError)
        if batch.settled or (too_large and len(batch.parts) == 1 and len(batch.parts[0].records) == 1):
            batch.settle(RecordTooLarge())
            return
        if not too_large and batch.attempts >= SEND_ATTEMPTS_MAX:
            batch.settle(NotDurable())
            return
        deadline = batch.expiry.when()
        batch.expiry.cancel()
        alone = [[piece] for part in batch.parts for piece in part.pieces(0)]
        for parts in alone if too_large else [batch.parts]:
            again = Batch()
            again.attempts = batch.attempts
            again.parts = parts
            again.body_bytes = sum(part.body_bytes for part in parts)
            self.in_flight_bytes += again.body_bytes
            # The time limit is that of the records, however often they are sent.
            again.expiry = self._loop.call_at(deadline, self._expire, lane, again)
            self._line_up(lane, again)

    def _begin_producer(self) -> None:
        self._starting = self._loop.create_task(self._connect())

    async def _connect(self) -> None:
        said = ""
        while True:
            producer = make_producer(self._servers, batch_bytes_max=self._batch_bytes_max)
            try:
                await producer.start()
                # Without the topic's metadata the first send of every lane would wait for it.
                for topic in self._topics:
                    await producer.partitions_for(topic)
                break
            except KafkaError as fault:
                self.is_away = True
                if said != (said := str(fault)):
                    log.warning("broker_away", fault=said)
                await _close(producer)
                await asyncio.sleep(RESTART_INTERVAL_SECONDS)
        self._producer = producer
        log.info("producer_ready", topics=self._topics)
        if self.is_away:
            self._note_back()
        for lane in self._lanes:
            if lane.waiting and not lane.sending:
                lane.sending = True
                self._spawn(self._drain(lane))

    def _note_back(self) -> None:
        self.is_away = False
        log.info("broker_back")

    def _retire(self, producer: AIOKafkaProducer, fault: KafkaError) -> None:
        """Replace a producer after an error that it does not retry itself: its sequence numbers are lost.

        Batches of other lanes that it still carries are finished by it before it closes.
        """
        log.error("producer_replaced", fault=f"{type(fault).__name__}: {fault}")
        if self._producer is producer:
            self._producer = None
            self._begin_producer()
            self._spawn(_close(producer))


async def _close(producer: AIOKafkaProducer) -> None:
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await producer.stop()
    except TimeoutError:
        # Cut off while it waited: its connections are still open.
        await producer.client.close()
    except KafkaError as fault:
        log.warning("producer_close", fault=f"{type(fault).__name__}: {fault}")
