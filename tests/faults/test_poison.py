"""Records that nobody should have put on the topic stop nothing and are kept.

Method: each kind of poison is put on a real topic by hand, between good events of the same session and so of the same
partition; a real worker folds them. One dead letter each, every good event stored.
"""

from pathlib import Path

import asyncpg

from infra.topics import Topic
from ingest.event import routing_key
from tests.factories import UNDECODABLE, keyed, native_record
from tests.recomputation import assert_rollups_exact
from tests.services import wait_until
from tests.topic_worker import publish, worker


async def test_poison_becomes_dead_letters_and_the_partition_goes_on(
    kafka: str, database: str, events_topic: Topic, spans_topic: Topic, tmp_path: Path
) -> None:
    key = routing_key(1, "s-1", "")
    good = [keyed(native_record(user_id=f"user-{number}")) for number in range(len(UNDECODABLE) + 2)]
    refused = keyed(native_record(user_id="poison"))
    sent = [good[0], refused, good[1]]
    for poison, event in zip(UNDECODABLE.values(), good[2:], strict=True):
        sent += [(key, poison), event]
    async with asyncpg.create_pool(database, min_size=1, max_size=2) as pool:
        await pool.execute("ALTER TABLE generation_1.requests ADD CONSTRAINT no_poison CHECK (user_id <> 'poison')")
        await publish(kafka, events_topic, sent)
        with worker(kafka, database, events_topic, spans_topic, tmp_path) as stage:

            async def at_the_end() -> bool:
                return bool(await pool.fetchval("SELECT max(next_offset) FROM offsets") == len(sent))

            await wait_until(at_the_end, seconds=30, what="the partition is folded to its end")
            assert stage.terminate(within_seconds=10) == 0
        assert await pool.fetchval("SELECT count(*) FROM requests") == len(good)
        letters = await pool.fetch('SELECT record, step, reason FROM dead_letters ORDER BY "offset"')
    assert [row["record"] for row in letters] == [refused[1], *UNDECODABLE.values()]
    assert [row["step"] for row in letters] == ["store"] + ["decode"] * len(UNDECODABLE)
    assert letters[0]["reason"] == "no_poison"
    await assert_rollups_exact(database)
