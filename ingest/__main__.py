"""`python -m ingest`: serve ingest, on a socket of its own or on one inherited from a supervisor."""

import argparse
import asyncio
import gc
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from types import FrameType
from typing import cast

import structlog
import uvicorn
import uvloop
from pydantic import ValidationError
from starlette.applications import Starlette

from infra.health import Degraded, Health
from infra.key_ring import REFRESH_SECONDS, KeyRing
from infra.key_snapshot import snapshot_file
from infra.settings import KafkaSettings, LocalSettings, PostgresSettings
from infra.telemetry import configure_logging
from infra.topics import EVENTS, SPANS
from ingest.app import create_app
from ingest.connections import LOOK_SECONDS, Connection, SilentConnections
from ingest.metrics import Metrics
from ingest.publisher import KafkaPublisher
from ingest.settings import IngestSettings

log = structlog.get_logger()

DRAIN_SECONDS = 1.0
"""How long a connection is kept at a stop for the request that may be on its way."""
DRAIN_LOOK_SECONDS = 0.05
KEYS_AGE_SECONDS_MAX = 5 * REFRESH_SECONDS
"""An older picture of the keys means that the database does not answer."""
BACKLOG_CONNECTIONS = 2048
"""Connections that wait to be accepted while the loop is busy."""


CONNECTIONS_MAX = 65_536
"""Open files that the process asks for: one a connection. Systems give 1,024 unasked."""


class Server(uvicorn.Server):
    """uvicorn that ends with exit code 0 after a stop, at once after a second signal, and drops silent connections."""

    def __init__(self, config: uvicorn.Config, silent: SilentConnections) -> None:
        super().__init__(config)
        self._silent = silent
        self._look_at = 0.0

    async def on_tick(self, counter: int) -> bool:
        """uvicorn calls this ten times a second."""
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            # uvicorn's set holds protocols of the one class that `_config` chose.
            connections = cast(set[Connection], self.server_state.connections)
            self._silent.close_overdue(list(connections), now)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no further connection, and answer what comes over those that are open before they are closed.

        uvicorn closes a connection without a request at once: what a client has just sent over it would be lost.
        """
        for server in self.servers:
            server.close()
        for listening in sockets or []:
            listening.close()
        # Every answer to a request that comes from here on ends its connection.
        self.server_state.default_headers.append((b"connection", b"close"))
        deadline = time.monotonic() + DRAIN_SECONDS
        while time.monotonic() < deadline:
            # First the sleep: a connection that was just accepted is not in the set yet.
            await asyncio.sleep(DRAIN_LOOK_SECONDS)
            if not self.server_state.connections:
                break
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal drains; whoever sends a second one does not want to wait."""
        if self.should_exit:
            os._exit(1)
        log.info("stopping", signal=signal.Signals(sig).name)
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Unlike uvicorn's own, does not raise the signal again afterwards."""
        stops = (signal.SIGTERM, signal.SIGINT)
        before = {stop: signal.signal(stop, self.handle_exit) for stop in stops}
        try:
            yield
        finally:
            for stop, handler in before.items():
                signal.signal(stop, handler)


def main() -> int:
    """Read the settings, then serve until a signal says stop."""
    arguments = _parse_arguments()
    configure_logging("ingest")
    try:
        settings = IngestSettings()
        kafka = KafkaSettings()
        local = LocalSettings()
        dsn = PostgresSettings().address(local)
    except (ValidationError, FileNotFoundError) as fault:
        sys.stderr.write(f"ingest cannot start: {fault}\n")
        return 2
    if arguments.check:
        for name, value in {**settings.model_dump(), "kafka": kafka.servers()}.items():
            sys.stdout.write(f"{name} = {value}\n")
        return 0
    listener = _listener(settings, arguments.fd)
    _raise_open_files()
    # A request makes few cycles and many short-lived objects: the default thresholds cost a tenth of the work.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        keys = KeyRing(dsn, application_name="pathline-ingest", snapshot=snapshot_file(local.home, dsn))
        runner.run(_serve(settings, kafka, keys, listener))
    return 0


async def _serve(settings: IngestSettings, kafka: KafkaSettings, keys: KeyRing, listener: socket.socket) -> None:
    publisher = KafkaPublisher(
        kafka.servers(),
        {
            EVENTS.name: replace(EVENTS, name=kafka.events_topic),
            SPANS.name: replace(SPANS, name=kafka.spans_topic),
        },
        in_flight_bytes_max=settings.in_flight_bytes_max,
        batch_bytes_max=settings.batch_bytes_max,
        ack_timeout_seconds=settings.ack_timeout_seconds,
    )

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await publisher.start()
        await keys.start()
        try:
            yield
        finally:
            await publisher.stop()
            await keys.stop()

    health, metrics = Health(), Metrics()
    silent = SilentConnections(
        head_seconds_max=settings.head_seconds_max, idle_seconds_max=float(settings.keep_alive_seconds)
    )
    server = Server(_config(settings, create_app(settings, publisher, keys, health, metrics, lifespan)), silent)
    metrics.add_queue("in_flight", lambda: publisher.in_flight_bytes, settings.in_flight_bytes_max)
    metrics.add_gauge("connections", lambda: len(server.server_state.connections))
    metrics.add_gauge("keys_age_seconds", lambda: keys.picture_age_seconds or 0.0)
    metrics.add_histogram("acknowledgement_seconds", publisher.acknowledgements)

    async def check_kafka() -> str | None:
        return None if publisher.is_ready else "no connection to the broker yet"

    async def check_keys() -> str | Degraded | None:
        if not keys.loaded:
            return "the API keys were not read yet"
        age_seconds = keys.picture_age_seconds
        if age_seconds is not None and age_seconds > KEYS_AGE_SECONDS_MAX:
            return Degraded(f"the database is away; the API keys are those of {age_seconds:.0f} s ago")
        return None

    async def check_serving() -> str | None:
        return "stopping" if server.should_exit else None

    health.add("kafka", check_kafka)
    health.add("keys", check_keys)
    health.add("serving", check_serving)
    log.info("listening", address=listener.getsockname())
    await server.serve(sockets=[listener])


def _config(settings: IngestSettings, app: object) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]  # a plain callable that returns an awaitable: ASGI 3 all the same
        interface="asgi3",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        backlog=BACKLOG_CONNECTIONS,
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=settings.stop_seconds_max - 2 - round(DRAIN_SECONDS),
    )


def _listener(settings: IngestSettings, fd: int | None) -> socket.socket:
    if fd is not None:
        return socket.socket(fileno=fd)
    listener = socket.socket(socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((settings.host, settings.port))
    return listener


def _raise_open_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS_MAX if hard == resource.RLIM_INFINITY else min(hard, CONNECTIONS_MAX)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ingest", description=__doc__)
    parser.add_argument("--fd", type=int, help="serve this inherited listening socket")
    parser.add_argument("--check", action="store_true", help="print the effective settings and exit")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
