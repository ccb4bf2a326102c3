"""Partitions of days, made before the first event of a day comes."""

from datetime import timedelta

import asyncpg

from infra.postgres import load_sql

DAYS_AHEAD = 3
"""Events may start up to a day after their receipt; the rest is for an outage of the leader."""


async def make_days_ahead(pool: asyncpg.Pool) -> None:
    """Make the partitions of today and the days ahead. A batch still makes one that is missing."""
    today = (await pool.fetchval(load_sql("processors", "read_clock"))).date()
    for ahead in range(DAYS_AHEAD + 1):
        await pool.execute(load_sql("processors", "ensure_day"), today + timedelta(days=ahead))
