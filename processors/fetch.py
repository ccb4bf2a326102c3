"""Fetching ahead of the loop, in a task of its own and within a bound of bytes.

Batches wait in a queue while earlier ones are decoded and stored. What is fetched and not yet stored is accounted;
beyond the bound every partition is paused, which keeps the consumer from asking for more, and goes on when a batch is
stored. The consumer itself buffers one answer of the broker on top, which is why the bound leaves room for one.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from infra.kafka import FETCH_BYTES_MAX

RECORD_OVERHEAD_BYTES = 512
"""What a record takes beside its key and value: it counts when records are tiny."""

Records = dict[TopicPartition, list[ConsumerRecord]]


@dataclass(slots=True)
class Batch:
    """Records that one transaction takes, and the epoch of each partition's position when they were fetched."""

    records: Records = field(default_factory=dict)
    epochs: dict[int, int] = field(default_factory=dict)
    bytes: int = 0


class Flow:
    """Which partitions may flow, and whether any may now. Paused by itself or with all others, one stays paused."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self._open: set[TopicPartition] = set()
        self.held = False

    @property
    def paused(self) -> int:
        """How many partitions would flow and may not now."""
        return len(self._open) if self.held else 0

    def open(self, tp: TopicPartition) -> None:
        """Let an assigned partition flow, once the whole flows."""
        self._open.add(tp)
        if not self.held:
            self._consumer.resume(tp)

    def close(self, tp: TopicPartition) -> None:
        """Stop an assigned partition."""
        self._open.discard(tp)
        self._consumer.pause(tp)

    def forget(self) -> None:
        """The assignment is over."""
        self._open.clear()

    def hold(self) -> None:
        """Stop the whole."""
        if not self.held:
            self.held = True
            self._consumer.pause(*self._open)

    def release(self) -> None:
        """Let the whole flow again."""
        if self.held:
            self.held = False
            self._consumer.resume(*self._open)


class FetchAhead:
    """The queue between the consumer and the loop. `bytes_max` bounds everything that is fetched and not stored."""

    def __init__(
        self,
        fetch: Callable[[], Awaitable[Records]],
        epoch_of: Callable[[int], int | None],
        flow: Flow,
        *,
        batch_bytes_max: int,
        bytes_max: int,
    ) -> None:
        self._fetch = fetch
        self._epoch_of = epoch_of
        self._flow = flow
        self._batch_bytes_max = batch_bytes_max
        self._held_bytes_max = bytes_max - FETCH_BYTES_MAX
        self._queue: deque[Batch] = deque()
        self._came, self._room = asyncio.Event(), asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.bytes_max = bytes_max
        self.held_bytes = 0

    def start(self) -> None:
        """Begin to fetch."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Fetch no more; what is queued is left."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def get(self, seconds: float) -> Batch | None:
        """The next batch, or None when none came in time; whatever ended the fetching is raised here."""
        if not self._queue:
            self._came.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._came.wait()
            except TimeoutError:
                pass
        if self._queue:
            return self._queue.popleft()
        if self._task is not None and self._task.done():
            self._task.result()
        return None

    def done_with(self, batch_bytes: int) -> None:
        """A batch is stored or dropped, and its memory free."""
        self.held_bytes -= batch_bytes
        self._room.set()

    async def _run(self) -> None:
        try:
            while True:
                if self.held_bytes > self._held_bytes_max:
                    await self._wait_for_room()
                self._take_in(await self._fetch())
        finally:
            self._came.set()

    def _take_in(self, fetched: Records) -> None:
        """Nothing was awaited since the consumer gave these records out: the epochs of now are theirs."""
        for batch in in_batches(fetched, self._batch_bytes_max):
            batch.epochs = {tp.partition: self._epoch_of(tp.partition) or 0 for tp in batch.records}
            self.held_bytes += batch.bytes
            self._queue.append(batch)
            self._came.set()

    async def _wait_for_room(self) -> None:
        self._flow.hold()
        while self.held_bytes > self._held_bytes_max:
            self._room.clear()
            await self._room.wait()
        self._flow.release()


def in_batches(fetched: Records, bytes_max: int) -> Iterator[Batch]:
    """Split a fetch into batches of at most `bytes_max` (a single larger record is a batch of its own)."""
    batch = Batch()
    for tp, records in fetched.items():
        for record in records:
            size = len(record.value or b"") + len(record.key or b"") + RECORD_OVERHEAD_BYTES
            if batch.records and batch.bytes + size > bytes_max:
                yield batch
                batch = Batch()
            batch.records.setdefault(tp, []).append(record)
            batch.bytes += size
    if batch.records:
        yield batch
