"""What a person asks about dead letters and wants of them. Only the wanted state is set; the workers do the work."""

from dataclasses import astuple, dataclass
from datetime import datetime

import asyncpg

from infra.postgres import load_sql


@dataclass(frozen=True)
class Filter:
    """Which dead letters; None for any. In the order of the parameters of `list_dead_letters.sql`."""

    topic: str | None = None
    partition: int | None = None
    first_offset: int | None = None
    last_offset: int | None = None
    step: str | None = None
    reason: str | None = None
    states: tuple[str, ...] | None = None
    project_id: str | None = None
    """In digits, as it stands in a record. Letters without a readable one match none."""
    since: datetime | None = None
    until: datetime | None = None
    """Failed from one to before the other."""
    generation: int | None = None


@dataclass(frozen=True)
class Wanted:
    """What setting a wanted state did."""

    matched: int
    """Records that match the filter."""
    taken: int
    """Of them those within the limit."""
    changed: int
    """Letters of these records, one in each generation, that had another state."""


async def list_dead_letters(connection: asyncpg.Connection, which: Filter, rows_max: int) -> list[asyncpg.Record]:
    """The first letters in the log that match; each says how many match in all."""
    rows: list[asyncpg.Record] = await connection.fetch(
        load_sql("processors", "list_dead_letters"), *astuple(which), rows_max
    )
    return rows


async def load_dead_letter(
    connection: asyncpg.Connection, topic: str, partition: int, offset: int
) -> list[asyncpg.Record]:
    """One letter as each generation has it."""
    rows: list[asyncpg.Record] = await connection.fetch(
        load_sql("processors", "load_dead_letter"), topic, partition, offset
    )
    return rows


async def set_wanted_state(
    connection: asyncpg.Connection, which: Filter, state: str, records_max: int | None
) -> Wanted:
    """Ask for `requeue` or `drop` of the first records that match, None for all; what is done stays done."""
    (row,) = await connection.fetch(load_sql("processors", "set_wanted_state"), *astuple(which), records_max, state)
    return Wanted(row["matched"], row["taken"], row["changed"])


async def resume_generations(connection: asyncpg.Connection) -> list[asyncpg.Record]:
    """Let every stopped generation go on; what had stopped each."""
    rows: list[asyncpg.Record] = await connection.fetch(load_sql("processors", "resume_generations"))
    return rows
