"""The replay commands: build the next generation beside the served one, compare, switch, go back, drop."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import asyncpg
import typer
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from infra.kafka import make_consumer
from infra.kafka_logs import Log, read_log
from infra.postgres import load_sql, make_pool
from infra.settings import KafkaSettings, PostgresSettings
from processors import generations
from processors.catch_up import CatchUp
from processors.errors import TROUBLE, ProcessorError, ReplayRefused, StoreAway
from processors.settings import ProcessorSettings
from processors.store import Store
from processors.streams import Stream, streams

POOL_CONNECTIONS_MAX = 6
RETRY_SECONDS = 1.0
STATUS_INTERVAL_SECONDS = 0.5
SWITCH_ATTEMPTS_MAX = 100


def add_replay_commands(command: typer.Typer) -> None:
    """Add `replay`, `replay-status`, `replay-rollback` and `replay-finish`."""

    @command.command("replay")
    def replay_command(
        begin_at: Annotated[
            datetime | None, typer.Option("--from", help="Broker time (UTC) from which the topics are read.")
        ] = None,
    ) -> None:
        """Build a new generation, or go on with it; serve it when it holds what the served one holds."""
        _run(lambda pool: _replay(pool, begin_at and begin_at.replace(tzinfo=UTC)))

    @command.command("replay-status")
    def status_command() -> None:
        """Show how far a replay is, until it is interrupted or handed over."""
        _run(_status)

    @command.command("replay-rollback")
    def rollback_command() -> None:
        """Serve the generation that stands by, and let the served one stand by."""
        _run(_rollback)

    @command.command("replay-finish")
    def finish_command() -> None:
        """Drop the generation that is not served."""
        _run(_finish)


def _run(work: Callable[[asyncpg.Pool], Awaitable[None]]) -> None:
    async def connected() -> None:
        # Comparing reads all of both generations: no limit of time fits.
        async with await make_pool(
            PostgresSettings().address(),
            application_name="pathline-replay",
            connections_max=POOL_CONNECTIONS_MAX,
            statement_timeout_ms=0,
            idle_in_transaction_timeout_ms=0,
            transaction_timeout_ms=0,
        ) as pool:
            await work(pool)

    try:
        asyncio.run(connected())
    except (ProcessorError, KafkaError, *TROUBLE) as fault:
        typer.echo(f"{type(fault).__name__}: {fault}", err=True)
        raise typer.Exit(1) from fault


async def _replay(pool: asyncpg.Pool, begin_at: datetime | None) -> None:
    kafka = KafkaSettings()
    consumed = streams(kafka, ProcessorSettings())
    async with pool.acquire() as connection:
        found = await generations.states(connection)
    if "standby" in found:
        raise ReplayRefused("two generations exist: run `make replay-finish` first")
    number = found.get("building")
    if number is None:
        logs = {stream.topic: await read_log(kafka.servers(), stream.topic) for stream in consumed}
        number = await _begin(pool, kafka.servers(), logs, begin_at)
    elif begin_at is not None:
        raise ReplayRefused(f"generation {number} is being built: go on without FROM, or run `make replay-finish`")
    typer.echo(f"generation {number}: catching up")
    watching = asyncio.create_task(_status(pool))
    await asyncio.gather(*(_catch_up(pool, kafka.servers(), stream, number) for stream in consumed))
    await watching
    comparison = await _compare(pool, found["served"], number)
    for table, columns in comparison.differences.items():
        for column, rows in columns.items():
            typer.echo(f"{table}.{column}: {rows} rows differ")
    if comparison.faults:
        raise ReplayRefused("not switched: " + "; ".join(comparison.faults))
    await _serve(pool, number)


async def _begin(pool: asyncpg.Pool, servers: str, logs: dict[str, Log], begin_at: datetime | None) -> int:
    consumer = make_consumer(servers, group_id=None, instance_id=None)
    firsts = {}
    try:
        await consumer.start()
        for topic, log in logs.items():
            partitions = [TopicPartition(topic, number) for number in log.partitions]
            beginnings = await consumer.beginning_offsets(partitions)
            claimed = {tp.partition: offset for tp, offset in beginnings.items()}
            owners = await Store(pool).claim(topic, claimed, log.log_id)
            firsts[topic] = claimed if begin_at is None else await _offsets_at(consumer, partitions, begin_at)
            # What the owner has not read yet is its to read; nothing may begin behind it.
            firsts[topic] = {number: min(offset, owners[number][0]) for number, offset in firsts[topic].items()}
    finally:
        await consumer.stop()
    try:
        code_version = version("pathline-server")
    except PackageNotFoundError:
        code_version = "source"
    log_ids = {topic: log.log_id for topic, log in logs.items()}
    async with pool.acquire() as connection:
        return await generations.begin(connection, firsts, log_ids, code_version, begin_at)


async def _offsets_at(consumer: AIOKafkaConsumer, partitions: list[TopicPartition], moment: datetime) -> dict[int, int]:
    times = {tp: int(moment.timestamp() * 1000) for tp in partitions}
    found = await consumer.offsets_for_times(times)
    ends = await consumer.end_offsets(partitions)
    return {tp.partition: ends[tp] if found[tp] is None else found[tp].offset for tp in partitions}


async def _catch_up(pool: asyncpg.Pool, servers: str, stream: Stream, number: int) -> None:
    """Catch up with one topic, whatever happens to Kafka and Postgres meanwhile."""
    while True:
        consumer = make_consumer(servers, group_id=None, instance_id=None)
        store, reader = stream.open(pool, number)
        try:
            await consumer.start()
            await CatchUp(consumer, pool, store, reader, stream.topic, number).run()
            return
        except (StoreAway, KafkaError, *TROUBLE) as fault:
            typer.echo(f"{stream.topic} waits: {type(fault).__name__}: {fault}", err=True)
            await asyncio.sleep(RETRY_SECONDS)
        finally:
            await consumer.stop()


async def _status(pool: asyncpg.Pool) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TextColumn("{task.fields[rate]}/s"), TimeRemainingColumn()) as progress:
        task = progress.add_task("records", total=None, rate="-")
        while rows := await pool.fetch(load_sql("processors", "read_replay")):
            total = sum(row["owner_offset"] - row["counted_from"] for row in rows)
            done = sum(row["next_offset"] - row["counted_from"] for row in rows)
            left = sum(not row["is_handed_over"] for row in rows)
            speed = progress.tasks[task].speed
            progress.update(
                task,
                completed=done,
                total=total,
                description=f"{left} of {len(rows)} partitions to catch up",
                rate="-" if speed is None else f"{speed:,.0f}",
            )
            if not left:
                return
            await asyncio.sleep(STATUS_INTERVAL_SECONDS)


async def _compare(pool: asyncpg.Pool, old: int, new: int) -> generations.Comparison:
    async with pool.acquire() as connection:
        return await generations.compare(connection, old, new)


async def _serve(pool: asyncpg.Pool, number: int) -> None:
    """Switch; a long query that holds a view is waited for in short attempts, so that it holds up nobody else."""
    for attempt in range(SWITCH_ATTEMPTS_MAX):
        try:
            async with pool.acquire() as connection:
                await generations.serve(connection, number)
            typer.echo(f"generation {number} is served; `make replay-rollback` goes back, `make replay-finish` ends it")
            return
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            await asyncio.sleep(min(0.05 * 2**attempt, RETRY_SECONDS))
    raise ReplayRefused("queries hold the views all the time: not switched, try again")


async def _rollback(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        found = await generations.states(connection)
    if "standby" not in found:
        raise ReplayRefused("no generation stands by")
    await _serve(pool, found["standby"])


async def _finish(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        found = await generations.states(connection)
        other = found.get("standby") or found.get("building")
        if other is None:
            raise ReplayRefused("there is one generation only")
        await generations.drop(connection, other)
    typer.echo(f"generation {other} is dropped")
