"""`python -m processors alerts …`."""

from typing import Annotated

import asyncpg
import typer
from rich.table import Table

from infra.console import BAD_INPUT, complain, console
from infra.postgres import load_sql
from infra.project_commands import run
from infra.projects import find_project

alerts = typer.Typer(no_args_is_help=True, help="What rules of projects have fired.")

STATES = ("pending", "delivered", "failed")


@alerts.callback()
def group() -> None:
    """Keep `list` a command although it is the only one."""


@alerts.command("list")
def show_list(
    project: Annotated[str | None, typer.Option("--project", help="Name of the project.")] = None,
    state: Annotated[
        list[str] | None, typer.Option("--state", help=f"One of {', '.join(STATES)}; may be repeated.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="Alerts at most.")] = 100,
) -> None:
    """List alerts, the latest first, and what became of them."""
    if wrong := [one for one in state or () if one not in STATES]:
        complain(f"--state {wrong[0]}: give one of {', '.join(STATES)}")
        raise typer.Exit(BAD_INPUT)

    async def read(connection: asyncpg.Connection) -> list[asyncpg.Record]:
        project_id = None if project is None else (await find_project(connection, project)).project_id
        return await connection.fetch(load_sql("processors", "list_alerts"), project_id, state, limit)

    rows = run(read)
    if not rows:
        console.print("no alert matches", highlight=False)
        return
    table = Table("fired", "project", "rule", "session", "state", "tries", "next try", "last error", "id")
    for row in rows:
        next_attempt = row["next_attempt_at"]
        table.add_row(
            f"{row['fired_at']:%F %T}",
            row["project"],
            row["rule"],
            row["session_id"],
            row["state"],
            str(row["attempts"]),
            "" if next_attempt is None else f"{next_attempt:%F %T}",
            row["last_error"] or "",
            str(row["alert_id"]),
        )
    console.print(table, markup=False)
