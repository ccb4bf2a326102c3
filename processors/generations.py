"""Taking a generation into use and out of it: begin, compare, serve, drop."""

from dataclasses import dataclass
from datetime import datetime

from infra.generations import Connection, enter_generation, make_tables
from infra.postgres import load_sql
from processors.errors import ReplayRefused

LOCK_TIMEOUT_MS = 300
"""A switch that waits for a long query would hold up every later one: it fails instead, and is tried again."""


async def states(connection: Connection) -> dict[str, int]:
    """State -> generation; at most two."""
    rows = await connection.fetch(load_sql("infra", "list_generations"))
    return {row["state"]: row["number"] for row in rows}


async def begin(
    connection: Connection,
    firsts: dict[str, dict[int, int]],
    log_ids: dict[str, str],
    code_version: str,
    replay_from: datetime | None,
) -> int:
    """Make the next generation, empty, which reads each topic's partitions from these offsets.

    Raises:
        ReplayRefused: there is a second generation already.
    """
    if len(await states(connection)) > 1:
        raise ReplayRefused("two generations exist: run `make replay-finish` first")
    async with connection.transaction():
        number: int = await connection.fetchval(load_sql("processors", "begin_generation"), code_version, replay_from)
        await make_tables(connection, number)
        for topic, offsets in firsts.items():
            partitions = sorted(offsets)
            starts = [offsets[partition] for partition in partitions]
            await connection.execute(
                load_sql("processors", "begin_offsets"), number, topic, partitions, starts, log_ids[topic]
            )
    return number


@dataclass(frozen=True)
class Comparison:
    """What two generations have not in common, at one vector of offsets."""

    faults: list[str]
    """Records that are not accounted for: they forbid the switch."""
    differences: dict[str, dict[str, int]]
    """Table -> column -> rows: what a fix or new prices changed."""


async def compare(connection: Connection, old: int, new: int) -> Comparison:
    """Compare two generations in one snapshot; it reads all of both."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        faults = [
            f"{row['topic']} {row['partition']}: up to {row['old_offset']} and {row['new_offset']}, counts disagree"
            for row in await connection.fetch(load_sql("processors", "compare_counts"), old, new)
        ]
        await enter_generation(connection, new)
        ((lost, new_dead_letters),) = await connection.fetch(load_sql("processors", "find_lost"), old, new)
        if lost > new_dead_letters:
            faults.append(f"{lost} events are missing, of which {new_dead_letters} can have become dead letters")
        differences = {}
        for row in await connection.fetch(
            load_sql("processors", "comparisons"), f"generation_{old}", f"generation_{new}"
        ):
            (found,) = await connection.fetch(row["statement"])
            differences[row["table"]] = {column: rows for column, rows in found.items() if rows}
    return Comparison(faults, differences)


async def serve(connection: Connection, number: int) -> None:
    """Let every reader meet this generation, from one moment on."""
    async with connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}")
        await connection.execute(load_sql("processors", "stand_by"))
        await connection.execute(load_sql("processors", "serve"), number)
        await connection.execute(load_sql("infra", "show_generation"))


async def drop(connection: Connection, number: int) -> None:
    """Take a generation down that is not served; workers stop feeding it at the same moment."""
    async with connection.transaction():
        await connection.execute(load_sql("processors", "drop_generation"), number)
        await connection.execute(f"DROP SCHEMA generation_{number} CASCADE")
