"""The command that lets stopped partitions go on: `python -m processors accept-gap`."""

from aiokafka import AIOKafkaConsumer, TopicPartition

from infra.kafka_logs import Log
from processors.store import Store


async def accept_gap(consumer: AIOKafkaConsumer, store: Store, topic: str, log: Log) -> dict[int, tuple[int, int]]:
    """Move every stored offset that this log does not hold to the beginning of what it holds.

    A partition stops when its stored offset belongs to another log or is outside this one; events between are gone
    from Kafka, and going on means to accept that. Offsets that are fine stay. Returns partition -> (stored, now).

    Raises:
        StoreAway, KafkaError: nothing was changed.
    """
    partitions = [TopicPartition(topic, number) for number in log.partitions]
    firsts = await consumer.beginning_offsets(partitions)
    ends = await consumer.end_offsets(partitions)
    stored = await store.claim(topic, {tp.partition: firsts[tp] for tp in partitions}, log.log_id)
    moved = {}
    for tp in partitions:
        offset, stored_log_id = stored[tp.partition]
        if stored_log_id != log.log_id or not firsts[tp] <= offset <= ends[tp]:
            moved[tp.partition] = (offset, firsts[tp])
    if moved:
        await store.accept_gap(topic, {partition: now for partition, (_, now) in moved.items()}, log.log_id)
    return moved
