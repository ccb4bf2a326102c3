"""Goal: workers come, go, restart and freeze while events flow, and nothing is lost or doubled.

Method: the supervisor of `make run` with real workers over a topic that is being filled. Who has which partition is
asked of the group; in the end every roll-up equals its recomputation from the stored requests.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError, GroupLoadInProgressError, NotCoordinatorForGroupError

from infra.kafka_groups import owners
from infra.local.command import Command
from infra.local.record import read_record
from infra.local.stack import answers
from infra.local.supervisor import Service, Supervisor
from infra.topics import Topic
from tests.factories import keyed, random_records
from tests.processes import ROOT
from tests.recomputation import assert_rollups_exact
from tests.services import free_ports, wait_until
from tests.topic_worker import end_offsets, publish

EVENTS, SESSIONS = 9_000, 200
SESSION_SECONDS = 10
"""What the session time-out of the group would take."""


@dataclass(frozen=True)
class Workers:
    """Workers in slots, kept by a supervisor of their own."""

    supervisor: Supervisor
    kafka: str
    topic: Topic
    ports: list[int]

    def pids(self) -> dict[int, int]:
        """Slot -> pid."""
        record = read_record(self.supervisor.home)
        assert record is not None
        return {child.slot: child.pid for child in record.children if child.process()}

    async def is_ready(self, slot: int, _: int = 0) -> bool:
        return await asyncio.to_thread(answers, self.ports[slot - 1], "/readyz")

    async def owners(self) -> dict[int, str]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka)
        await admin.start()
        try:
            return await owners(admin, self.topic.name, self.topic.name)
        except (GroupCoordinatorNotAvailableError, GroupLoadInProgressError, NotCoordinatorForGroupError):
            return {}  # the broker makes its topic of groups when the first member comes
        finally:
            await admin.close()

    async def await_owners(self, count: int, *, seconds: float) -> dict[int, str]:
        """Return once every partition has an owner and they are so many."""
        found: dict[int, str] = {}

        async def spread() -> bool:
            found.clear()
            found.update(await self.owners())
            return len(found) == self.topic.partitions and len(set(found.values())) == count

        await wait_until(spread, seconds=seconds, what=f"all partitions belong to {count} workers")
        return found


@pytest.fixture
async def workers(
    own_home: Path,
    kafka: str,
    database: str,
    events_topic: Topic,
    spans_topic: Topic,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Workers]:
    # A worker that is frozen before the supervisor has heard of it once is given the longer time.
    monkeypatch.setattr("infra.local.supervisor.HANG_AT_START_SECONDS", 25.0)
    supervisor = Supervisor(own_home, own_home / "logs", engines=[])
    supervisor.begin()
    ports = free_ports(3)

    def command(slot: int) -> Command:
        environment = {
            "PATHLINE_HOME": str(own_home),
            "PATHLINE_KAFKA": kafka,
            "PATHLINE_POSTGRES": database,
            "PATHLINE_EVENTS_TOPIC": events_topic.name,
            "PATHLINE_SPANS_TOPIC": spans_topic.name,
            "PROCESSORS_GROUP": events_topic.name,
            "PROCESSORS_INSTANCE": str(slot),
            "PROCESSORS_BATCH_BYTES_MAX": str(256 * 1024),
            "PROCESSORS_PORT": str(ports[slot - 1]),
        }
        log = own_home / "logs" / f"processors-{slot}.log"
        argv = (sys.executable, "-m", "processors")
        return Command("processors", argv, log, env=os.environ | environment, cwd=ROOT)

    def removed(slots: list[int]) -> Command:
        leave = command(slots[0])
        return Command(
            "leave", (*leave.argv, "leave", *map(str, slots)), own_home / "logs" / "leave.log", leave.env, ROOT
        )

    service = Service("processors", command, lambda slot: answers(ports[slot - 1], "/livez"), removed)
    await supervisor.scale(service, 1)
    yield Workers(supervisor, kafka, events_topic, ports)
    await supervisor.stop()


async def fill(kafka: str, topic: Topic, seed: int) -> None:
    """Publish all events, with pauses of nothing but the publishing itself between parts."""
    events = [keyed(record) for record in random_records(seed, count=EVENTS, sessions=SESSIONS)]
    for place in range(0, EVENTS, 500):
        await publish(kafka, topic, events[place : place + 500])


async def assert_all_stored(kafka: str, database: str, topic: Topic) -> None:
    """Everything on the topic is stored once, and every roll-up is exact."""
    ends = await end_offsets(kafka, topic)
    async with asyncpg.create_pool(database, min_size=1, max_size=1) as pool:

        async def at_the_end() -> bool:
            rows = await pool.fetch("SELECT partition, next_offset FROM offsets WHERE topic = $1", topic.name)
            return {row["partition"]: row["next_offset"] for row in rows} == ends

        await wait_until(at_the_end, seconds=60, what="offsets at the end of the topic")
        assert await pool.fetchval("SELECT count(*) FROM requests") == EVENTS
        assert await pool.fetchval("SELECT count(*) FROM dead_letters") == 0
    await assert_rollups_exact(database)


async def test_one_to_three_to_one_while_events_flow(
    workers: Workers, kafka: str, database: str, events_topic: Topic
) -> None:
    await workers.await_owners(1, seconds=40)
    filling = asyncio.create_task(fill(kafka, events_topic, 21))
    await workers.supervisor.scale_by_name("processors", 3)
    await workers.await_owners(3, seconds=60)
    await workers.supervisor.scale_by_name("processors", 1)
    began = time.monotonic()
    await workers.await_owners(1, seconds=40)
    assert time.monotonic() - began < SESSION_SECONDS / 2, "the partitions waited for the session time-out"
    await filling
    await assert_all_stored(kafka, database, events_topic)


async def test_a_rolling_restart_moves_no_partition(
    workers: Workers, kafka: str, database: str, events_topic: Topic
) -> None:
    await workers.supervisor.scale_by_name("processors", 2)
    before = await workers.await_owners(2, seconds=60)
    pids = workers.pids()
    seen: list[dict[int, str]] = []

    rolled = asyncio.Event()

    async def watch() -> None:
        while not rolled.is_set():
            seen.append(await workers.owners())

    filling, watching = asyncio.create_task(fill(kafka, events_topic, 22)), asyncio.create_task(watch())
    await workers.supervisor.roll("processors", workers.is_ready)
    rolled.set()
    await asyncio.gather(filling, watching)
    assert set(workers.pids().values()).isdisjoint(pids.values())
    moved = [now for now in seen if any(before[partition] != owner for partition, owner in now.items())]
    assert len(seen) > 10
    assert moved == []
    await assert_all_stored(kafka, database, events_topic)


async def test_a_worker_that_is_frozen_is_replaced(
    workers: Workers, kafka: str, database: str, events_topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.local.supervisor.HANG_SECONDS", 5.0)
    await workers.await_owners(1, seconds=40)
    filling = asyncio.create_task(fill(kafka, events_topic, 23))
    (frozen,) = workers.pids().values()
    os.kill(frozen, signal.SIGSTOP)

    async def replaced() -> bool:
        return frozen not in workers.pids().values() and await workers.is_ready(1)

    began = time.monotonic()
    await wait_until(replaced, seconds=60, what="the frozen worker has a successor that is ready")
    sys.stdout.write(f"replaced {time.monotonic() - began:.1f} s after SIGSTOP\n")
    await filling
    await assert_all_stored(kafka, database, events_topic)
