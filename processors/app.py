"""The wiring of the worker. The only module that names Faust.

Faust is the worker's life cycle: signals, the leader, timers. The hot path is a service of its own that starts beside
Faust's app, because a Faust agent costs twenty times as much per event (docs/decisions/0003-faust.md).
"""

import gc
import socket
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import faust
import structlog
from aiokafka.errors import KafkaError
from faust.exceptions import ConsumerNotStarted
from faust.worker import Worker
from mode import Service

from infra.kafka import CONSUMER_SESSION_TIMEOUT_MS, make_consumer
from infra.kafka_logs import read_log
from infra.postgres import make_pool
from processors.alert_delivery import deliver_alerts
from processors.consume import Consume
from processors.days import make_days_ahead
from processors.errors import TROUBLE
from processors.idle_failures import fire_idle_failures
from processors.leader import Job, Leader
from processors.operations import make_server, open_listener
from processors.retention import retain
from processors.settings import ProcessorSettings, hot_instance_id, leader_instance_id
from processors.streams import Stream

log = structlog.get_logger()

CONNECT_RETRY_SECONDS = 0.5
POOL_CONNECTIONS_MAX = 3
"""One batch, one observation, one to spare."""
STATEMENT_TIMEOUT_MS = 25_000
"""Below the transaction's own 30 s, so that the statement is what the log names."""


def leader_jobs(settings: ProcessorSettings) -> list[Job]:
    """Everything that one worker does for all."""
    return [
        Job("make_days_ahead", settings.days_interval_seconds, make_days_ahead),
        Job("retain", settings.retention_interval_seconds, retain),
        Job("fire_idle_failures", settings.idle_failures_interval_seconds, fire_idle_failures),
        Job("deliver_alerts", settings.alerts_interval_seconds, deliver_alerts),
    ]


class HotPath(Service):
    """The consume loop as a service. It waits for Kafka and Postgres as long as they take to come."""

    def __init__(
        self, servers: str, stream: Stream, dsn: str, settings: ProcessorSettings, *, memory_bytes_max: int
    ) -> None:
        super().__init__()
        self._memory_bytes_max = memory_bytes_max
        self._servers = servers
        self._stream = stream
        self._dsn = dsn
        self._settings = settings
        self.topic = stream.topic
        self.consume: Consume | None = None
        self.waits_for: str | None = None

    @Service.task
    async def _run(self) -> None:
        while not self.should_stop:
            async with AsyncExitStack() as stack:
                try:
                    self.consume = await self._wire(stack)
                except (*TROUBLE, KafkaError) as fault:
                    self.waits_for = f"{type(fault).__name__}: {fault}"
                    log.warning("connect_waits", fault=self.waits_for)
                    await self.sleep(CONNECT_RETRY_SECONDS)
                    continue
                log.info("consuming", topic=self._stream.topic, instance=self._settings.instance)
                await self.consume.run()

    async def on_stop(self) -> None:
        """Let the batch that is in the database finish."""
        if self.consume is not None:
            self.consume.stop()

    async def _wire(self, stack: AsyncExitStack) -> Consume:
        pool = await make_pool(
            self._dsn,
            application_name=f"pathline-processors-{self._settings.instance}",
            connections_max=POOL_CONNECTIONS_MAX,
            statement_timeout_ms=STATEMENT_TIMEOUT_MS,
            # Every statement of a worker goes by key. Without statistics yet, a plan that reads a whole table would be
            # cached for the life of the connection.
            options={"enable_hashjoin": "off", "enable_mergejoin": "off", "enable_seqscan": "off"},
        )
        stack.push_async_callback(pool.close)
        consumer = make_consumer(
            self._servers, group_id=self._stream.group_id, instance_id=hot_instance_id(self._settings.instance)
        )
        stack.push_async_callback(consumer.stop)
        await consumer.start()
        store, reader = self._stream.open(pool, None)
        return Consume(
            consumer,
            store,
            reader,
            self._stream.topic,
            read_log=partial(read_log, self._servers, self._stream.topic),
            batch_bytes_max=self._settings.batch_bytes_max,
            memory_bytes_max=self._memory_bytes_max,
        )


class Leading(Service):
    """The leader's jobs as a service: they run in the one worker that Faust and Postgres both call the leader."""

    def __init__(self, app: faust.App, dsn: str, jobs: Sequence[Job], *, instance: str) -> None:
        super().__init__()
        self._app = app
        self._leader = Leader(dsn, jobs, self._is_leader, instance=instance)

    @Service.task
    async def _run(self) -> None:
        await self._leader.run()

    async def on_stop(self) -> None:
        """Let the lock go, so that another worker can lead at once."""
        self._leader.stop()

    def _is_leader(self) -> bool:
        try:
            return self._app.started and self._app.is_leader()
        except ConsumerNotStarted:
            return False


class Operations(Service):
    """`/livez`, `/readyz` and `/metrics` on a socket that listens already."""

    def __init__(self, paths: Sequence[HotPath], listener: socket.socket) -> None:
        super().__init__()
        self._server, self._listener = make_server(paths), listener

    @Service.task
    async def _run(self) -> None:
        await self._server.serve(sockets=[self._listener])

    async def on_stop(self) -> None:
        """End the connections."""
        self._server.should_exit = True


def make_worker(
    servers: str,
    consumed: Sequence[Stream],
    jobs: Sequence[Job],
    dsn: str,
    settings: ProcessorSettings,
    *,
    data_folder: Path,
) -> Worker:
    """The Faust worker: its app for the leader, and beside it the leader's jobs and a hot path for each stream.

    Faust keeps a group of its own, `<group>-leader`; with static membership a restart rejoins at once.
    """
    # A batch holds tens of thousands of small objects without a cycle among them: collecting every 700 allocations
    # costs a quarter of the decoding.
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    data_folder.mkdir(parents=True, exist_ok=True)
    app = faust.App(
        settings.leader_group_id,
        broker=[f"kafka://{server}" for server in servers.split(",")],
        broker_session_timeout=CONSUMER_SESSION_TIMEOUT_MS / 1000,
        broker_heartbeat_interval=1.0,
        consumer_group_instance_id=leader_instance_id(settings.instance),
        topic_replication_factor=1,
        store="memory://",
        datadir=str(data_folder),
        web_enabled=False,
        autodiscover=False,
    )
    share = settings.memory_bytes_max // len(consumed)
    hot_paths = [HotPath(servers, stream, dsn, settings, memory_bytes_max=share) for stream in consumed]
    operations = Operations(hot_paths, open_listener(settings.host, settings.port))
    leading = Leading(app, dsn, jobs, instance=settings.instance)
    return Worker(app, operations, leading, *hot_paths, override_logging=False, redirect_stdouts=False, quiet=True)
