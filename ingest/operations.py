"""What operators see of a running ingest beside its doors: the checks of `/readyz` and the gauges of `/metrics`."""

import math

from infra.health import Degraded, Health
from infra.key_ring import REFRESH_SECONDS, KeyRing
from ingest.metrics import Metrics
from ingest.server import Server
from ingest.settings import IngestSettings
from ingest.spool.publisher import SpoolingPublisher

KEYS_AGE_SECONDS_MAX = 5 * REFRESH_SECONDS
"""An older picture of the keys means that the database does not answer."""


def add_checks(health: Health, publisher: SpoolingPublisher, keys: KeyRing, server: Server) -> None:
    """Say whether events would be taken, and by what: degraded is what still takes them."""

    async def check_kafka() -> str | Degraded | None:
        spool = publisher.spool
        if not publisher.is_ready:
            return (
                "the broker is away and the spool is full" if publisher.is_away else "no connection to the broker yet"
            )
        if publisher.is_away:
            return Degraded(f"the broker is away; the spool has {spool.bytes:,} of {spool.bytes_max:,} bytes")
        if spool.segments:
            return Degraded(f"the broker is back; the spool still holds {spool.bytes:,} bytes")
        return None

    async def check_keys() -> str | Degraded | None:
        age_seconds = keys.picture_age_seconds
        if age_seconds is None:
            return "the API keys were not read yet"
        if age_seconds > KEYS_AGE_SECONDS_MAX:
            return Degraded(f"the database is away; the API keys are those of {age_seconds:.0f} s ago")
        return None

    async def check_serving() -> str | None:
        return "stopping" if server.should_exit else None

    health.add("kafka", check_kafka)
    health.add("keys", check_keys)
    health.add("serving", check_serving)


def add_gauges(
    metrics: Metrics, settings: IngestSettings, publisher: SpoolingPublisher, keys: KeyRing, server: Server
) -> None:
    """Show how full each queue is, and how old what."""
    spool, broker = publisher.spool, publisher.broker
    metrics.add_queue("in_flight", lambda: broker.in_flight_bytes + spool.pending_bytes, settings.in_flight_bytes_max)
    metrics.add_queue("spool", lambda: spool.bytes, spool.bytes_max)
    metrics.add_gauge("spool_segments", lambda: spool.segments)
    metrics.add_gauge("spool_oldest_age_seconds", lambda: spool.oldest_age_seconds)
    metrics.add_gauge("spool_refused_records", lambda: spool.refused)
    metrics.add_gauge("spool_cut_bytes", lambda: spool.cut_bytes)
    metrics.add_gauge("broker_away", lambda: publisher.is_away)
    metrics.add_gauge("connections", lambda: len(server.server_state.connections))
    metrics.add_gauge("keys_age_seconds", lambda: math.inf if (age := keys.picture_age_seconds) is None else age)
    metrics.add_histogram("acknowledgement_seconds", broker.acknowledgements)
