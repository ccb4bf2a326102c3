"""The publisher on a real broker: one outcome per record, a record too large stops nobody, bytes in flight are bounded.

Method: a broker-side limit below ours makes the broker refuse; a broker that is killed makes acknowledgements late.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from infra.local.engine import Engine
from infra.topics import EVENTS, RECORD_BYTES_MAX, Topic
from ingest.errors import NotDurable, Overloaded, RecordTooLarge
from ingest.event import partition_of, routing_key
from ingest.publisher import KafkaPublisher
from tests.services import wait_until
from tests.topic_worker import end_offsets

KEY = b"k" * 16
MIB = 1024 * 1024


@asynccontextmanager
async def publishing(
    kafka: str, topic: Topic, *, ack_timeout_seconds: float = 20, in_flight_bytes_max: int = 64 * MIB
) -> AsyncIterator[KafkaPublisher]:
    publisher = KafkaPublisher(
        kafka,
        {EVENTS.name: topic},
        in_flight_bytes_max=in_flight_bytes_max,
        batch_bytes_max=MIB,
        ack_timeout_seconds=ack_timeout_seconds,
    )
    await publisher.start()
    yield publisher
    await publisher.stop()


async def test_outcomes_come_in_order_and_the_records_are_there(kafka: str, events_topic: Topic) -> None:
    async with publishing(kafka, events_topic) as publisher:
        outcomes = await publisher.publish([(bytes([n]) * 16, b"{}") for n in range(200)])
        assert outcomes == [None] * 200
        assert publisher.in_flight_bytes == 0
    assert sum((await end_offsets(kafka, events_topic)).values()) == 200


async def test_a_record_over_our_limit_is_told_so_and_the_others_go_on(kafka: str, events_topic: Topic) -> None:
    async with publishing(kafka, events_topic) as publisher:
        too_large, largest = b"x" * (RECORD_BYTES_MAX + 1), b"x" * RECORD_BYTES_MAX
        first, second, third = await publisher.publish([(KEY, b"{}"), (KEY, too_large), (KEY, largest)])
        assert (first, third) == (None, None)
        assert isinstance(second, RecordTooLarge)
        assert await publisher.publish_one(KEY, b"{}") is None


async def test_a_record_that_the_broker_refuses_takes_no_other_with_it(kafka: str, events_topic: Topic) -> None:
    """After one refusal the producer fails every later batch of that partition; it must have been replaced."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    resource = ConfigResource(ConfigResourceType.TOPIC, events_topic.name, {"max.message.bytes": "100000"})
    await admin.alter_configs([resource])
    await admin.close()
    async with publishing(kafka, events_topic) as publisher:
        large = b"x" * 150_000

        async def is_refused() -> bool:
            return isinstance(await publisher.publish_one(KEY, large), RecordTooLarge)

        await wait_until(is_refused, seconds=10, what="the topic's new limit holds")
        outcomes = await publisher.publish([(KEY, b"1"), (KEY, large), (KEY, b"2"), (b"other key 123456", b"3")])
        assert [type(outcome) for outcome in outcomes] == [type(None), RecordTooLarge, type(None), type(None)]
        assert await publisher.publish_one(KEY, b"4") is None
        assert publisher.in_flight_bytes == 0


async def test_bytes_in_flight_are_bounded(kafka: str, events_topic: Topic) -> None:
    async with publishing(kafka, events_topic, in_flight_bytes_max=2 * MIB) as publisher:
        first = asyncio.create_task(publisher.publish([(KEY, b"x" * MIB)]))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await publisher.publish([(KEY, b"x" * MIB)])
        assert await first == [None]
        assert await publisher.publish([(KEY, b"x" * MIB)]) == [None]


async def test_an_acknowledgement_that_does_not_come_is_not_waited_for(
    kafka: str, events_topic: Topic, local_kafka: Engine
) -> None:
    async with publishing(kafka, events_topic, ack_timeout_seconds=1) as publisher:
        assert await publisher.publish_one(KEY, b"{}") is None
        await local_kafka.kill()
        outcomes = await publisher.publish([(KEY, b"{}"), (b"other key 123456", b"{}")])
        assert [type(outcome) for outcome in outcomes] == [NotDurable, NotDurable]
        await local_kafka.start()

        async def accepted() -> bool:
            return await publisher.publish_one(KEY, b"{}") is None

        await wait_until(accepted, seconds=30, what="records are accepted again")

        async def settled() -> bool:
            return publisher.in_flight_bytes == 0

        await wait_until(settled, seconds=10, what="nothing is in flight any more")


async def test_a_publisher_starts_while_the_broker_is_away(
    kafka: str, events_topic: Topic, local_kafka: Engine
) -> None:
    await local_kafka.kill()
    async with publishing(kafka, events_topic, ack_timeout_seconds=1) as publisher:
        assert not publisher.is_ready
        assert isinstance(await publisher.publish_one(KEY, b"{}"), NotDurable)
        await local_kafka.start()

        async def accepted() -> bool:
            return await publisher.publish_one(KEY, b"{}") is None

        await wait_until(accepted, seconds=30, what="records are accepted")


def test_sessions_spread_over_all_partitions() -> None:
    counts = [0] * 12
    for number in range(12_000):
        counts[partition_of(routing_key(1, f"session-{number}", ""), 12)] += 1
    assert 800 < min(counts) <= max(counts) < 1_200
