"""Each event counts exactly once, whatever happens to the worker.

Method: 20,000 events over 500 sessions, 2 % of them twice, in a random order, go through a real topic while the worker
is killed with SIGKILL three times and started again. Then every id is stored once, every roll-up equals its
recomputation from the stored requests, and the stored offsets are the end of the topic.
"""

import random
from pathlib import Path

import asyncpg
import pytest

from infra.topics import Topic
from tests.factories import keyed, random_records
from tests.recomputation import assert_rollups_exact
from tests.services import wait_until
from tests.topic_worker import end_offsets, publish, worker

EVENTS, SESSIONS, KILLS = 20_000, 500, 3
SEED = 20_261_124


@pytest.mark.timeout(240)
async def test_a_worker_that_is_killed_loses_and_doubles_nothing(
    kafka: str, database: str, events_topic: Topic, spans_topic: Topic, tmp_path: Path
) -> None:
    rng = random.Random(SEED)
    events = [keyed(record) for record in random_records(SEED, count=EVENTS, sessions=SESSIONS)]
    sent = events + rng.sample(events, EVENTS // 50)
    rng.shuffle(sent)
    await publish(kafka, events_topic, sent)
    ends = await end_offsets(kafka, events_topic)
    assert sum(ends.values()) == len(sent)

    async with asyncpg.create_pool(database, min_size=1, max_size=2) as pool:

        async def stored() -> int:
            return int(await pool.fetchval("SELECT count(*) FROM requests"))

        with worker(kafka, database, events_topic, spans_topic, tmp_path) as stage:
            for kill in range(KILLS):
                target = EVENTS * (kill + 1) // (KILLS + 2)

                async def reached(target: int = target) -> bool:
                    return await stored() >= target

                await wait_until(reached, seconds=45, what=f"{target} events stored before kill {kill + 1}")
                stage.kill()
                assert await stored() < EVENTS, "the worker was done before it could be killed"
                stage.start()

            async def at_the_end() -> bool:
                rows = await pool.fetch(
                    "SELECT partition, next_offset FROM offsets WHERE topic = $1", events_topic.name
                )
                return {row["partition"]: row["next_offset"] for row in rows} == ends

            await wait_until(at_the_end, seconds=60, what="offsets at the end of the topic")
            assert stage.terminate(within_seconds=10) == 0

        assert await stored() == EVENTS
        assert await pool.fetchval("SELECT count(*) FROM records") == EVENTS
        assert await pool.fetchval("SELECT count(*) FROM dead_letters") == 0
    await assert_rollups_exact(database)
