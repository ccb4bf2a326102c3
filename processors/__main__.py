"""`python -m processors`: run one worker. `python -m processors accept-gap`: let stopped partitions go on."""

import asyncio
from typing import Annotated

import typer

from infra.kafka import make_consumer
from infra.postgres import make_pool
from infra.settings import KafkaSettings, LocalSettings, PostgresSettings
from infra.telemetry import configure_logging
from processors.accept_gap import accept_gap
from processors.replay import add_replay_commands
from processors.settings import ProcessorSettings
from processors.store import Store
from processors.streams import read_cluster_id, streams

command = typer.Typer(add_completion=False, no_args_is_help=False, pretty_exceptions_enable=False)
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
    from processors.app import make_worker

    configure_logging("processors")
    local, kafka = LocalSettings(), KafkaSettings()
    worker = make_worker(
        kafka.servers(local),
        streams(kafka, settings),
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


async def _accept_gap() -> dict[str, dict[int, tuple[int, int]]]:
    kafka = KafkaSettings()
    servers = kafka.servers()
    pool = await make_pool(
        PostgresSettings().address(), application_name="accept-gap", connections_max=1, statement_timeout_ms=10_000
    )
    consumer = make_consumer(servers, group_id=None, instance_id=None)
    try:
        await consumer.start()
        cluster_id = await read_cluster_id(servers)
        topics = (kafka.events_topic, kafka.spans_topic)
        return {topic: await accept_gap(consumer, Store(pool), topic, cluster_id) for topic in topics}
    finally:
        await consumer.stop()
        await pool.close()


if __name__ == "__main__":
    command()
