"""THE list of topics, and the one place that creates them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from infra.settings import KafkaSettings

RECORD_BYTES_MAX = 15 * 1024 * 1024
"""One record as published, before compression. A 10 MiB body plus its envelope fits with room to spare."""

BATCH_BYTES_MAX = 16 * 1024 * 1024
"""One producer batch, before compression; the broker's `max.message.bytes` is the same plus its own overhead."""

BODY_RECORDS_BYTES_MAX = 256 * 1024 * 1024
"""All records that are made of one HTTP body: a resource is repeated in the record of each of its spans."""

PARTITIONS = 12
"""Divides evenly among 1, 2, 3, 4, 6 and 12 workers. Changing it would move keys, so it is fixed from the start."""

RETENTION_MS = 30 * 24 * 3600 * 1000
"""How far back a replay can reach into the topic itself."""


@dataclass(frozen=True)
class Topic:
    """A topic as it must exist; `key` says in words what decides the partition."""

    name: str
    key: str
    partitions: int = PARTITIONS
    retention_ms: int = RETENTION_MS


EVENTS = Topic("pathline.events", key="hash(project, session id), or hash(project, event id) without a session")

SPANS = Topic(
    "pathline.spans", key="hash(project, trace id): a trace lies in one partition, and its order is the outcome"
)

TOPICS = (EVENTS, SPANS)


async def ensure_topics(servers: str, settings: KafkaSettings, topics: Sequence[Topic] = TOPICS) -> list[str]:
    """Create which of `topics` are missing, leave what exists; return the names that were created.

    Safe to run by many processes at once. Time stamps are the broker's (`LogAppendTime`): the outcome of a
    join window must not depend on a client's clock.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=servers, request_timeout_ms=10_000)
    await admin.start()
    try:
        existing = set(await admin.list_topics())
        missing = [topic for topic in topics if topic.name not in existing]
        return [name for topic in missing if (name := await _create(admin, topic, settings))]
    finally:
        await admin.close()


async def _create(admin: AIOKafkaAdminClient, topic: Topic, settings: KafkaSettings) -> str | None:
    request = NewTopic(
        name=topic.name,
        num_partitions=topic.partitions,
        replication_factor=settings.replication_factor,
        topic_configs={
            "message.timestamp.type": "LogAppendTime",
            "max.message.bytes": str(BATCH_BYTES_MAX + 1024 * 1024),
            "retention.ms": str(topic.retention_ms),
            "min.insync.replicas": str(settings.in_sync_replicas_min),
            "cleanup.policy": "delete",
            "compression.type": "producer",
        },
    )
    response = await admin.create_topics([request], timeout_ms=10_000)
    for name, code, *detail in response.topic_errors:
        if code == TopicAlreadyExistsError.errno:
            return None
        if code:
            raise for_code(code)(f"creating topic {name}: {detail}")
    await _await_leaders(admin, topic)
    return topic.name


async def _await_leaders(admin: AIOKafkaAdminClient, topic: Topic) -> None:
    """Return once every partition has a leader: a producer that starts sooner would stall on its first send."""
    deadline = asyncio.get_running_loop().time() + 15
    while asyncio.get_running_loop().time() < deadline:
        (described,) = await admin.describe_topics([topic.name])
        partitions = described.get("partitions", [])
        if len(partitions) == topic.partitions and all(part["leader"] >= 0 for part in partitions):
            return
        await asyncio.sleep(0.1)
    raise TimeoutError(f"topic {topic.name} has partitions without a leader after 15 s")
