"""Connections to Postgres with every option written out, and the loader of `.sql` files."""

from collections.abc import Mapping
from datetime import date
from functools import cache
from importlib.resources import files
from types import MappingProxyType

import asyncpg

CONNECT_TIMEOUT_SECONDS = 5.0
"""A host that does not answer is "away"; the caller retries, it never hangs on one attempt."""


async def make_pool(
    dsn: str,
    *,
    application_name: str,
    connections_max: int,
    statement_timeout_ms: int,
    idle_in_transaction_timeout_ms: int = 5_000,
    transaction_timeout_ms: int = 30_000,
    options: Mapping[str, str] = MappingProxyType({}),
) -> asyncpg.Pool:
    """Open a pool; its sessions carry `application_name` and all three server-side time limits.

    The limits are the server's, not ours: a frozen process cannot hold its locks beyond them.
    `options` are further server settings. One connection is made at once, so a wrong address fails here and not at
    the first use.

    Raises:
        OSError, asyncpg.PostgresError: the database is away or refuses the credentials.
    """
    return await asyncpg.create_pool(
        dsn,
        min_size=1,
        max_size=connections_max,
        init=keep_the_first_day,
        timeout=CONNECT_TIMEOUT_SECONDS,
        # A connection that was idle this long is closed, so that a pool shrinks again after a burst.
        max_inactive_connection_lifetime=300.0,
        statement_cache_size=256,
        server_settings={
            "application_name": application_name,
            "statement_timeout": str(statement_timeout_ms),
            "idle_in_transaction_session_timeout": str(idle_in_transaction_timeout_ms),
            "transaction_timeout": str(transaction_timeout_ms),
            # Every statement names days by parameter: prune at execution, and never pay for just-in-time compilation.
            "jit": "off",
            "timezone": "UTC",
            **options,
        },
    )


_DAYS_TO_2000 = date(2000, 1, 1).toordinal()


async def keep_the_first_day(connection: asyncpg.Connection) -> None:
    """Write 0001-01-01 as itself. asyncpg takes `date.min` for `-infinity`, which is another day and partition."""
    await connection.set_type_codec(
        "date",
        schema="pg_catalog",
        format="tuple",
        encoder=lambda day: (day.toordinal() - _DAYS_TO_2000,),
        decoder=lambda days: date.fromordinal(days[0] + _DAYS_TO_2000),
    )


@cache
def load_sql(package: str, name: str) -> str:
    """The text of `<package>/sql/<name>.sql`: one statement a file, named like the function that runs it."""
    return files(package).joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")
