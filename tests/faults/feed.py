"""Events that go on coming while things break, and a look at whether the store has kept up."""

import asyncio
import os
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg

from infra.topics import Topic
from tests.factories import keyed, random_records
from tests.recomputation import assert_rollups_exact
from tests.services import wait_until
from tests.topic_worker import end_offsets, publisher_of

LONG = os.environ.get("PATHLINE_FAULTS") == "long"
RECOVERY_SECONDS_MAX = 15.0
"""After the end of an outage."""
CHUNK_EVENTS, PAUSE_SECONDS = 15, 0.1
SESSIONS = 60


def draw_seed() -> int:
    """The run's seed, printed: PATHLINE_FAULTS_SEED, else a fixed one in the short form and a new one in the long."""
    chosen = os.environ.get("PATHLINE_FAULTS_SEED") or (random.randrange(10**6) if LONG else 20_261_124)
    sys.stdout.write(f"PATHLINE_FAULTS_SEED={chosen}\n")
    return int(chosen)


@dataclass
class Feed:
    """Publishes random events at a steady pace; an unsure outcome is sent again under the same ids."""

    kafka: str
    dsn: str
    """Not the worker's, which may lead through a broken door."""
    topic: Topic
    seed: int
    sent: set[str] = field(default_factory=set)

    @asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        """Events come as long as this lasts."""
        stopping = asyncio.Event()
        running = asyncio.create_task(self._run(stopping))
        try:
            yield
        finally:
            stopping.set()
            await running

    async def _run(self, stopping: asyncio.Event) -> None:
        chunks = 0
        async with publisher_of(self.kafka, self.topic) as publisher:
            while not stopping.is_set():
                chunks += 1
                records = list(random_records(self.seed + chunks, count=CHUNK_EVENTS, sessions=SESSIONS))
                rows = [keyed(record) for record in records]
                # Each attempt lasts until the acknowledgement's time limit, so this does not spin.
                while any(await publisher.publish(rows)):
                    pass
                self.sent.update(record.event_id for record in records)
                await asyncio.sleep(PAUSE_SECONDS)

    async def await_stored(self, *, seconds: float) -> None:
        """Return once everything that is on the topic now is stored."""
        ends = await end_offsets(self.kafka, self.topic)

        async def stored() -> bool:
            rows = await self.fetch("SELECT partition, next_offset FROM offsets WHERE topic = $1", self.topic.name)
            offsets = {row["partition"]: row["next_offset"] for row in rows}
            return all(offsets.get(partition, 0) >= end for partition, end in ends.items())

        await wait_until(stored, seconds=seconds, what="the topic is stored to its end")

    async def assert_kept_up(self, case: str, began: float, ended: float) -> None:
        """After an outage: recovered in time, no dead letter, every roll-up exact. One line says how long it took."""
        sys.stdout.write(f"{case}: outage {ended - began:.1f} s, ")
        await self.await_stored(seconds=RECOVERY_SECONDS_MAX)
        recovery = time.monotonic() - ended
        sys.stdout.write(f"recovered {recovery:.1f} s after it\n")
        assert recovery <= RECOVERY_SECONDS_MAX, case
        assert await self.fetch("SELECT * FROM dead_letters") == [], case
        await assert_rollups_exact(self.dsn)

    async def assert_all_stored_once(self) -> None:
        """In the end: each event that was sent is there, once, and nothing else."""
        await self.await_stored(seconds=RECOVERY_SECONDS_MAX)
        stored = [str(row["event_id"]) for row in await self.fetch("SELECT event_id FROM requests")]
        assert len(stored) == len(set(stored)), "an event is stored twice"
        assert set(stored) == self.sent
        assert await self.fetch("SELECT * FROM dead_letters") == []
        await assert_rollups_exact(self.dsn)

    async def fetch(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        """Ask the store over a connection of its own, which writes whatever the database says of new sessions."""
        connection = await asyncpg.connect(
            self.dsn, timeout=5, server_settings={"default_transaction_read_only": "off"}
        )
        try:
            return list(await connection.fetch(statement, *arguments))
        finally:
            await connection.close()
