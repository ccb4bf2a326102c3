"""The way out of the spool: segment by segment to the broker, deleted once every record is where it belongs."""

import asyncio
from typing import Protocol

import structlog

from infra.topics import EVENTS
from ingest.errors import Overloaded, PublishError, RecordTooLarge
from ingest.spool.folder import Segment
from ingest.spool.segment import Kept, SegmentReader
from ingest.spool.spool import Spool

log = structlog.get_logger()

CHUNK_BYTES = 4 * 1024 * 1024
"""Read and sent at a time: what draining adds to memory and to the bytes in flight."""

PROBE_BYTES = 1
"""While the broker is away a single record is tried."""

IDLE_SECONDS = 0.2
"""Between two looks into an empty spool."""

PAUSE_SECONDS = 0.5
"""Before what the broker did not take is tried again."""


class Broker(Protocol):
    """What draining needs of `ingest.publisher.KafkaPublisher`."""

    is_away: bool

    @property
    def is_ready(self) -> bool:
        """Whether there is a connection."""

    def knows(self, topic: str) -> bool:
        """Whether records of this topic can be published."""

    async def publish(self, records: list[tuple[bytes, bytes]], topic: str = EVENTS.name) -> list[PublishError | None]:
        """As `ingest.publisher.Publisher.publish`."""


async def drain_forever(spool: Spool, broker: Broker) -> None:
    """Empty the spool whenever the broker takes it; ends only when it is cancelled.

    A segment that is drained in part when the process ends is drained again from its beginning: copies are one event
    downstream.
    """
    while True:
        segment = await spool.next_segment() if broker.is_ready else None
        if segment is None:
            await asyncio.sleep(IDLE_SECONDS)
            continue
        try:
            await _drain(segment, spool, broker)
        except OSError as fault:
            await _give_up(segment, spool, fault)


async def adopt_forever(spool: Spool, *, interval_seconds: float) -> None:
    """Take over what processes that are gone left behind, now and from time to time; ends only when cancelled."""
    while True:
        try:
            await spool.adopt()
        except OSError as fault:
            log.error("spool_not_adopted", fault=f"{type(fault).__name__}: {fault}")
        await asyncio.sleep(interval_seconds)


async def _drain(segment: Segment, spool: Spool, broker: Broker) -> None:
    reader = await asyncio.to_thread(SegmentReader, segment.path)
    with reader:
        while chunk := await asyncio.to_thread(reader.read, PROBE_BYTES if broker.is_away else CHUNK_BYTES):
            await _publish_all(chunk, spool, broker)
    await spool.discard(segment, good_bytes=reader.good_bytes)
    log.info("spool_segment_drained", segment=segment.path.name, bytes=segment.bytes)


async def _publish_all(chunk: list[Kept], spool: Spool, broker: Broker) -> None:
    left = await _publish(chunk, spool, broker)
    while left:
        await asyncio.sleep(PAUSE_SECONDS)
        left = await _publish(left, spool, broker)


async def _publish(chunk: list[Kept], spool: Spool, broker: Broker) -> list[Kept]:
    """Publish records, in their order within each topic; return those that have to be tried again."""
    again: list[Kept] = []
    for topic in dict.fromkeys(record.topic for record in chunk):
        records = [record for record in chunk if record.topic == topic]
        if not broker.knows(topic):
            for record in records:
                await spool.set_aside(record, "unknown_topic")
            continue
        try:
            outcomes = await broker.publish([(record.key, record.value) for record in records], topic)
        except Overloaded:
            again += records
            continue
        for record, outcome in zip(records, outcomes, strict=True):
            if isinstance(outcome, RecordTooLarge):
                await spool.set_aside(record, outcome.code)
            elif outcome is not None:
                again.append(record)
    return again


async def _give_up(segment: Segment, spool: Spool, fault: OSError) -> None:
    """The segment cannot be read, or a refused record not be set aside: neither may hold the others up."""
    said = f"{type(fault).__name__}: {fault}"
    try:
        await spool.set_segment_aside(segment, said)
    except OSError as again:
        log.error("spool_stuck", segment=str(segment.path), fault=said, aside=f"{type(again).__name__}: {again}")
        await asyncio.sleep(PAUSE_SECONDS)
