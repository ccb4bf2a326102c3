"""While Kafka or Postgres is away, ingest goes on accepting, and in the end every accepted event is there once.

Method: mixed real clients log to real processes at a steady pace while an engine is killed with SIGKILL and stays away
for 10 seconds, or for 60 with PATHLINE_FAULTS=long. Nobody may see an error before the spool is full. Once the engine
is back, the spool must be empty within the length of the outage, and the store must hold what was accepted.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from infra.local.engine import Engine
from infra.topics import Topic
from tests.faults.mixed_load import CLIENT_SESSION, SPANS_SESSION, MixedLoad
from tests.pipeline import Pipeline, make_key
from tests.processes import Stage
from tests.recomputation import assert_rollups_exact
from tests.services import free_ports, wait_until
from tests.topic_worker import end_offsets

OUTAGE_SECONDS = 60 if os.environ.get("PATHLINE_FAULTS") == "long" else 10
BEFORE, AFTER = 200, 200
"""Accepted events to wait for before the outage, and after it."""

MEMORY_GROWTH_BYTES_MAX = 64 * 1024 * 1024
"""Of one ingest over the outage, which spools several times as much in the long form. One batch for each partition
may be on its way to the broker that is away, and one group on its way to the disk."""

LATENCY_SECONDS_MAX = 2.0 + 3.0
"""The time limit of an acknowledgement, and what a busy machine may add."""


@asynccontextmanager
async def away(engine: Engine) -> AsyncIterator[None]:
    """The engine killed, and started again whatever happens."""
    await engine.kill()
    try:
        yield
    finally:
        await engine.start()


async def watch_memory(pid: int, seconds: float) -> int:
    """The most that a process holds within some time."""
    process, until = psutil.Process(pid), time.monotonic() + seconds
    most = 0
    while time.monotonic() < until:
        most = max(most, process.memory_info().rss)
        await asyncio.sleep(0.2)
    return most


def segments(folder: Path) -> list[Path]:
    return list((folder / "home" / "spool").glob("*/*.seg"))


async def await_drained(folder: Path, *, seconds: float) -> None:
    async def drained() -> bool:
        return not segments(folder)

    await wait_until(drained, seconds=seconds, what="the spool is drained")


async def assert_stored_once(pipeline: Pipeline, load: MixedLoad) -> None:
    await pipeline.await_folded(seconds=60 + 2 * OUTAGE_SECONDS)
    rows = await pipeline.fetch("SELECT event_id, session_id FROM requests")
    stored = [str(row["event_id"]) for row in rows]
    assert len(stored) == len(set(stored))
    assert load.accepted - set(stored) == set()
    assert sum(row["session_id"] == CLIENT_SESSION for row in rows) == load.logged
    # Every call has joined the session of the span above it, which came later.
    assert sum(row["session_id"] == SPANS_SESSION for row in rows) == load.spans > 0
    if not load.may_break:
        assert len(stored) == len(load.accepted) + load.logged
    assert await pipeline.fetch("SELECT * FROM dead_letters") == []
    await assert_rollups_exact(pipeline.dsn)


@pytest.mark.timeout(180 + 6 * OUTAGE_SECONDS)
@pytest.mark.parametrize("ingest_killed", [False, True], ids=["kafka away", "kafka away and ingest killed"])
async def test_kafka_is_away(
    ingest_killed: bool, pipeline: Pipeline, local_kafka: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load = MixedLoad(pipeline, capsys, may_break=ingest_killed)
    running = asyncio.create_task(load.run())
    await load.await_accepted(BEFORE)
    memory_before = psutil.Process(pipeline.ingest.process.pid).memory_info().rss
    async with away(local_kafka):
        memory = await watch_memory(pipeline.ingest.process.pid, OUTAGE_SECONDS / 2)
        assert segments(tmp_path), "the outage went unnoticed"
        if ingest_killed:
            pipeline.ingest.kill()
            pipeline.ingest.start()
            await pipeline.await_ready(pipeline.ingest_url)
        memory = max(memory, await watch_memory(pipeline.ingest.process.pid, OUTAGE_SECONDS / 2))
        await load.await_accepted(1)
    await await_drained(tmp_path, seconds=OUTAGE_SECONDS)
    await load.await_accepted(AFTER)
    load.stop()
    await running
    await await_drained(tmp_path, seconds=OUTAGE_SECONDS)
    assert memory - memory_before < MEMORY_GROWTH_BYTES_MAX
    assert max(load.latencies_seconds) < LATENCY_SECONDS_MAX
    if not ingest_killed:
        assert load.refused == []
    await assert_stored_once(pipeline, load)


@pytest.mark.timeout(180 + 6 * OUTAGE_SECONDS)
async def test_postgres_is_away_and_ingest_does_not_notice(
    pipeline: Pipeline, local_postgres: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load = MixedLoad(pipeline, capsys)
    running = asyncio.create_task(load.run())
    await load.await_accepted(BEFORE)
    async with away(local_postgres):
        await watch_memory(pipeline.ingest.process.pid, OUTAGE_SECONDS)
        await load.await_accepted(AFTER)
    load.stop()
    await running
    assert load.refused == []
    assert max(load.latencies_seconds) < LATENCY_SECONDS_MAX
    await assert_stored_once(pipeline, load)


async def test_a_full_spool_is_503_and_a_stop_during_the_outage_loses_nothing(
    kafka: str, database: str, events_topic: Topic, spans_topic: Topic, local_kafka: Engine, tmp_path: Path
) -> None:
    """Also: ingest starts while Kafka is away, and says itself when it can take no more."""
    [port] = free_ports(1)
    environment = {
        "PATHLINE_KAFKA": kafka,
        "PATHLINE_POSTGRES": database,
        "PATHLINE_EVENTS_TOPIC": events_topic.name,
        "PATHLINE_SPANS_TOPIC": spans_topic.name,
        "INGEST_PORT": str(port),
        "INGEST_SPOOL_BYTES_MAX": str(1024 * 1024),
    }
    headers = {"Authorization": f"Bearer {await make_key(database)}"}
    event = {"session_id": "s", "request": "x" * 20_000}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30) as client:

        async def is_ready() -> bool:
            try:
                return (await client.get("/readyz")).status_code == 200
            except httpx.TransportError:
                return False

        async with AsyncExitStack() as stack:
            async with away(local_kafka):
                ingest = stack.enter_context(Stage("ingest", tmp_path, environment))
                await wait_until(is_ready, seconds=30, what="ingest is ready without a broker")
                accepted = 0
                while (answer := await client.post("/v1/events", json=event)).status_code == 200:
                    accepted += 1
                assert (answer.status_code, answer.json()["code"]) == (503, "spool_full")
                assert int(answer.headers["retry-after"]) >= 1
                assert accepted > 40
                assert not await is_ready(), "whoever balances the load must hear of it"
                assert await asyncio.to_thread(ingest.terminate, within_seconds=8) == 0
            ingest.start()
            await await_drained(tmp_path, seconds=30)
            assert (await client.post("/v1/events", json=event)).status_code == 200
    assert sum((await end_offsets(kafka, events_topic)).values()) == accepted + 1
