"""A real ingest, as a process of its own over a test's topic and database, and what it put on the topic."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from infra.projects import create_key, ensure_project
from infra.topics import Topic
from ingest.decode.record import decode
from ingest.event import Event, Record, decode_record
from tests.processes import Stage
from tests.services import free_ports, wait_until


@dataclass
class Ingest:
    """A running ingest, a key for it, and the topic that it fills."""

    stage: Stage
    url: str
    key: str
    kafka: str
    topic: Topic
    read: Callable[[bytes], Record] = decode_record
    """Of the topic's records."""

    def client(self) -> httpx.AsyncClient:
        """A client that sends the key."""
        return httpx.AsyncClient(base_url=self.url, headers={"Authorization": f"Bearer {self.key}"}, timeout=30)

    async def records(self) -> list[tuple[int, bytes, Record]]:
        """Everything on the topic: partition, key and record."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.kafka, enable_auto_commit=False, max_partition_fetch_bytes=32 * 1024 * 1024
        )
        await consumer.start()
        try:
            partitions = [TopicPartition(self.topic.name, index) for index in range(self.topic.partitions)]
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            missing = sum((await consumer.end_offsets(partitions)).values())
            found: list[tuple[int, bytes, Record]] = []
            while len(found) < missing:
                message = await consumer.getone()
                found.append((message.partition, message.key, self.read(message.value)))
            return found
        finally:
            await consumer.stop()

    async def events(self) -> list[Event]:
        """What the records decode to, in order of start."""
        return sorted((decode(record) for _, _, record in await self.records()), key=lambda event: event.started_at)


@pytest.fixture
def ingest_settings() -> dict[str, str]:
    """Environment variables of the running ingest; a module that needs other settings has a fixture of this name."""
    return {}


@pytest.fixture
def ingest_stage(
    kafka: str,
    database: str,
    events_topic: Topic,
    spans_topic: Topic,
    tmp_path: Path,
    ingest_settings: dict[str, str],
) -> Iterator[tuple[Stage, int]]:
    """The process, started, and its port; killed afterwards."""
    [port] = free_ports(1)
    environment = {
        "PATHLINE_KAFKA": kafka,
        "PATHLINE_POSTGRES": database,
        "PATHLINE_EVENTS_TOPIC": events_topic.name,
        "PATHLINE_SPANS_TOPIC": spans_topic.name,
        "INGEST_PORT": str(port),
        **ingest_settings,
    }
    with Stage("ingest", tmp_path, environment) as ingest:
        yield ingest, port


@pytest.fixture
async def ingest(kafka: str, database: str, events_topic: Topic, ingest_stage: tuple[Stage, int]) -> Ingest:
    """A running ingest that is ready."""
    connection = await asyncpg.connect(database)
    try:
        project_id = await ensure_project(connection, "default")
        key = await create_key(connection, project_id, "test", can_read=True)
    finally:
        await connection.close()
    process, port = ingest_stage
    running = Ingest(process, f"http://127.0.0.1:{port}", key, kafka, events_topic)

    async def ready() -> bool:
        try:
            async with httpx.AsyncClient(timeout=5) as client:
                return (await client.get(f"{running.url}/readyz")).status_code == 200
        except httpx.TransportError:
            return False

    await wait_until(ready, seconds=30, what="ingest is ready")
    return running
