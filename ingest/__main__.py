"""`python -m ingest`: serve ingest, on a socket of its own or on one inherited from a supervisor."""

import argparse
import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from types import FrameType

import structlog
import uvicorn
import uvloop
from pydantic import ValidationError
from starlette.applications import Starlette

from infra.health import Health
from infra.projects import KeyRing
from infra.settings import KafkaSettings, LocalSettings, PostgresSettings
from infra.telemetry import configure_logging
from infra.topics import EVENTS, SPANS
from ingest.app import create_app
from ingest.publisher import KafkaPublisher
from ingest.settings import IngestSettings
from ingest.spool.folder import Folder
from ingest.spool.publisher import SpoolingPublisher
from ingest.spool.spool import Spool

log = structlog.get_logger()

BACKLOG_CONNECTIONS = 2048
"""Connections that wait to be accepted while the loop is busy."""


class Server(uvicorn.Server):
    """uvicorn that ends with exit code 0 after a stop, and at once after a second signal."""

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
        dsn = PostgresSettings().address()
        spool_root = settings.spool or LocalSettings().home / "spool"
    except (ValidationError, FileNotFoundError) as fault:
        sys.stderr.write(f"ingest cannot start: {fault}\n")
        return 2
    if arguments.check:
        for name, value in {**settings.model_dump(), "kafka": kafka.servers(), "spool": spool_root}.items():
            sys.stdout.write(f"{name} = {value}\n")
        return 0
    try:
        folder = Folder.create(spool_root)
    except OSError as fault:
        sys.stderr.write(f"ingest cannot start: the spool cannot be written: {fault}\n")
        return 2
    listener = _listener(settings, arguments.fd)
    # A request makes few cycles and many short-lived objects: the default thresholds cost a tenth of the work.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, kafka, dsn, listener, folder))
    return 0


async def _serve(
    settings: IngestSettings, kafka: KafkaSettings, dsn: str, listener: socket.socket, folder: Folder
) -> None:
    publisher = _publisher(settings, kafka, folder)
    keys = KeyRing(dsn, application_name="pathline-ingest")

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await publisher.start()
        await keys.start()
        try:
            yield
        finally:
            await publisher.stop()
            await keys.stop()

    health = Health()
    server = Server(_config(settings, create_app(settings, publisher, keys, health, lifespan)))

    async def check_kafka() -> str | None:
        if publisher.is_ready:
            return None
        return "the broker is away and the spool is full" if publisher.is_away else "no connection to the broker yet"

    async def check_keys() -> str | None:
        return None if keys.loaded else "the API keys were not read yet"

    async def check_serving() -> str | None:
        return "stopping" if server.should_exit else None

    health.add("kafka", check_kafka)
    health.add("keys", check_keys)
    health.add("serving", check_serving)
    log.info("listening", address=listener.getsockname())
    await server.serve(sockets=[listener])


def _publisher(settings: IngestSettings, kafka: KafkaSettings, folder: Folder) -> SpoolingPublisher:
    broker = KafkaPublisher(
        kafka.servers(),
        {
            EVENTS.name: replace(EVENTS, name=kafka.events_topic),
            SPANS.name: replace(SPANS, name=kafka.spans_topic),
        },
        in_flight_bytes_max=settings.in_flight_bytes_max,
        batch_bytes_max=settings.batch_bytes_max,
        ack_timeout_seconds=settings.ack_timeout_seconds,
    )
    spool = Spool(folder, bytes_max=settings.spool_bytes_max, segment_bytes_max=settings.spool_segment_bytes_max)
    return SpoolingPublisher(broker, spool, in_flight_bytes_max=settings.in_flight_bytes_max)


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
        timeout_graceful_shutdown=settings.stop_seconds_max - 2,
    )


def _listener(settings: IngestSettings, fd: int | None) -> socket.socket:
    if fd is not None:
        return socket.socket(fileno=fd)
    listener = socket.socket(socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((settings.host, settings.port))
    return listener


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ingest", description=__doc__)
    parser.add_argument("--fd", type=int, help="serve this inherited listening socket")
    parser.add_argument("--check", action="store_true", help="print the effective settings and exit")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
