"""The ceiling of ingest in batches: a bare aiokafka loop, `python -m tests.benchmarks.bare_producer '<job as JSON>'`.

`create_batch`, `append`, `send_batch` of events that lie ready, and as many batches in flight as the doors have
requests: nothing is parsed, checked, routed or answered.
"""

import asyncio
import itertools
import sys
import time

import msgspec
import uvloop
from aiokafka import AIOKafkaProducer

from infra.kafka import make_producer
from ingest.event import routing_key
from ingest.settings import IngestSettings
from tests.benchmarks.load import LoadResult
from tests.benchmarks.payloads import EVENTS_PER_SESSION, SEED, EventTemplates

EVENTS_READY = 20_000
"""Made before the clock starts, and sent round and round."""


class ProducerJob(msgspec.Struct, frozen=True):
    """What to send, where to, for how long."""

    servers: str
    topic: str
    partitions: int
    batches_in_flight: int
    events_per_batch: int
    event_bytes: int
    seconds: float
    warm_up_seconds: float = 1.0
    seed: int = SEED


class BareProducer:
    """Workers that each send a batch, wait for its acknowledgement, and send the next to the next partition."""

    def __init__(self, job: ProducerJob, producer: AIOKafkaProducer) -> None:
        self._job = job
        self._producer = producer
        self._numbers = itertools.count()
        self._acknowledged = 0
        self._ending = False
        templates = EventTemplates(event_bytes=job.event_bytes, seed=job.seed)
        events = [
            (routing_key(1, f"bench-{number // EVENTS_PER_SESSION}", ""), templates.event(number))
            for number in range(EVENTS_READY)
        ]
        size = job.events_per_batch
        self._batches = [events[first : first + size] for first in range(0, EVENTS_READY, size)]

    async def run(self) -> LoadResult:
        """Warm up, count, wait for what is in flight."""
        loop = asyncio.get_running_loop()
        began_at = time.time()
        async with asyncio.TaskGroup() as workers:
            for _ in range(self._job.batches_in_flight):
                workers.create_task(self._work())
            await asyncio.sleep(self._job.warm_up_seconds)
            began, before = loop.time(), self._acknowledged
            await asyncio.sleep(self._job.seconds)
            seconds, batches = loop.time() - began, self._acknowledged - before
            self._ending = True
        return LoadResult(
            requests=batches,
            events=batches * self._job.events_per_batch,
            seconds=seconds,
            began_at=began_at,
            events_total=self._acknowledged * self._job.events_per_batch,
            failures=0,
        )

    async def _work(self) -> None:
        while not self._ending:
            number = next(self._numbers)
            builder = self._producer.create_batch()
            for key, value in self._batches[number % len(self._batches)]:
                builder.append(key=key, value=value, timestamp=None)
            builder.close()
            partition = number % self._job.partitions
            await (await self._producer.send_batch(builder, self._job.topic, partition=partition))
            self._acknowledged += 1


async def _run(job: ProducerJob) -> LoadResult:
    producer = make_producer(job.servers, batch_bytes_max=IngestSettings().batch_bytes_max)
    await producer.start()
    try:
        await producer.partitions_for(job.topic)
        return await BareProducer(job, producer).run()
    finally:
        await producer.stop()


if __name__ == "__main__":
    result = uvloop.run(_run(msgspec.json.decode(sys.argv[1], type=ProducerJob)))
    sys.stdout.buffer.write(msgspec.json.encode(result))
