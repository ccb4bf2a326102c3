"""The publisher that ingest serves with: the broker, and the spool for what the broker does not acknowledge in time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import structlog

from infra.topics import EVENTS, RECORD_BYTES_MAX
from ingest.errors import NotDurable, Overloaded, PublishError, RecordTooLarge
from ingest.publisher import KafkaPublisher
from ingest.spool.drain import adopt_forever, drain_forever
from ingest.spool.spool import Spool

log = structlog.get_logger()

ADOPT_INTERVAL_SECONDS = 5.0
"""How soon the segments of a process that died are taken over by one that lives."""

RESTART_SECONDS = 1.0
"""Before work that failed by a fault of ours is begun again."""


class SpoolingPublisher:
    """`ingest.publisher.Publisher`: durable is what the broker acknowledged, or what lies synced in the spool.

    While the broker answers, records go straight to it. One acknowledgement that is late makes it `is_away`: from then
    on records go straight to the spool, until it acknowledges again. Order between the spool and the broker is not
    kept, and a record whose acknowledgement was merely late may arrive twice.
    """

    def __init__(self, kafka: KafkaPublisher, spool: Spool, *, in_flight_bytes_max: int) -> None:
        self.broker = kafka
        self.spool = spool
        self._in_flight_bytes_max = in_flight_bytes_max
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def is_away(self) -> bool:
        """Whether records go to the spool now."""
        return self.broker.is_away

    @property
    def is_ready(self) -> bool:
        """Whether an event would be accepted: there is a broker, or room in the spool once none was found."""
        return not self.spool.is_full if self.broker.is_away else self.broker.is_ready

    async def start(self) -> None:
        """Begin to connect and to drain in the background."""
        await self.broker.start()
        work = (
            lambda: drain_forever(self.spool, self.broker),
            lambda: adopt_forever(self.spool, interval_seconds=ADOPT_INTERVAL_SECONDS),
        )
        self._tasks = [asyncio.create_task(_restarted(one)) for one in work]

    async def stop(self) -> None:
        """Wait until everything taken has its outcome; what is not drained stays for the next process."""
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        await self.broker.stop()
        await self.spool.stop()

    async def publish_one(self, key: bytes, value: bytes) -> PublishError | None:
        """See `ingest.publisher.Publisher.publish_one`."""
        if not self.broker.is_away:
            outcome = await self.broker.publish_one(key, value)
            if outcome is None or not isinstance(outcome, NotDurable):
                return outcome
            return await self.spool.keep([(key, value)], EVENTS.name)
        return (await self._keep([(key, value)], EVENTS.name))[0]

    async def publish(self, records: list[tuple[bytes, bytes]], topic: str = EVENTS.name) -> list[PublishError | None]:
        """See `ingest.publisher.Publisher.publish`."""
        if self.broker.is_away:
            return await self._keep(records, topic)
        outcomes = await self.broker.publish(records, topic)
        if outcomes.count(None) < len(outcomes):
            lost = [index for index, outcome in enumerate(outcomes) if isinstance(outcome, NotDurable)]
            await self._keep_some(records, topic, lost, outcomes)
        return outcomes

    async def _keep(self, records: list[tuple[bytes, bytes]], topic: str) -> list[PublishError | None]:
        """Spool records that no broker was asked about.

        Raises:
            Overloaded: with them, too much would be in memory.
        """
        size = sum(len(value) for _, value in records)
        if self.broker.in_flight_bytes + self.spool.pending_bytes + size > self._in_flight_bytes_max:
            raise Overloaded
        outcomes: list[PublishError | None] = [
            RecordTooLarge() if len(value) > RECORD_BYTES_MAX else None for _, value in records
        ]
        await self._keep_some(
            records, topic, (index for index, outcome in enumerate(outcomes) if outcome is None), outcomes
        )
        return outcomes

    async def _keep_some(
        self,
        records: list[tuple[bytes, bytes]],
        topic: str,
        chosen: Iterable[int],
        outcomes: list[PublishError | None],
    ) -> None:
        """Spool the chosen records and put their common outcome in place.

        Those that the broker had already taken into memory are never refused for want of it.
        """
        indices = list(chosen)
        if indices:
            outcome = await self.spool.keep([records[index] for index in indices], topic)
            for index in indices:
                outcomes[index] = outcome


async def _restarted(work: Callable[[], Awaitable[None]]) -> None:
    """Work that never ends by itself: a fault of ours in it must neither go unheard nor leave the spool to fill up."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("spool_task_failed")
            await asyncio.sleep(RESTART_SECONDS)
