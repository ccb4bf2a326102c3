"""What is consumed: the topics, how their records are read and stored, and what the cluster says of them."""

from collections.abc import Callable
from dataclasses import dataclass

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient

from infra.kafka import REQUEST_TIMEOUT_MS
from infra.projects import SettingsBook
from infra.settings import KafkaSettings
from processors.batch import EventReader, Reader
from processors.settings import ProcessorSettings
from processors.span_store import SpanStore
from processors.spans import SpanReader
from processors.store import Store


@dataclass(frozen=True)
class Stream:
    """A topic that the worker consumes, in a group of its own, and how its records are read and stored."""

    topic: str
    group_id: str
    open: Callable[[asyncpg.Pool, int | None], tuple[Store, Reader]]
    """Over a pool; the number is of the generation that a replay builds, None for a worker."""


def streams(kafka: KafkaSettings, settings: ProcessorSettings) -> list[Stream]:
    """Everything that a worker consumes."""
    return [
        Stream(kafka.events_topic, settings.group_id, lambda pool, building: (Store(pool, building), EventReader())),
        Stream(
            kafka.spans_topic,
            settings.spans_group_id,
            lambda pool, building: (SpanStore(pool, building), SpanReader(SettingsBook(pool))),
        ),
    ]


async def read_cluster_id(servers: str) -> str:
    """The id of the Kafka cluster: what stored offsets are valid for.

    Raises:
        KafkaError: the broker is away.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=servers, request_timeout_ms=REQUEST_TIMEOUT_MS)
    try:
        await admin.start()
        return str((await admin.describe_cluster())["cluster_id"])
    finally:
        await admin.close()


async def read_partitions(servers: str, topics: list[str]) -> dict[str, list[int]]:
    """The partitions that topics have.

    Raises:
        KafkaError: the broker is away.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=servers, request_timeout_ms=REQUEST_TIMEOUT_MS)
    try:
        await admin.start()
        described = await admin.describe_topics(topics)
        return {one["topic"]: sorted(part["partition"] for part in one["partitions"]) for one in described}
    finally:
        await admin.close()
