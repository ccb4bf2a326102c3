"""The doors against what the same machine does without them: an empty handler, and a bare producer."""

from infra.topics import EVENTS, SPANS
from tests.benchmarks.bare_producer import ProducerJob
from tests.benchmarks.figures import Ceiling, Figure
from tests.benchmarks.ground import Ground
from tests.benchmarks.load import LoadJob
from tests.benchmarks.plan import Plan, Reporter, alternate

EVENT_BYTES = 1024
SINGLE_CONNECTIONS = 256
SINGLE_FLOOR = 0.50
ACCEPTED_ONE = '"accepted":1,'
P99_CONNECTIONS = 64
P99_LIMIT = 4.0
BATCH_EVENTS = 100
BATCH_CONNECTIONS = 8
"""Also the batches that the bare producer has in flight."""
BATCH_FLOOR = 0.35
OTLP_FLOOR = 0.5


async def http_single(ground: Ground, plan: Plan, reporter: Reporter) -> list[Figure]:
    """Requests per second with one event each, from many connections, beside an empty Starlette handler."""
    async with ground.empty_handler() as empty_port, ground.service("ingest", "INGEST_PORT") as (port, _):

        def job(at: int, expected: str) -> LoadJob:
            return LoadJob(
                port=at,
                key=ground.key,
                connections=SINGLE_CONNECTIONS,
                event_bytes=EVENT_BYTES,
                seconds=plan.http_seconds,
                warm_up_seconds=plan.warm_up_seconds,
                expected=expected,
            )

        async def ceiling() -> float:
            return (await ground.load(job(empty_port, ""))).requests_per_second

        async def ours() -> float:
            rate = (await ground.load(job(port, ACCEPTED_ONE))).requests_per_second
            await ground.empty_topic(EVENTS)
            return rate

        ceiling_runs, our_runs = await alternate(plan, reporter, ceiling, ours)
    return [
        Figure(
            name="http_single",
            title="One event a request, 256 connections, 1 KB events",
            unit="requests/s",
            runs=our_runs,
            ceiling=Ceiling("an empty Starlette handler on the same server", ceiling_runs),
            floor=SINGLE_FLOOR,
            details={"connections": SINGLE_CONNECTIONS, "event_bytes": EVENT_BYTES},
        )
    ]


async def http_p99(ground: Ground, plan: Plan, reporter: Reporter) -> list[Figure]:
    """99th percentile of a single event's answer at half of ingest's best rate, beside an empty handler's."""
    async with ground.empty_handler() as empty_port, ground.service("ingest", "INGEST_PORT") as (port, _):

        def job(at: int, expected: str, rate: float | None) -> LoadJob:
            return LoadJob(
                port=at,
                key=ground.key,
                connections=P99_CONNECTIONS,
                event_bytes=EVENT_BYTES,
                seconds=plan.http_seconds,
                warm_up_seconds=plan.warm_up_seconds,
                events_per_second_max=rate,
                expected=expected,
            )

        rate = (await ground.load(job(port, ACCEPTED_ONE, None))).requests_per_second / 2

        async def ceiling() -> float:
            return (await ground.load(job(empty_port, "", rate))).p99_seconds * 1000

        async def ours() -> float:
            p99_seconds = (await ground.load(job(port, ACCEPTED_ONE, rate))).p99_seconds
            await ground.empty_topic(EVENTS)
            return p99_seconds * 1000

        ceiling_runs, our_runs = await alternate(plan, reporter, ceiling, ours)
    return [
        Figure(
            name="http_p99",
            title="One event a request at half load, 99th percentile",
            unit="ms",
            runs=our_runs,
            ceiling=Ceiling("an empty Starlette handler at the same rate", ceiling_runs),
            limit=P99_LIMIT,
            details={"connections": P99_CONNECTIONS, "event_bytes": EVENT_BYTES, "requests_per_second": rate},
        )
    ]


async def http_batch_100(ground: Ground, plan: Plan, reporter: Reporter) -> list[Figure]:
    """Events per second in arrays of 100, beside a bare producer of the same events to the same topic."""
    async with ground.service("ingest", "INGEST_PORT") as (port, _):
        load = LoadJob(
            port=port,
            key=ground.key,
            connections=BATCH_CONNECTIONS,
            event_bytes=EVENT_BYTES,
            events_per_request=BATCH_EVENTS,
            seconds=plan.http_seconds,
            warm_up_seconds=plan.warm_up_seconds,
            expected=f'"accepted":{BATCH_EVENTS},',
        )
        bare = ProducerJob(
            servers=ground.servers,
            topic=EVENTS.name,
            partitions=EVENTS.partitions,
            batches_in_flight=BATCH_CONNECTIONS,
            events_per_batch=BATCH_EVENTS,
            event_bytes=EVENT_BYTES,
            seconds=plan.http_seconds,
            warm_up_seconds=plan.warm_up_seconds,
        )

        async def ceiling() -> float:
            rate = (await ground.produce(bare)).events_per_second
            await ground.empty_topic(EVENTS)
            return rate

        async def ours() -> float:
            rate = (await ground.load(load)).events_per_second
            await ground.empty_topic(EVENTS)
            return rate

        ceiling_runs, our_runs = await alternate(plan, reporter, ceiling, ours)
    return [
        Figure(
            name="http_batch_100",
            title="Arrays of 100 events, 8 connections, 1 KB events",
            unit="events/s",
            runs=our_runs,
            ceiling=Ceiling("a bare aiokafka loop of send_batch", ceiling_runs),
            floor=BATCH_FLOOR,
            details={"connections": BATCH_CONNECTIONS, "event_bytes": EVENT_BYTES, "events_per_request": BATCH_EVENTS},
        )
    ]


async def http_otlp_100(ground: Ground, plan: Plan, reporter: Reporter) -> list[Figure]:
    """Spans per second in protobuf exports of 100, beside native events in arrays of 100."""
    async with ground.service("ingest", "INGEST_PORT") as (port, _):

        async def rate(is_otlp: bool) -> float:
            job = LoadJob(
                port=port,
                key=ground.key,
                connections=BATCH_CONNECTIONS,
                event_bytes=EVENT_BYTES,
                events_per_request=BATCH_EVENTS,
                seconds=plan.http_seconds,
                warm_up_seconds=plan.warm_up_seconds,
                # An export that is taken whole is answered with an empty body.
                expected="content-length: 0\r\n" if is_otlp else f'"accepted":{BATCH_EVENTS},',
                is_otlp=is_otlp,
            )
            found = (await ground.load(job)).events_per_second
            await ground.empty_topic(SPANS if is_otlp else EVENTS)
            return found

        native_runs, otlp_runs = await alternate(plan, reporter, lambda: rate(False), lambda: rate(True))
    return [
        Figure(
            name="http_otlp_100",
            title="OTLP protobuf exports of 100 spans, 8 connections, 20 attributes a span",
            unit="spans/s",
            runs=otlp_runs,
            ceiling=Ceiling("our own native door, arrays of 100 events of 1 KB", native_runs),
            floor=OTLP_FLOOR,
            details={"connections": BATCH_CONNECTIONS, "spans_per_request": BATCH_EVENTS},
        )
    ]
