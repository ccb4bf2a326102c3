"""`python -m infra COMMAND`: what the Makefile calls. `--help` lists the commands."""

import asyncio
import logging
import os

import typer
from rich.table import Table

from infra.console import console, one_line_errors
from infra.local import background, scaling, stack
from infra.local.errors import LocalEngineError
from infra.migrate import migrate
from infra.project_commands import keys, projects
from infra.settings import KafkaSettings, LocalSettings, PostgresSettings
from infra.telemetry import configure_logging
from infra.topics import ensure_topics

command = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
command.add_typer(projects, name="projects")
command.add_typer(keys, name="keys")


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


@command.command("rolling-restart")
def rolling_restart_command() -> None:
    """Start every stage's processes anew, one after the other, while the others serve."""
    with one_line_errors():
        console.print(f"{scaling.rolling_restart(LocalSettings().home)} processes are new")


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


if __name__ == "__main__":
    command()
