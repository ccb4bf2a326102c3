"""Generations: full sets of derived tables, each in a Postgres schema of its own. One is served, through views.

What is derived in them is the processors' business; here they are made, migrated and taken down.
"""

from importlib.resources import files

import asyncpg

from infra.postgres import load_sql

Connection = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy


async def enter_generation(connection: Connection, number: int) -> None:
    """Let the rest of the transaction read and write the derived tables of one generation."""
    await connection.execute(load_sql("infra", "enter_generation"), f"generation_{number}, public")


async def make_tables(connection: Connection, number: int) -> None:
    """Create the schema and the empty tables of a generation that is in `generations`, with every day that is stored.

    To be called in a transaction, which then is in that generation.
    """
    await connection.execute(f"CREATE SCHEMA generation_{number}")
    await enter_generation(connection, number)
    await connection.execute(files("infra").joinpath("schema", "generation.sql").read_text(encoding="utf-8"))
    await connection.execute(load_sql("infra", "ensure_stored_days"))


async def migrate_each(connection: Connection, statements: str) -> None:
    """Run a migration of derived tables in every generation, in the caller's transaction; make the views anew."""
    rows = await connection.fetch(load_sql("infra", "list_generations"))
    await connection.execute(load_sql("infra", "hide_generation"))
    for row in rows:
        await enter_generation(connection, row["number"])
        await connection.execute(statements)
    await connection.execute(load_sql("infra", "show_generation"))
