"""How fast a worker drains a backlog, beside a bare COPY of the same rows into the same tables."""

import asyncio
import gc
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import count
from typing import Any

import asyncpg

from infra.postgres import load_sql, make_pool
from infra.projects import Credential
from infra.topics import Topic
from ingest.envelope import native_envelope
from processors.app import POOL_CONNECTIONS_MAX, STATEMENT_TIMEOUT_MS
from processors.batch import Decoded, Place, take
from processors.rollup import RECORD_COLUMNS, REQUEST_COLUMNS, record_row, request_row
from processors.settings import ProcessorSettings
from tests.benchmarks.figures import Ceiling, Figure
from tests.benchmarks.ground import Ground, MeasurementFailed
from tests.benchmarks.payloads import EVENTS_PER_SESSION, EventTemplates
from tests.benchmarks.plan import Plan, Reporter, alternate
from tests.factories import make_slice, now_us
from tests.services import make_topic
from tests.topic_worker import publish

EVENT_BYTES = 4 * 1024 + 512
"""4 KB of bodies, and the event's own fields."""
FLOOR = 0.35
DRAIN_SECONDS_MAX = 120.0
LOOK_SECONDS = 0.01

OFFSETS = "SELECT count(*), coalesce(sum(next_offset), 0)::bigint FROM offsets WHERE topic = $1"
STORED = """
    SELECT (SELECT count(*) FROM requests) AS requests, (SELECT count(*) FROM records) AS records,
           (SELECT coalesce(sum(event_count), 0)::bigint FROM sessions) AS folded,
           (SELECT count(*) FROM dead_letters) AS dead_letters
"""

Keyed = list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class CopyBatch:
    """The rows of one transaction of the ceiling."""

    requests: list[tuple[Any, ...]]
    records: list[tuple[Any, ...]]


async def drain(ground: Ground, plan: Plan, reporter: Reporter) -> list[Figure]:
    """Events per second from a backlog to committed roll-ups."""
    records = list(make_records(plan.drain_events))
    topic = await make_topic(ground.servers)
    await publish(ground.servers, topic, records)
    batches = list(copy_batches(records, ProcessorSettings().batch_bytes_max))
    days = {row[1] for batch in batches for row in batch.requests}
    # What was made above stays to the end: the collector need not walk it during the ceiling's runs.
    gc.freeze()
    connection = await asyncpg.connect(ground.dsn)
    run_numbers = count()
    try:

        async def ceiling() -> float:
            await ground.empty_tables(connection)
            return len(records) / await _copy_seconds(ground.dsn, batches, days)

        async def ours() -> float:
            await ground.empty_tables(connection)
            seconds = await _drain_seconds(ground, connection, topic, len(records), f"bench-{next(run_numbers)}")
            await _require_stored(connection, len(records))
            return len(records) / seconds

        ceiling_runs, our_runs = await alternate(plan, reporter, ceiling, ours)
    finally:
        gc.unfreeze()
        await ground.empty_tables(connection)
        await ground.empty_topic(topic)
        await connection.close()
    return [
        Figure(
            name="drain",
            title="A worker drains a backlog, 4 KB bodies, sessions of 20 events",
            unit="events/s",
            runs=our_runs,
            ceiling=Ceiling("a bare COPY of the same rows into the same tables", ceiling_runs),
            floor=FLOOR,
            details={
                "event_bytes": EVENT_BYTES,
                "events": len(records),
                "events_per_session": EVENTS_PER_SESSION,
                "transactions": len(batches),
            },
        )
    ]


def make_records(events: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values as the native door makes them."""
    templates = EventTemplates(event_bytes=EVENT_BYTES)
    sender = Credential(project_id=1, can_read=True, can_write=True, settings_version=1)
    for number in range(events):
        envelope = native_envelope(templates.event(number), sender, now_us())
        yield envelope.key, envelope.value


def copy_batches(records: Keyed, bytes_max: int) -> Iterator[CopyBatch]:
    """The rows that a worker would write, in transactions of the same bytes and in the order of its keys."""
    part = make_slice([])
    size = 0
    for number, (key, value) in enumerate(records):
        if part.events and size + len(value) > bytes_max:
            yield _copy_batch(part.events)
            part, size = make_slice([]), 0
        take(part, Place(part.topic, part.partition, number), key, value)
        size += len(value)
    yield _copy_batch(part.events)


def _copy_batch(events: Sequence[Decoded]) -> CopyBatch:
    ordered = sorted(events, key=lambda item: (item.event.project_id, item.day, item.event.event_id))
    return CopyBatch([request_row(item) for item in ordered], [record_row(item) for item in ordered])


async def _copy_seconds(dsn: str, batches: list[CopyBatch], days: set[date]) -> float:
    """The ceiling: one transaction a batch on a connection like the worker's, nothing but COPY in it."""
    pool = await make_pool(
        dsn,
        application_name="bench-copy",
        connections_max=POOL_CONNECTIONS_MAX,
        statement_timeout_ms=STATEMENT_TIMEOUT_MS,
        options={"search_path": "generation_1, public"},
    )
    async with pool, pool.acquire() as connection:
        for day in days:
            await connection.execute(load_sql("processors", "ensure_day"), day)
        began = time.perf_counter()
        for batch in batches:
            async with connection.transaction():
                await connection.copy_records_to_table("requests", records=batch.requests, columns=REQUEST_COLUMNS)
                await connection.copy_records_to_table("records", records=batch.records, columns=RECORD_COLUMNS)
        return time.perf_counter() - began


async def _drain_seconds(
    ground: Ground, connection: asyncpg.Connection, topic: Topic, events: int, group: str
) -> float:
    """From the moment that the worker has its partitions, before its first fetch, until the last offset is stored.

    A partition is claimed by storing its first offset, so the table itself says both.
    """
    environment = {"PATHLINE_EVENTS_TOPIC": topic.name, "PROCESSORS_GROUP": group, "PROCESSORS_INSTANCE": group}
    async with ground.stage("processors", **environment), asyncio.timeout(DRAIN_SECONDS_MAX):
        await until_offsets(connection, topic, partitions=topic.partitions, offset_sum=0)
        began = time.perf_counter()
        await until_offsets(connection, topic, partitions=topic.partitions, offset_sum=events)
        return time.perf_counter() - began


async def stored_offsets(connection: asyncpg.Connection, topic: Topic) -> tuple[int, int]:
    """How many partitions are claimed, and the sum of their stored offsets."""
    ((claimed, reached),) = await connection.fetch(OFFSETS, topic.name)
    return claimed, reached


async def until_offsets(connection: asyncpg.Connection, topic: Topic, *, partitions: int, offset_sum: int) -> None:
    """Return once that many partitions are claimed and their stored offsets add up to `offset_sum` or more."""
    while True:
        claimed, reached = await stored_offsets(connection, topic)
        if claimed >= partitions and reached >= offset_sum:
            return
        await asyncio.sleep(LOOK_SECONDS)


async def _require_stored(connection: asyncpg.Connection, events: int) -> None:
    """A fast drain that lost something is none."""
    (stored,) = await connection.fetch(STORED)
    expected = {"requests": events, "records": events, "folded": events, "dead_letters": 0}
    if dict(stored) != expected:
        raise MeasurementFailed(f"stored {dict(stored)}, expected {expected}")
