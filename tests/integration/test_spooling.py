"""The publisher with its spool on a real broker: accepted is accepted, whether the broker is there, goes or comes.

Method: the broker is killed and started; what was accepted is read back from the topic.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
from aiokafka import AIOKafkaConsumer, TopicPartition

from infra.local.engine import Engine
from infra.topics import EVENTS, SPANS, Topic
from ingest.publisher import KafkaPublisher
from ingest.spool.folder import Folder
from ingest.spool.publisher import SpoolingPublisher
from ingest.spool.spool import Spool
from tests.integration.ingest_service import Ingest
from tests.services import wait_until

MIB = 1024 * 1024
ACK_TIMEOUT_SECONDS = 1.0


@asynccontextmanager
async def spooling(
    kafka: str, events: Topic, spans: Topic, root: Path
) -> AsyncIterator[tuple[SpoolingPublisher, KafkaPublisher]]:
    broker = KafkaPublisher(
        kafka,
        {EVENTS.name: events, SPANS.name: spans},
        in_flight_bytes_max=64 * MIB,
        batch_bytes_max=MIB,
        ack_timeout_seconds=ACK_TIMEOUT_SECONDS,
    )
    spool = Spool(Folder.create(root), bytes_max=64 * MIB, segment_bytes_max=4 * MIB)
    publisher = SpoolingPublisher(broker, spool, in_flight_bytes_max=64 * MIB)
    await publisher.start()
    try:
        yield publisher, broker
    finally:
        await publisher.stop()


@asynccontextmanager
async def away(engine: Engine) -> AsyncIterator[None]:
    """The broker killed, and started again whatever happens."""
    await engine.kill()
    try:
        yield
    finally:
        await engine.start()


async def values_on(kafka: str, topic: Topic) -> list[bytes]:
    """Every value on the topic, in the order of each partition."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic.name, number) for number in range(topic.partitions)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        missing = sum((await consumer.end_offsets(partitions)).values())
        found: list[bytes] = []
        while len(found) < missing:
            found.append((await consumer.getone()).value)
        return found
    finally:
        await consumer.stop()


def segments_in(root: Path) -> list[Path]:
    return list(root.glob("*/*.seg"))


async def await_drained(publisher: SpoolingPublisher) -> None:
    async def drained() -> bool:
        return publisher.spool.segments == 0 and not publisher.is_away

    await wait_until(drained, seconds=30, what="the spool is drained")


def batch(name: str, count: int = 60) -> list[tuple[bytes, bytes]]:
    return [(bytes([number]) * 16, f"{name}-{number}".encode()) for number in range(count)]


def values_of(*names: str) -> set[bytes]:
    return {value for name in names for _, value in batch(name)}


async def test_a_broker_that_goes_and_comes_back_costs_no_accepted_record(
    kafka: str, events_topic: Topic, spans_topic: Topic, local_kafka: Engine, tmp_path: Path
) -> None:
    async with spooling(kafka, events_topic, spans_topic, tmp_path) as (publisher, broker):
        assert not any(await publisher.publish(batch("before")))
        assert (publisher.spool.segments, publisher.is_away) == (0, False), "a healthy broker leaves the spool alone"
        async with away(local_kafka):
            began = time.monotonic()
            assert not any(await publisher.publish(batch("caught")))
            assert ACK_TIMEOUT_SECONDS <= time.monotonic() - began < ACK_TIMEOUT_SECONDS + 1
            assert publisher.is_away
            assert publisher.is_ready

            began = time.monotonic()
            for number in range(20):
                assert not any(await publisher.publish(batch(f"away{number}")))
                assert not any(await publisher.publish(batch("span"), SPANS.name))
                assert await publisher.publish_one(b"s" * 16, b"single") is None
            assert time.monotonic() - began < 10, "no call waits a second while the broker is known to be away"
        await await_drained(publisher)
        assert not any(await publisher.publish(batch("after")))
        assert (publisher.spool.bytes, broker.in_flight_bytes) == (0, 0)
    wanted = values_of("before", "caught", "after", *(f"away{number}" for number in range(20))) | {b"single"}
    assert set(await values_on(kafka, events_topic)) == wanted
    assert set(await values_on(kafka, spans_topic)) == values_of("span")


async def test_a_publisher_that_starts_while_the_broker_is_away_accepts_and_drains_later(
    kafka: str, events_topic: Topic, spans_topic: Topic, local_kafka: Engine, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        async with away(local_kafka):
            publisher, _ = await stack.enter_async_context(spooling(kafka, events_topic, spans_topic, tmp_path))

            async def ready() -> bool:
                return publisher.is_ready

            await wait_until(ready, seconds=5, what="events are accepted")
            assert publisher.is_away
            began = time.monotonic()
            assert not any(await publisher.publish(batch("away")))
            assert time.monotonic() - began < ACK_TIMEOUT_SECONDS
        await await_drained(publisher)
    assert set(await values_on(kafka, events_topic)) == values_of("away")


async def test_a_stop_while_the_broker_is_away_is_quick_and_leaves_everything_to_the_next_process(
    kafka: str, events_topic: Topic, spans_topic: Topic, local_kafka: Engine, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        publisher, _ = await stack.enter_async_context(spooling(kafka, events_topic, spans_topic, tmp_path))
        assert not any(await publisher.publish(batch("before")))
        async with away(local_kafka):
            caught = asyncio.create_task(publisher.publish(batch("caught")))
            await asyncio.sleep(0)
            began = time.monotonic()
            await stack.aclose()
            assert time.monotonic() - began < ACK_TIMEOUT_SECONDS + 3
            assert not any(await caught)
    async with spooling(kafka, events_topic, spans_topic, tmp_path) as (publisher, _):

        async def adopted() -> bool:
            return not segments_in(tmp_path)

        await wait_until(adopted, seconds=30, what="the first one's segments are drained")
    assert set(await values_on(kafka, events_topic)) >= values_of("before", "caught")


async def test_operators_are_told_that_the_spool_is_in_use(ingest: Ingest, local_kafka: Engine) -> None:
    """`/readyz` is degraded, which is of use all the same, and `/metrics` shows how much waits."""
    async with ingest.client() as client:

        async def is_ok() -> bool:
            try:
                answer = await client.get("/readyz")
            except httpx.TransportError:
                return False
            return answer.status_code == 200 and answer.json()["status"] == "ok"

        await wait_until(is_ok, seconds=30, what="ingest is ready")
        assert await spool_metrics(client) == {"bytes": 0, "away": 0}
        async with away(local_kafka):
            assert (await client.post("/v1/events", json={"session_id": "s"})).status_code == 200
            answer = await client.get("/readyz")
            assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
            said = answer.json()["checks"]
            assert said["kafka"].startswith("degraded: the broker is away; the spool has ")
            assert (said["keys"], said["serving"]) == ("ok", "ok")
            metrics = await spool_metrics(client)
            assert metrics["bytes"] > 0
            assert metrics["away"] == 1
            assert said["kafka"].split(" has ")[1].split(" of ")[0] == f"{metrics['bytes']:,.0f}"
        await wait_until(is_ok, seconds=30, what="the spool is drained and ingest says so")
        assert await spool_metrics(client) == {"bytes": 0, "away": 0}


async def spool_metrics(client: httpx.AsyncClient) -> dict[str, float]:
    """What the spool holds, and whether the broker counts as away."""
    samples = {
        name.partition("{")[0] + (" spool" if 'queue="spool"' in name else ""): float(value)
        for line in (await client.get("/metrics")).text.splitlines()
        if not line.startswith("#")
        for name, _, value in [line.rpartition(" ")]
    }
    return {"bytes": samples["pathline_ingest_queue_bytes spool"], "away": samples["pathline_ingest_broker_away"]}
