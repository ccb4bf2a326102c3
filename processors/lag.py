"""`python -m processors lag`: how far behind each partition is, by what is stored, and who has it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from infra.kafka import REQUEST_TIMEOUT_MS, make_consumer
from infra.kafka_groups import owners
from infra.postgres import load_sql


@dataclass(frozen=True)
class Line:
    """One partition of one generation."""

    topic: str
    partition: int
    generation: int
    owner: str | None
    """Instance id of the worker in the group, `hot-<PROCESSORS_INSTANCE>`."""
    stored_offset: int
    end_offset: int
    seconds_behind: float | None
    """Age, at most, of what waits; None when nothing was ever stored."""

    @property
    def lag(self) -> int:
        """Records that wait."""
        return max(self.end_offset - self.stored_offset, 0)


async def read_lag(servers: str, connection: asyncpg.Connection, groups: Mapping[str, str]) -> list[Line]:
    """The lines of these topics (topic -> group), in order.

    Raises:
        KafkaError: the broker is away.
    """
    rows = await connection.fetch(load_sql("processors", "read_lag"), list(groups))
    ends = await _end_offsets(servers, [TopicPartition(row["topic"], row["partition"]) for row in rows])
    holders = await _owners(servers, groups)
    now = datetime.now(UTC)
    lines = []
    for row in rows:
        place = TopicPartition(row["topic"], row["partition"])
        waits = ends[place] > row["next_offset"]
        age = None if row["as_of"] is None else (now - row["as_of"]).total_seconds()
        lines.append(
            Line(
                topic=place.topic,
                partition=place.partition,
                generation=row["generation"],
                owner=holders.get(place),
                stored_offset=row["next_offset"],
                end_offset=ends[place],
                seconds_behind=age if waits else 0.0,
            )
        )
    return lines


async def _end_offsets(servers: str, places: list[TopicPartition]) -> dict[TopicPartition, int]:
    consumer: AIOKafkaConsumer = make_consumer(servers, group_id=None, instance_id=None)
    try:
        await consumer.start()
        return dict(await consumer.end_offsets(places)) if places else {}
    finally:
        await consumer.stop()


async def _owners(servers: str, groups: Mapping[str, str]) -> dict[TopicPartition, str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers, request_timeout_ms=REQUEST_TIMEOUT_MS)
    try:
        await admin.start()
        return {
            TopicPartition(topic, partition): owner
            for topic, group_id in groups.items()
            for partition, owner in (await owners(admin, group_id, topic)).items()
        }
    finally:
        await admin.close()
