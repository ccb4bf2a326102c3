"""The command that lets stopped partitions go on: `python -m processors accept-gap`."""

from collections.abc import Iterable

from aiokafka import AIOKafkaConsumer, TopicPartition

from processors.store import Store


async def accept_gap(
    consumer: AIOKafkaConsumer, store: Store, topic: str, numbers: Iterable[int], cluster_id: str
) -> dict[int, tuple[int, int]]:
    """Move every stored offset that this cluster's log does not hold to the beginning of what it holds.

    `numbers`: the topic's partitions.

    A partition stops when its stored offset belongs to another cluster or is outside the log; events between are gone
    from Kafka, and going on means to accept that. Offsets that are fine stay. Returns partition -> (stored, now).

    Raises:
        StoreAway, KafkaError: nothing was changed.
    """
    partitions = [TopicPartition(topic, number) for number in numbers]
    firsts = await consumer.beginning_offsets(partitions)
    ends = await consumer.end_offsets(partitions)
    stored = await store.claim(topic, {tp.partition: firsts[tp] for tp in partitions}, cluster_id)
    moved = {}
    for tp in partitions:
        offset, stored_cluster = stored[tp.partition]
        if stored_cluster != cluster_id or not firsts[tp] <= offset <= ends[tp]:
            moved[tp.partition] = (offset, firsts[tp])
    if moved:
        await store.accept_gap(topic, {partition: now for partition, (_, now) in moved.items()}, cluster_id)
    return moved
