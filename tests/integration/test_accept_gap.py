"""`python -m processors accept-gap` over a cluster that is not the one whose offsets are stored."""

import asyncio

import asyncpg
from typer.testing import CliRunner

from infra.kafka_logs import read_log
from infra.postgres import make_pool
from infra.topics import Topic
from processors.__main__ import command
from processors.store import Store
from tests.factories import keyed, native_record
from tests.topic_worker import publish


async def test_partitions_of_another_cluster_begin_anew(
    kafka: str, database: str, events_topic: Topic, spans_topic: Topic
) -> None:
    await publish(kafka, events_topic, [keyed(native_record())])
    async with await make_pool(
        database, application_name="test-gap", connections_max=1, statement_timeout_ms=20_000
    ) as pool:
        store, partitions = Store(pool), range(events_topic.partitions)
        await store.claim(events_topic.name, dict.fromkeys(partitions, 77), "another")
        environment = {
            "PATHLINE_KAFKA": kafka,
            "PATHLINE_POSTGRES": database,
            "PATHLINE_EVENTS_TOPIC": events_topic.name,
            "PATHLINE_SPANS_TOPIC": spans_topic.name,
        }
        answer = await asyncio.to_thread(CliRunner().invoke, command, ["accept-gap"], env=environment)
        assert answer.exit_code == 0, answer.output
        assert f"{events_topic.name} partition 0: from 77 to 0" in answer.output
        log_id = (await read_log(kafka, events_topic.name)).log_id
        assert await store.claim(events_topic.name, dict.fromkeys(partitions, 5), log_id) == dict.fromkeys(
            partitions, (0, log_id)
        )
        rows: list[asyncpg.Record] = await pool.fetch(
            "SELECT DISTINCT counted_from FROM offsets WHERE topic = $1", events_topic.name
        )
        assert [row[0] for row in rows] == [0]
