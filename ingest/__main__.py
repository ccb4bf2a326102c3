"""`python -m ingest`: serve ingest, on a socket of its own or on one inherited from a supervisor."""

import argparse
import asyncio
import gc
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import structlog
import uvloop
from pydantic import ValidationError
from starlette.applications import Starlette

from infra.health import Health
from infra.key_ring import KeyRing
from infra.key_snapshot import snapshot_file
from infra.settings import KafkaSettings, LocalSettings, PostgresSettings
from infra.telemetry import configure_logging
from infra.topics import EVENTS, SPANS
from ingest.app import create_app
from ingest.connections import SilentConnections
from ingest.metrics import Metrics
from ingest.operations import add_checks, add_gauges
from ingest.publisher import KafkaPublisher
from ingest.server import Server, open_listener, raise_open_files, server_config
from ingest.settings import IngestSettings
from ingest.spool.folder import Folder
from ingest.spool.publisher import SpoolingPublisher
from ingest.spool.spool import Spool

log = structlog.get_logger()


def main() -> int:
    """Read the settings, then serve until a signal says stop."""
    arguments = _parse_arguments()
    configure_logging("ingest")
    try:
        settings = IngestSettings()
        kafka = KafkaSettings()
        local = LocalSettings()
        dsn = PostgresSettings().address(local)
        spool_root = settings.spool or local.home / "spool"
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
    listener = open_listener(settings, arguments.fd)
    raise_open_files()
    # A request makes few cycles and many short-lived objects: the default thresholds cost a tenth of the work.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        keys = KeyRing(dsn, application_name="pathline-ingest", snapshot=snapshot_file(local.home, dsn))
        runner.run(_serve(settings, _publisher(settings, kafka, folder), keys, listener))
    return 0


async def _serve(
    settings: IngestSettings, publisher: SpoolingPublisher, keys: KeyRing, listener: socket.socket
) -> None:

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
    app = create_app(settings, publisher, keys, health, metrics, lifespan)
    server = Server(server_config(settings, app), silent)
    add_checks(health, publisher, keys, server)
    add_gauges(metrics, settings, publisher, keys, server)
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


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ingest", description=__doc__)
    parser.add_argument("--fd", type=int, help="serve this inherited listening socket")
    parser.add_argument("--check", action="store_true", help="print the effective settings and exit")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
