"""`python -m infra COMMAND`: what the Makefile calls. `--help` lists the commands."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, TypeVar

import asyncpg
import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from infra.local import background, scaling, stack
from infra.local.errors import LocalEngineError
from infra.migrate import MigrationError, migrate
from infra.projects import create_key, ensure_project, list_keys
from infra.settings import KafkaSettings, LocalSettings, PostgresSettings
from infra.telemetry import configure_logging
from infra.topics import ensure_topics

command = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
keys = typer.Typer(no_args_is_help=True, help="API keys of a project.")
command.add_typer(keys, name="keys")

console = Console(soft_wrap=True)

Answer = TypeVar("Answer")


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End with exit code 1 and one line a fault, for every fault that a person can remedy."""
    try:
        yield
    except ValidationError as exc:
        for fault in exc.errors():
            name = ".".join(str(part) for part in fault["loc"])
            Console(stderr=True).print(f"{name}: {fault['msg']}", style="red", markup=False)
        raise typer.Exit(1) from exc
    except (LocalEngineError, MigrationError, OSError, asyncpg.PostgresError) as exc:
        Console(stderr=True, soft_wrap=True).print(f"{exc}", style="red", markup=False, highlight=False)
        raise typer.Exit(1) from exc


def read_settings() -> stack.Settings:
    """The environment, read once a command."""
    return stack.Settings(LocalSettings(), KafkaSettings(), PostgresSettings())


@command.command()
def run() -> None:
    """Run everything in the foreground; Ctrl-C stops it."""
    configure_logging("infra", logging.WARNING)
    with one_line_errors():
        stack.run(read_settings(), console)


@command.command()
def up() -> None:
    """Run everything in the background; a no-op when it runs."""
    with one_line_errors():
        if not background.up(read_settings()):
            console.print("runs already")


@command.command()
def down() -> None:
    """Stop what runs in the background or in another terminal."""
    with one_line_errors():
        console.print("stopped" if background.down(read_settings()) else "nothing runs here")


@command.command()
def status() -> None:
    """Show every process; exit code 1 when one is down or not ready."""
    table = Table("process", "slot", "pid", "port", "state")
    with one_line_errors():
        lines = background.status(read_settings())
    for line in lines:
        style = "green" if line.well else "red"
        pid, port = line.pid or "", line.port or ""
        table.add_row(line.name, str(line.slot), str(pid), str(port), f"[{style}]{line.state}[/]")
    console.print(table)
    raise typer.Exit(0 if all(line.well for line in lines) else 1)


@command.command()
def logs() -> None:
    """Follow the logs of all processes."""
    with one_line_errors():
        files = sorted(str(path) for path in LocalSettings().logs.glob("*.log"))
        if not files:
            raise LocalEngineError("there are no logs yet: `make up` starts everything")
        os.execvp("tail", ["tail", "-n", "20", "-F", *files])  # noqa: S606, S607 - the tail of this system


@command.command()
def scale(service: str, count: int) -> None:
    """Have COUNT copies of ingest or processors run."""
    with one_line_errors():
        scaling.scale(LocalSettings().home, service, count)
        console.print(f"{count} of {service}")


@command.command("migrate")
def migrate_command() -> None:
    """Apply the pending migrations."""
    with one_line_errors():
        for name in asyncio.run(migrate(PostgresSettings().address())):
            console.print(f"{name} applied")


@command.command()
def topics() -> None:
    """Create the missing topics."""
    with one_line_errors():
        kafka = KafkaSettings()
        for name in asyncio.run(ensure_topics(kafka.servers(), kafka)):
            console.print(f"{name} created")


@keys.command("create")
def keys_create(
    name: str,
    project: Annotated[str, typer.Option(help="Name of the project; made if missing.")] = "default",
    write_only: Annotated[bool, typer.Option(help="A public key, which may log and not read.")] = False,
) -> None:
    """Make a key and print it, once."""

    async def create(connection: asyncpg.Connection) -> str:
        project_id = await ensure_project(connection, project)
        return await create_key(connection, project_id, name, can_read=not write_only)

    with one_line_errors():
        console.print(asyncio.run(_connected(create)), highlight=False)


@keys.command("list")
def keys_list(
    project: Annotated[str, typer.Option(help="Name of the project; made if missing.")] = "default",
) -> None:
    """List the keys of a project by what they may do; the keys themselves are nowhere."""

    async def read(connection: asyncpg.Connection) -> Table:
        table = Table("name", "may", "made", "revoked", "hash")
        for key in await list_keys(connection, await ensure_project(connection, project)):
            may = "read, write" if key.can_read else "write"
            table.add_row(key.name, may, f"{key.created_at:%F %T}", f"{key.revoked_at or ''}", key.key_hash[:12])
        return table

    with one_line_errors():
        console.print(asyncio.run(_connected(read)))


async def _connected(work: Callable[[asyncpg.Connection], Awaitable[Answer]]) -> Answer:
    connection = await asyncpg.connect(PostgresSettings().address())
    try:
        return await work(connection)
    finally:
        await connection.close()


if __name__ == "__main__":
    command()
