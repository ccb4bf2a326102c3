"""What leaves the store by age: whole days by their partitions, the rest by deletes in bounded batches.

A request leaves with its record, of every generation, in one transaction. `requests_since` moves before or with it, and
from then on nothing earlier is stored or counted (docs/decisions/0013-retention.md).
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta

import asyncpg
import structlog

from infra.generations import enter_generation
from infra.postgres import load_sql
from infra.projects import Project, list_projects

log = structlog.get_logger()

GRACE = timedelta(days=1)
"""What the door accepted at the edge of the retention has this long to come through spool and log."""
DROP_WAIT_MS = 250
"""Readers and writers queue up behind a drop that waits for a lock, for at most this long."""
ROWS_PER_STATEMENT_MAX = 500
"""Each may have bodies of megabytes."""
STATEMENTS_PER_RUN_MAX = 1_000
"""For requests and for each of the roll-ups; the next run goes on."""
ROLLUPS = {"sessions": "delete_sessions", "path_hours": "delete_path_hours", "catalogue": "delete_uses"}
"""Tables that a project's `session_retention_days` bounds, and what deletes from each; a session's paths go with it."""


def kept_from(retention_days: int, now: datetime) -> date:
    """The earliest day that is kept: all its requests are younger than the retention and its grace, or some are."""
    return (now - timedelta(days=retention_days) - GRACE).date()


def first_kept_days(projects: Sequence[Project], now: datetime) -> dict[int, date]:
    """Project -> the earliest day of requests that it keeps; those that keep all are not in it."""
    return {
        project.project_id: kept_from(days, now)
        for project in projects
        if (days := project.settings.retention_days) is not None
    }


async def retain(pool: asyncpg.Pool) -> None:
    """Remove what is older than its project keeps; what is left undone the next run does."""
    now: datetime = await pool.fetchval(load_sql("processors", "read_clock"))
    async with pool.acquire() as connection:
        projects = await list_projects(connection)
    days = first_kept_days(projects, now)
    if days and len(days) == len(projects):
        await _drop_days(pool, min(days.values()))
    if days:
        await pool.execute(load_sql("processors", "move_requests_since"), *_columns(days))
    dropped = await _delete_requests(pool, days)
    gone = {
        f"{table}_deleted": await _delete_rollups(pool, table, statement, projects, now)
        for table, statement in ROLLUPS.items()
    }
    log.info("retained", requests_deleted=dropped, **gone)


async def _drop_days(pool: asyncpg.Pool, before: date) -> None:
    """Drop the days that no project keeps, each in a transaction of its own."""
    for row in await pool.fetch(load_sql("processors", "list_days"), before):
        try:
            await _drop_day(pool, row["day"])
        except asyncpg.QueryCanceledError:
            # Somebody reads: the next run tries again.
            log.info("drop_waits", day=str(row["day"]))


async def _drop_day(pool: asyncpg.Pool, day: date) -> None:
    async with pool.acquire() as connection, connection.transaction():
        # Again, because a project may have changed its mind or be new.
        projects = await list_projects(connection)
        now = await connection.fetchval(load_sql("processors", "read_clock"))
        days = first_kept_days(projects, now)
        if len(days) < len(projects) or min(days.values()) <= day:
            return
        await connection.execute(load_sql("processors", "move_requests_since"), *_columns(days))
        await connection.execute(load_sql("processors", "limit_wait"), str(DROP_WAIT_MS))
        partitions = await connection.fetchval(load_sql("processors", "drop_day"), day)
    log.info("day_dropped", day=str(day), partitions=partitions)


def _columns(days: dict[int, date]) -> tuple[list[int], list[date]]:
    return sorted(days), [days[project_id] for project_id in sorted(days)]


async def _delete_requests(pool: asyncpg.Pool, days: dict[int, date]) -> int:
    """Delete requests that start before the day of their project, in every generation; how many were found."""
    deleted = 0
    generations = await _generations(pool)
    pending = [(project_id, day, number) for project_id, day in sorted(days.items()) for number in generations]
    for _ in range(STATEMENTS_PER_RUN_MAX):
        if not pending:
            break
        project_id, day, number = pending[-1]
        count = await _delete_some(pool, project_id, day, number, generations)
        deleted += count
        if count < ROWS_PER_STATEMENT_MAX:
            pending.pop()
    return deleted


async def _delete_some(pool: asyncpg.Pool, project_id: int, day: date, number: int, generations: Sequence[int]) -> int:
    async with pool.acquire() as connection, connection.transaction():
        await enter_generation(connection, number)
        find = load_sql("processors", "find_expired_requests")
        rows = await connection.fetch(find, project_id, day, ROWS_PER_STATEMENT_MAX)
        keys = [row["day"] for row in rows], [row["event_id"] for row in rows]
        await connection.execute(load_sql("processors", "delete_records"), project_id, *keys)
        for generation in generations:
            await enter_generation(connection, generation)
            await connection.execute(load_sql("processors", "delete_requests"), project_id, *keys)
    return len(rows)


async def _delete_rollups(
    pool: asyncpg.Pool, table: str, statement: str, projects: Sequence[Project], now: datetime
) -> int:
    """Delete rows that are older than their project keeps sessions, in every generation; how many."""
    deleted = 0
    pending = [
        (project.project_id, datetime.combine(kept_from(kept, now), time(), UTC), number)
        for project in projects
        if (kept := project.settings.session_retention_days) is not None
        for number in await _generations(pool)
    ]
    for _ in range(STATEMENTS_PER_RUN_MAX):
        if not pending:
            break
        project_id, before, number = pending[-1]
        async with pool.acquire() as connection, connection.transaction():
            await enter_generation(connection, number)
            count = await connection.fetchval(
                load_sql("processors", statement), project_id, before, ROWS_PER_STATEMENT_MAX
            )
        deleted += count
        if count < ROWS_PER_STATEMENT_MAX:
            pending.pop()
    return deleted


async def _generations(pool: asyncpg.Pool) -> list[int]:
    return [row["number"] for row in await pool.fetch(load_sql("infra", "list_generations"))]
