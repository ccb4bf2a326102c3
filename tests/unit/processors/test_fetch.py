"""Goal: what is fetched ahead stays within its bound. Method: the queue over an endless source of records."""

import asyncio
import re
from typing import Any

from aiokafka import ConsumerRecord, TopicPartition

from infra.kafka import FETCH_BYTES_MAX
from processors.fetch import RECORD_OVERHEAD_BYTES, FetchAhead, Flow, Records, in_batches
from processors.metrics import FAMILIES, HELP
from tests.tidy.checkout import ROOT

MIB = 1024 * 1024
PARTITION = TopicPartition("t", 0)


class Switches:
    """What a consumer's partitions were told."""

    def __init__(self) -> None:
        self.paused: set[TopicPartition] = set()

    def pause(self, *partitions: TopicPartition) -> None:
        self.paused |= set(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        self.paused -= set(partitions)


def record(size_bytes: int) -> ConsumerRecord[Any, Any]:
    return ConsumerRecord("t", 0, 0, 0, 0, None, bytes(size_bytes), None, 0, size_bytes, ())


async def endless() -> Records:
    await asyncio.sleep(0)
    return {PARTITION: [record(10 * MIB)]}


async def test_partitions_pause_at_the_bound_and_go_on_when_a_batch_is_done() -> None:
    switches = Switches()
    flow = Flow(switches)
    flow.open(PARTITION)
    ahead = FetchAhead(endless, lambda _: 1, flow, batch_bytes_max=8 * MIB, bytes_max=48 * MIB)
    ahead.start()
    try:
        async with asyncio.timeout(5):
            while not flow.held:  # noqa: ASYNC110 - a plain value
                await asyncio.sleep(0)
        assert switches.paused == {PARTITION}
        most = ahead.held_bytes
        # The last fetch is what the bound leaves room for.
        assert most <= 48 * MIB - FETCH_BYTES_MAX + 10 * MIB + RECORD_OVERHEAD_BYTES
        batch = await ahead.get(1)
        assert batch is not None
        assert ahead.held_bytes == most
        ahead.done_with(batch.bytes)
        async with asyncio.timeout(5):
            while ahead.held_bytes < most:  # noqa: ASYNC110 - a plain value
                await asyncio.sleep(0)
    finally:
        await ahead.stop()


def test_batches_are_bounded_and_a_larger_record_is_alone() -> None:
    sizes = [MIB, MIB, 10 * MIB, MIB]
    batches = list(in_batches({PARTITION: [record(size) for size in sizes]}, 8 * MIB))
    assert [len(batch.records[PARTITION]) for batch in batches] == [2, 1, 1]


def test_each_metric_is_documented() -> None:
    page = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `pathline_processors_(\w+?)(?:_total)?` \| ([^|]+?) \|", page, re.MULTILINE))
    assert rows == HELP
    assert {family.name for family in FAMILIES} == HELP.keys()
