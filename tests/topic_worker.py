"""A topic and its worker, as the acceptance and fault tests drive them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError, GroupLoadInProgressError

from infra.topics import EVENTS, Topic
from ingest.publisher import KafkaPublisher
from tests.processes import Stage
from tests.services import wait_until


@asynccontextmanager
async def publisher_of(kafka: str, topic: Topic) -> AsyncIterator[KafkaPublisher]:
    """A publisher that goes on trying for half a minute."""
    publisher = KafkaPublisher(
        kafka,
        {EVENTS.name: topic},
        in_flight_bytes_max=64 * 1024 * 1024,
        batch_bytes_max=1024 * 1024,
        ack_timeout_seconds=30,
    )
    await publisher.start()
    try:
        yield publisher
    finally:
        await publisher.stop()


async def publish(kafka: str, topic: Topic, records: list[tuple[bytes, bytes]]) -> None:
    """Put records on the topic and see every acknowledgement."""
    async with publisher_of(kafka, topic) as publisher:
        for place in range(0, len(records), 1_000):
            assert not any(await publisher.publish(records[place : place + 1_000]))


async def end_offsets(kafka: str, topic: Topic) -> dict[int, int]:
    """The end of every partition."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka)
    await consumer.start()
    try:
        ends = await consumer.end_offsets([TopicPartition(topic.name, number) for number in range(topic.partitions)])
        return {tp.partition: offset for tp, offset in ends.items()}
    finally:
        await consumer.stop()


def worker(
    kafka: str,
    database: str,
    topic: Topic,
    spans_topic: Topic,
    folder: Path,
    *arguments: str,
    instance: str = "1",
    group: str | None = None,
) -> Stage:
    """A worker of these topics' own groups, with transactions small enough that every kill has one to interrupt.

    With `arguments` it is one of the worker's commands.
    """
    environment = {
        "PATHLINE_KAFKA": kafka,
        "PATHLINE_POSTGRES": database,
        "PATHLINE_EVENTS_TOPIC": topic.name,
        "PATHLINE_SPANS_TOPIC": spans_topic.name,
        "PROCESSORS_GROUP": group or topic.name,
        "PROCESSORS_INSTANCE": instance,
        "PROCESSORS_BATCH_BYTES_MAX": str(256 * 1024),
        "PROCESSORS_PORT": "0",
    }
    return Stage("processors", folder, environment, *arguments)


async def await_joined(kafka: str, topic: Topic, *, seconds: float) -> None:
    """Return once a topic's worker is in all its groups.

    A worker whose broker goes away before that may end, for its supervisor to start it again; here it has none.
    """
    groups = {topic.name, f"{topic.name}-spans", f"{topic.name}-leader"}
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:

        async def joined() -> bool:
            try:
                return groups <= {group for group, *_ in await admin.list_consumer_groups()}
            except (GroupCoordinatorNotAvailableError, GroupLoadInProgressError):
                # A broker that has just been started has not read its groups yet.
                return False

        await wait_until(joined, seconds=seconds, what=f"the worker has joined {sorted(groups)}")
    finally:
        await admin.close()
