"""`python -m processors`: run one worker; its commands decide what a worker must not decide by itself."""

import asyncio
from typing import Annotated

import asyncpg
import typer
from rich.table import Table

from infra.console import console
from infra.kafka import make_consumer
from infra.kafka_groups import remove_members
from infra.kafka_logs import read_log
from infra.postgres import load_sql, make_pool
from infra.settings import KafkaSettings, LocalSettings, PostgresSettings
from infra.telemetry import configure_logging
from processors.accept_gap import accept_gap
from processors.alert_commands import alerts
from processors.dead_letter_commands import dead_letters, resume
from processors.lag import Line, read_lag
from processors.replay import add_replay_commands
from processors.settings import ProcessorSettings, hot_instance_id, leader_instance_id
from processors.store import Store
from processors.streams import streams

command = typer.Typer(add_completion=False, no_args_is_help=False, pretty_exceptions_enable=False)
command.add_typer(dead_letters, name="dead-letters")
command.add_typer(alerts, name="alerts")
command.command("resume")(resume)
add_replay_commands(command)


@command.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    check: Annotated[bool, typer.Option(help="Print the effective settings and exit.")] = False,
) -> None:
    """Run one worker until it is told to stop."""
    if context.invoked_subcommand is not None:
        return
    settings = ProcessorSettings()
    if check:
        typer.echo(settings.model_dump_json(indent=2))
        return
    # Faust takes a second to import; the commands below do without it.
    from processors.app import leader_jobs, make_worker

    configure_logging("processors")
    local, kafka = LocalSettings(), KafkaSettings()
    worker = make_worker(
        kafka.servers(local),
        streams(kafka, settings),
        leader_jobs(settings),
        PostgresSettings().address(local),
        settings,
        data_folder=local.home / "faust" / settings.instance,
    )
    worker.execute_from_commandline()


@command.command("accept-gap")
def accept_gap_command() -> None:
    """Let stopped partitions go on from the beginning of what the log still holds."""
    for topic, moved in asyncio.run(_accept_gap()).items():
        for partition, (stored, now) in sorted(moved.items()):
            typer.echo(f"{topic} partition {partition}: from {stored} to {now}")
    typer.echo("Every other partition is fine. Restart the workers: `make scale-processors N=…` or `make down up`.")


@command.command("unpriced")
def unpriced_command(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Models at most.")] = 100,
) -> None:
    """List the models that were used and that the price table does not know."""
    table = Table("project", "provider", "model", "requests", "last used")
    for row in asyncio.run(_unpriced(limit)):
        last_used = f"{row['last_used_at']:%Y-%m-%d %H:%M:%S}Z"
        table.add_row(str(row["project_id"]), row["provider"], row["model"], str(row["request_count"]), last_used)
    console.print(table)


async def _unpriced(limit: int) -> list[asyncpg.Record]:
    pool = await make_pool(
        PostgresSettings().address(), application_name="unpriced", connections_max=1, statement_timeout_ms=60_000
    )
    try:
        return list(await pool.fetch(load_sql("processors", "list_unpriced"), limit))
    finally:
        await pool.close()


async def _accept_gap() -> dict[str, dict[int, tuple[int, int]]]:
    kafka = KafkaSettings()
    servers = kafka.servers()
    pool = await make_pool(
        PostgresSettings().address(), application_name="accept-gap", connections_max=1, statement_timeout_ms=10_000
    )
    consumer = make_consumer(servers, group_id=None, instance_id=None)
    try:
        await consumer.start()
        topics = (kafka.events_topic, kafka.spans_topic)
        logs = {topic: await read_log(servers, topic) for topic in topics}
        return {topic: await accept_gap(consumer, Store(pool), topic, log) for topic, log in logs.items()}
    finally:
        await consumer.stop()
        await pool.close()


@command.command("lag")
def lag_command() -> None:
    """Show how far behind each partition is, and which worker has it."""
    table = Table("topic", "partition", "generation", "worker", "stored", "end", "lag", "seconds behind")
    lines = asyncio.run(_lag())
    for line in lines:
        behind = "unknown" if line.seconds_behind is None else f"{line.seconds_behind:.1f}"
        numbers = (line.partition, line.generation, line.owner or "", line.stored_offset, line.end_offset, line.lag)
        table.add_row(line.topic, *map(str, numbers), behind, style="yellow" if line.lag else None)
    console.print(table if lines else "nothing was folded yet")


async def _lag() -> list[Line]:
    kafka, settings = KafkaSettings(), ProcessorSettings()
    connection = await asyncpg.connect(PostgresSettings().address(), timeout=10)
    try:
        groups = {kafka.events_topic: settings.group_id, kafka.spans_topic: settings.spans_group_id}
        return await read_lag(kafka.servers(), connection, groups)
    finally:
        await connection.close()


@command.command("leave")
def leave_command(instances: list[str]) -> None:
    """Say that the workers of these INSTANCES are gone for good: others take their partitions at once.

    Without it a worker's partitions stay its own until its session times out (10 s), so that a restart moves nothing.
    """
    asyncio.run(_leave(instances))


async def _leave(instances: list[str]) -> None:
    servers, settings = KafkaSettings().servers(), ProcessorSettings()
    hot = [hot_instance_id(instance) for instance in instances]
    leaders = [leader_instance_id(instance) for instance in instances]
    groups = ((settings.group_id, hot), (settings.spans_group_id, hot), (settings.leader_group_id, leaders))
    await asyncio.gather(*(remove_members(servers, group_id, members) for group_id, members in groups))


if __name__ == "__main__":
    command()
