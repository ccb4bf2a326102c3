"""An engine that dies in the middle of the work costs time, never an event, and never makes a dead letter.

Method: a worker drains a backlog; the engine is killed with SIGKILL while transactions are on their way and started
again on the same data, and more events come. In the end everything is stored once and every roll-up is exact.
"""

from pathlib import Path

import asyncpg
import pytest

from infra.local.engine import Engine
from infra.topics import Topic
from tests.factories import keyed, random_records
from tests.recomputation import assert_rollups_exact
from tests.services import wait_until
from tests.topic_worker import end_offsets, publish, worker

EVENTS, SESSIONS = 6_000, 100


async def stored(dsn: str) -> int:
    """Requests stored now, over a connection of its own: the pool of a database that dies would be of no use."""
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM requests"))
    finally:
        await connection.close()


async def next_offsets(dsn: str, topic: Topic) -> dict[int, int]:
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        rows = await connection.fetch("SELECT partition, next_offset FROM offsets WHERE topic = $1", topic.name)
        return {row["partition"]: row["next_offset"] for row in rows}
    finally:
        await connection.close()


@pytest.mark.parametrize("victim", ["local_postgres", "local_kafka"])
async def test_an_engine_killed_in_the_middle_of_a_drain(
    victim: str,
    request: pytest.FixtureRequest,
    kafka: str,
    database: str,
    events_topic: Topic,
    spans_topic: Topic,
    tmp_path: Path,
) -> None:
    engine: Engine = request.getfixturevalue(victim)
    events = [keyed(record) for record in random_records(11, count=EVENTS, sessions=SESSIONS)]
    await publish(kafka, events_topic, events[: EVENTS // 2])
    with worker(kafka, database, events_topic, spans_topic, tmp_path) as stage:

        async def begun() -> bool:
            return await stored(database) > EVENTS // 10

        await wait_until(begun, seconds=30, what="the drain has begun")
        await engine.kill()
        await engine.start()
        await publish(kafka, events_topic, events[EVENTS // 2 :])
        ends = await end_offsets(kafka, events_topic)

        async def done() -> bool:
            return await next_offsets(database, events_topic) == ends

        await wait_until(done, seconds=60, what="the drain is over")
        assert stage.process.poll() is None, "the worker itself must outlive the outage"
        assert stage.terminate(within_seconds=10) == 0
    connection = await asyncpg.connect(database)
    assert await connection.fetchval("SELECT count(*) FROM requests") == EVENTS
    assert await connection.fetchval("SELECT count(*) FROM dead_letters") == 0
    await connection.close()
    await assert_rollups_exact(database)
