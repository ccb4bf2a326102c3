"""Goal: two workers that both believe they own a partition lose and double nothing, whoever of them is frozen.

Method: two workers share a topic that a feed fills, the first behind a door to Postgres that holds its COMMIT. Its
partitions are given to the second meanwhile; it is frozen, replaced, and comes back; and a third worker takes the same
partitions because its group knows nothing of the other. After each, roll-ups equal their recomputation.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.kafka_groups import remove_members
from infra.topics import Topic
from processors.settings import hot_instance_id
from tests.faults.feed import LONG, Feed, draw_seed
from tests.faults.postgres_proxy import PostgresProxy, Trap, Where
from tests.processes import Stage
from tests.services import wait_until
from tests.topic_worker import worker

FROZEN_SECONDS = 30.0


@dataclass(frozen=True)
class Pair:
    """Two workers of one group."""

    feed: Feed
    proxy: PostgresProxy
    first: Stage
    second: Stage
    spans_topic: Topic
    folder: Path

    async def hold_first(self) -> Trap:
        """The first has written a batch, and its COMMIT is on its way."""
        trap = self.proxy.set_trap(b"COMMIT", Where.HOLD)
        async with asyncio.timeout(20):
            await trap.sprung.wait()
        return trap

    async def move_partitions(self) -> None:
        """Tell the group that the first is gone: the second gets what it had. Long: let the group find out."""
        if not LONG:
            await remove_members(self.feed.kafka, self.feed.topic.name, [hot_instance_id("1")])

    async def await_fence(self) -> None:
        """Return once the second waits for the row of a partition that the first has not let go."""

        async def waits() -> bool:
            return bool(await self.feed.fetch("SELECT FROM pg_locks WHERE NOT granted"))

        await wait_until(waits, seconds=20, what="one worker waits for the other at the fence")


async def await_output(stage: Stage, text: str, *, times: int = 1) -> None:
    async def said() -> bool:
        return stage.output.count(text) >= times

    await wait_until(said, seconds=40, what=f"the worker says {text}")


@asynccontextmanager
async def set_up(feed: Feed, spans_topic: Topic, folder: Path) -> AsyncIterator[Pair]:
    proxy = PostgresProxy(feed.dsn)
    for name in ("first", "second", "third"):
        (folder / name).mkdir()
    async with proxy.serve():
        held = proxy.address()
        with (
            worker(feed.kafka, held, feed.topic, spans_topic, folder / "first") as first,
            worker(feed.kafka, feed.dsn, feed.topic, spans_topic, folder / "second", instance="2") as second,
        ):
            async with feed.flowing():
                await await_output(first, '"event":"assigned"', times=2)
                await await_output(second, '"event":"assigned"', times=2)
                await feed.await_stored(seconds=40)
                yield Pair(feed, proxy, first, second, spans_topic, folder)
            await feed.assert_all_stored_once()


async def moved_during_a_transaction(pair: Pair) -> None:
    trap = await pair.hold_first()
    await remove_members(pair.feed.kafka, pair.feed.topic.name, [hot_instance_id("1")])
    await pair.await_fence()
    trap.released.set()


async def zombie(pair: Pair) -> None:
    """Frozen with everything written but the COMMIT; by the time it goes on, the second has stored all that."""
    trap = await pair.hold_first()
    os.kill(pair.first.process.pid, signal.SIGSTOP)
    if LONG:
        await asyncio.sleep(FROZEN_SECONDS)
    else:
        await remove_members(pair.feed.kafka, pair.feed.topic.name, [hot_instance_id("1")])
    await pair.feed.await_stored(seconds=20)
    os.kill(pair.first.process.pid, signal.SIGCONT)
    trap.released.set()


async def two_groups(pair: Pair) -> None:
    """Each group gives all partitions to its own."""
    feed, group = pair.feed, f"{pair.feed.topic.name}-other"
    third = worker(feed.kafka, feed.dsn, feed.topic, pair.spans_topic, pair.folder / "third", instance="3", group=group)
    with third:
        await await_output(third, '"event":"fenced"', times=3)
        assert third.terminate(within_seconds=10) == 0


@pytest.mark.timeout(300)
async def test_partitions_that_two_workers_have(
    kafka: str, database: str, events_topic: Topic, spans_topic: Topic, tmp_path: Path
) -> None:
    feed = Feed(kafka, database, events_topic, draw_seed())
    async with set_up(feed, spans_topic, tmp_path) as pair:
        for case in (moved_during_a_transaction, zombie, two_groups):
            began = time.monotonic()
            await case(pair)
            await feed.assert_kept_up(case.__name__, began, time.monotonic())
            assert pair.first.process.poll() is None
            assert pair.second.process.poll() is None
