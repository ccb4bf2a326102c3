"""A replay beside a worker: killed twice, handed over, compared row by row, switched, rolled back, finished."""

import asyncio
import os
import sys
from pathlib import Path

import asyncpg

from infra.topics import Topic
from processors.generations import compare
from tests.factories import keyed, native_record, random_records
from tests.recomputation import assert_rollups_exact
from tests.services import wait_until
from tests.topic_worker import end_offsets, publish, worker

EVENTS = 4_000


async def start(command: str, environment: dict[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "processors", command), env={**os.environ, **environment}
    )


async def run(command: str, environment: dict[str, str]) -> None:
    assert await (await start(command, environment)).wait() == 0, command


async def await_folded(dsn: str, kafka: str, topic: Topic) -> None:
    ends = sum((await end_offsets(kafka, topic)).values())

    async def folded() -> bool:
        connection = await asyncpg.connect(dsn)
        rows = await connection.fetch(
            "SELECT sum(next_offset)::int FROM offsets WHERE topic = $1 AND fed_with <> '{}' GROUP BY generation",
            topic.name,
        )
        await connection.close()
        return bool(rows) and all(row[0] == ends for row in rows)

    await wait_until(folded, seconds=60, what="the topic is folded")


async def test_a_replay_equals_what_was_served(
    kafka: str, database: str, events_topic: Topic, spans_topic: Topic, tmp_path: Path
) -> None:
    environment = {
        "PATHLINE_KAFKA": kafka,
        "PATHLINE_POSTGRES": database,
        "PATHLINE_EVENTS_TOPIC": events_topic.name,
        "PATHLINE_SPANS_TOPIC": spans_topic.name,
    }
    first = [keyed(record) for record in random_records(1, count=EVENTS, sessions=200)]
    conflict = keyed(native_record(event_id="0192d3c4-0000-7000-8000-000000000001", request=b"1"))
    other = keyed(native_record(event_id="0192d3c4-0000-7000-8000-000000000001", request=b"2"))
    later = [keyed(record) for record in random_records(2, count=500, sessions=50)]
    await publish(kafka, events_topic, [*first, conflict, other, first[0], (b"0" * 16, b"garbage")])
    with worker(kafka, database, events_topic, spans_topic, tmp_path):
        await await_folded(database, kafka, events_topic)
        connection = await asyncpg.connect(database)
        for _ in range(2):
            killed = await start("replay", environment)
            before = await connection.fetchval("SELECT coalesce(sum(next_offset), 0) FROM offsets WHERE generation = 2")

            async def moved(before: int = before) -> bool:
                return bool(
                    await connection.fetchval("SELECT sum(next_offset) > $1 FROM offsets WHERE generation = 2", before)
                    or await connection.fetchval(
                        "SELECT count(*) > 0 AND bool_and(fed_with <> '{}') FROM offsets WHERE generation = 2"
                    )
                )

            await wait_until(moved, seconds=30, what="the replay has begun")
            if killed.returncode is None:
                killed.kill()
            await killed.wait()
        feeding = asyncio.create_task(publish(kafka, events_topic, later))
        if await connection.fetchval("SELECT state FROM generations WHERE number = 2") == "building":
            await run("replay", environment)
        await feeding
        await await_folded(database, kafka, events_topic)
        assert await connection.fetchval("SELECT number FROM generations WHERE state = 'served'") == 2
        found = await compare(connection, 1, 2)
        assert found.faults == []
        assert not any(found.differences.values()), found.differences
        await assert_rollups_exact(database)
        await run("replay-rollback", environment)
        await publish(kafka, events_topic, [keyed(record) for record in random_records(3, count=50, sessions=5)])
        await await_folded(database, kafka, events_topic)
        await run("replay-rollback", environment)
        assert await connection.fetchval("SELECT count(*) FROM requests") == EVENTS + 1 + 500 + 50
        await run("replay-finish", environment)
        await publish(kafka, events_topic, [keyed(record) for record in random_records(4, count=50, sessions=5)])
        await await_folded(database, kafka, events_topic)
        assert await connection.fetchval("SELECT count(*) FROM requests") == EVENTS + 1 + 500 + 100
        await connection.close()
    await assert_rollups_exact(database)
