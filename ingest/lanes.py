"""Records on their way to the broker: calls, what they have for one partition, and the batches that line up there."""

import asyncio
from collections import deque
from collections.abc import Iterator

from ingest.errors import PublishError

RECORD_OVERHEAD_BYTES = 128
"""Key, framing and bookkeeping of a record in flight, generously: the budget must also hold for tiny events."""


class Delivery:
    """The outcomes of one call of `publish`; its future resolves when the last one is in."""

    __slots__ = ("future", "outcomes", "remaining")

    def __init__(self, count: int, future: asyncio.Future[None]) -> None:
        self.outcomes: list[PublishError | None] = [None] * count
        self.remaining = count
        self.future = future

    def settle(self, indices: list[int], outcome: PublishError | None) -> None:
        """The outcome of these records is in."""
        if outcome is not None:
            for index in indices:
                self.outcomes[index] = outcome
        self.remaining -= len(indices)
        if not self.remaining and not self.future.done():
            self.future.set_result(None)


class Part:
    """Records of one call that go to one partition, in order, and their places among the call's records."""

    __slots__ = ("body_bytes", "delivery", "indices", "records")

    def __init__(self, delivery: Delivery) -> None:
        self.delivery = delivery
        self.indices: list[int] = []
        self.records: list[tuple[bytes, bytes]] = []
        self.body_bytes = 0

    def add(self, index: int, record: tuple[bytes, bytes]) -> None:
        """Append the call's record of that place."""
        self.indices.append(index)
        self.records.append(record)
        self.body_bytes += len(record[1]) + RECORD_OVERHEAD_BYTES

    def pieces(self, bytes_max: int) -> Iterator["Part"]:
        """The same records in parts of at most `bytes_max`; a larger record is alone."""
        piece = Part(self.delivery)
        for index, record in zip(self.indices, self.records, strict=True):
            if piece.records and piece.body_bytes + len(record[1]) + RECORD_OVERHEAD_BYTES > bytes_max:
                yield piece
                piece = Part(self.delivery)
            piece.add(index, record)
        yield piece


class Batch:
    """Records of one partition that travel together."""

    __slots__ = ("attempts", "began_at", "body_bytes", "expiry", "parts", "settled")

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.body_bytes = 0
        self.attempts = 0
        self.began_at = 0.0
        self.settled = False
        self.expiry: asyncio.TimerHandle
        """Set before the batch is lined up."""

    def settle(self, outcome: PublishError | None) -> None:
        """Tell every waiter, once; a late acknowledgement after the time limit tells nobody."""
        if self.settled:
            return
        self.settled = True
        self.expiry.cancel()
        for part in self.parts:
            part.delivery.settle(part.indices, outcome)


class Lane:
    """One partition: batches that wait, whether one is on its way, and whether that one is over its time limit."""

    __slots__ = ("overdue", "partition", "sending", "topic", "waiting")

    def __init__(self, topic: str, partition: int) -> None:
        self.topic = topic
        self.partition = partition
        self.waiting: deque[Batch] = deque()
        self.sending = False
        self.overdue = False
