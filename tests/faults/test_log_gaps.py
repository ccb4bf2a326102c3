"""Goal: a log that does not hold what is to come next stops its partitions, and only those, until a person accepts it.

Method: records that were never folded are deleted from some partitions; then the topic itself is deleted and made anew
under its name, with more records than were stored, so that every stored offset exists and means another record. Each
time the worker stops and says so, stores nothing of it, and goes on after `accept-gap`.
"""

import time
from pathlib import Path

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.errors import for_code

from infra.settings import KafkaSettings
from infra.topics import Topic, ensure_topics
from tests.factories import keyed, random_records
from tests.faults.feed import Feed, draw_seed
from tests.processes import Stage
from tests.services import wait_until
from tests.topic_worker import end_offsets, publish, worker

EVENTS = 600
GAPS = 3
"""Partitions that lose their records."""


async def delete_records(kafka: str, before: dict[TopicPartition, int]) -> None:
    """Make the log of partitions begin at these offsets."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.delete_records({tp: RecordsToDelete(offset) for tp, offset in before.items()})
    finally:
        await admin.close()


async def make_anew(kafka: str, topic: Topic) -> None:
    """Another topic of the same name."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        answer = await admin.delete_topics([topic.name])
        for _, code in answer.topic_error_codes:
            if code:
                raise for_code(code)(topic.name)

        async def gone() -> bool:
            return topic.name not in await admin.list_topics()

        await wait_until(gone, seconds=20, what="the topic is deleted")
    finally:
        await admin.close()
    await ensure_topics(kafka, KafkaSettings(), [topic])


async def await_stopped(stage: Stage, count: int) -> None:
    """Return once so many partitions were stopped since the worker first began."""

    async def stopped() -> bool:
        return stage.output.count('"event":"partition_stopped"') == count

    await wait_until(stopped, seconds=40, what=f"{count} partitions are stopped")


def restart(stage: Stage) -> None:
    assert stage.terminate(within_seconds=10) == 0
    stage.start()


async def test_records_that_are_gone_and_a_topic_that_is_another(
    kafka: str, database: str, events_topic: Topic, spans_topic: Topic, tmp_path: Path
) -> None:
    feed = Feed(kafka, database, events_topic, draw_seed())

    async def send(part: int) -> None:
        records = list(random_records(feed.seed + part, count=EVENTS, sessions=60))
        await publish(kafka, events_topic, [keyed(record) for record in records])
        feed.sent.update(record.event_id for record in records)

    async def accepted(case: str) -> None:
        """Accept the gap and see all of the log stored."""
        began = time.monotonic()
        accept = worker(kafka, database, events_topic, spans_topic, tmp_path / "accept", "accept-gap")
        with accept:
            assert accept.process.wait(20) == 0
        restart(stage)
        await feed.assert_kept_up(case, began, time.monotonic())

    (tmp_path / "accept").mkdir()
    with worker(kafka, database, events_topic, spans_topic, tmp_path) as stage:
        await send(1)
        await feed.await_stored(seconds=40)
        assert stage.terminate(within_seconds=10) == 0
        stored = await end_offsets(kafka, events_topic)
        await send(2)
        ends = await end_offsets(kafka, events_topic)
        gaps = {TopicPartition(events_topic.name, number): ends[number] - 1 for number in range(GAPS)}
        await delete_records(kafka, gaps)
        gone = sum(offset - stored[tp.partition] for tp, offset in gaps.items())
        assert gone > GAPS
        stage.start()
        await await_stopped(stage, GAPS)
        await accepted("offsets below the log's start")
        [counted] = await feed.fetch("SELECT count(*) FROM requests")
        assert counted["count"] == 2 * EVENTS - gone, "what the log still had is stored, and nothing twice"

        assert stage.terminate(within_seconds=10) == 0
        feed.sent = {str(row["event_id"]) for row in await feed.fetch("SELECT event_id FROM requests")}
        await make_anew(kafka, events_topic)
        for part in (3, 4, 5):
            await send(part)
        now = await end_offsets(kafka, events_topic)
        assert all(now[partition] > end for partition, end in ends.items())
        stage.start()
        await await_stopped(stage, GAPS + events_topic.partitions)
        await accepted("the topic made anew")
        await feed.assert_all_stored_once()
        assert stage.terminate(within_seconds=10) == 0
