"""The whole path on this machine: HTTP in batches to committed roll-ups, what it costs, and how soon it is seen."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import asyncpg

from infra.topics import EVENTS
from tests.benchmarks.cpu import cpu_seconds, spent_between
from tests.benchmarks.drain import EVENT_BYTES, drain, stored_offsets, until_offsets
from tests.benchmarks.figures import Figure, quantile
from tests.benchmarks.ground import Ground
from tests.benchmarks.load import LoadJob, LoadResult
from tests.benchmarks.plan import Plan, Reporter
from tests.benchmarks.probe import Probe

BATCH_EVENTS = 100
CONNECTIONS = 4
SHARE_OF_DRAIN_RATE = 0.5
COMMIT_SECONDS_MAX = 60.0
STAGES = ("ingest", "kafka", "processors", "postgres")


@dataclass
class Run:
    """What one run gave; times to visible without load and under load."""

    events_per_second: float
    cpu_us: dict[str, float]
    """Per event, by stage."""
    idle_seconds: list[float]
    loaded_seconds: list[float] = field(default_factory=list)


@dataclass
class Path:
    """All stages at work, seen from outside: ports, processes, and what is committed."""

    ground: Ground
    plan: Plan
    rate: float
    connection: asyncpg.Connection
    ingest_port: int
    query_port: int
    pids: dict[str, int]

    async def run(self) -> Run:
        """Probes alone, the load alone, then both at once."""
        # The session query takes longer the more is stored: without this each run would measure another store.
        await self.ground.empty_events(self.connection)
        idle = await asyncio.to_thread(self._probe, self.plan.probes)
        rate, cpu_us = await self._measure_load()
        return Run(rate, cpu_us, idle, await self._probe_under_load())

    async def _measure_load(self) -> tuple[float, dict[str, float]]:
        """Events per second from the first request to the last commit, and the CPU of each stage per event."""
        before = {stage: cpu_seconds(self.pids[stage]) for stage in STAGES}
        committed_before = await self._committed()
        result = await self._load()
        async with asyncio.timeout(COMMIT_SECONDS_MAX):
            target = committed_before + result.events_total
            await until_offsets(self.connection, EVENTS, partitions=EVENTS.partitions, offset_sum=target)
        seconds = time.time() - result.began_at
        spent = {stage: spent_between(before[stage], cpu_seconds(self.pids[stage])) for stage in STAGES}
        events = result.events_total
        return events / seconds, {stage: value * 1e6 / events for stage, value in spent.items()}

    async def _probe_under_load(self) -> list[float]:
        committed_before = await self._committed()
        load = asyncio.create_task(self._load())
        try:
            # Not before the load has reached the tables.
            async with asyncio.timeout(COMMIT_SECONDS_MAX):
                await until_offsets(self.connection, EVENTS, partitions=1, offset_sum=committed_before + 1)
            seen: list[float] = []
            while len(seen) < self.plan.probes and not load.done():
                seen += await asyncio.to_thread(self._probe, 1)
        finally:
            result = await load
        async with asyncio.timeout(COMMIT_SECONDS_MAX):
            target = committed_before + result.events_total + len(seen)
            await until_offsets(self.connection, EVENTS, partitions=EVENTS.partitions, offset_sum=target)
        return seen

    async def _load(self) -> LoadResult:
        job = LoadJob(
            port=self.ingest_port,
            key=self.ground.key,
            connections=CONNECTIONS,
            event_bytes=EVENT_BYTES,
            events_per_request=BATCH_EVENTS,
            events_per_second_max=self.rate,
            seconds=self.plan.load_seconds,
            warm_up_seconds=0.0,
            expected=f'"accepted":{BATCH_EVENTS},',
        )
        return await self.ground.load(job)

    def _probe(self, count: int) -> list[float]:
        with Probe(ingest_port=self.ingest_port, query_port=self.query_port, key=self.ground.key) as probe:
            return [probe.seconds_to_visible() for _ in range(count)]

    async def _committed(self) -> int:
        _, committed = await stored_offsets(self.connection, EVENTS)
        return committed


async def end_to_end(
    ground: Ground, plan: Plan, reporter: Reporter, *, drain_rate: float | None = None
) -> list[Figure]:
    """Rate, CPU per event and stage, and times to visible, at half the rate at which a worker drains a backlog."""
    if drain_rate is None:
        (drained,) = await drain(ground, replace(plan, runs=1), reporter)
        drain_rate = drained.median
    rate = drain_rate * SHARE_OF_DRAIN_RATE
    runs = []
    async with _path(ground, plan, rate) as path:
        for number in range(plan.runs + 1):
            run = await path.run()
            runs.append(run)
            reporter.run(
                number,
                events_per_second=run.events_per_second,
                cpu_us=sum(run.cpu_us.values()),
                idle_p50_ms=quantile(run.idle_seconds, 0.5) * 1000,
                loaded_p50_ms=quantile(run.loaded_seconds, 0.5) * 1000,
            )
    return _figures(runs[1:], rate)


@asynccontextmanager
async def _path(ground: Ground, plan: Plan, rate: float) -> AsyncIterator[Path]:
    connection = await asyncpg.connect(ground.dsn)
    try:
        await ground.empty_tables(connection)
        await ground.empty_topic(EVENTS)
        async with (
            ground.service("ingest", "INGEST_PORT") as (ingest_port, ingest),
            ground.service("query", "QUERY_PORT") as (query_port, _),
            ground.stage("processors") as processors,
        ):
            async with asyncio.timeout(COMMIT_SECONDS_MAX):
                await until_offsets(connection, EVENTS, partitions=EVENTS.partitions, offset_sum=0)
            pids = {
                "ingest": ingest.pid,
                "kafka": ground.kafka.pid,
                "processors": processors.pid,
                "postgres": ground.postgres.pid,
            }
            yield Path(ground, plan, rate, connection, ingest_port, query_port, pids)
    finally:
        await connection.close()


def _figures(runs: list[Run], rate: float) -> list[Figure]:
    details = {"event_bytes": EVENT_BYTES, "events_per_request": BATCH_EVENTS, "offered_events_per_second": rate}
    sustained = Figure(
        name="end_to_end",
        title="HTTP in batches to committed roll-ups, at half the drain rate",
        unit="events/s",
        runs=tuple(run.events_per_second for run in runs),
        details=details,
    )
    cpu = [
        Figure(
            name=f"cpu_per_event.{stage}",
            title=f"CPU of {stage} per event at that rate",
            unit="µs/event",
            runs=tuple(run.cpu_us[stage] for run in runs),
            details=details,
        )
        for stage in STAGES
    ]
    visible = [
        Figure(
            name=f"visible_{when}.p{percent}",
            title=f"From 2xx to the session query, {label}, p{percent}",
            unit="ms",
            runs=tuple(quantile(seconds, percent / 100) * 1000 for seconds in samples),
            details={"probes": sum(map(len, samples))} | ({} if when == "idle" else details),
        )
        for when, label, samples in (
            ("idle", "no other load", [run.idle_seconds for run in runs]),
            ("loaded", "under that load", [run.loaded_seconds for run in runs]),
        )
        for percent in (50, 95)
    ]
    return [sustained, *cpu, *visible]
