"""The query service over a test's database, asked as a client asks it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
import httpx

from infra.key_ring import KeyRing
from infra.postgres import make_pool
from infra.projects import create_key, ensure_project
from query.app import create_app
from query.store import Store


@dataclass(frozen=True)
class Keys:
    """Keys of the two projects of these tests."""

    reader: str
    writer: str
    other: str
    """Reads the second project."""


async def make_keys(connection: asyncpg.Connection) -> Keys:
    """Make projects 1 and 2 in an empty database, and their keys."""
    one, two = await ensure_project(connection, "one"), await ensure_project(connection, "two")
    if (one, two) != (1, 2):
        raise ValueError("the database is not empty")
    return Keys(
        await create_key(connection, one, "reader", can_read=True),
        await create_key(connection, one, "writer", can_read=False),
        await create_key(connection, two, "other", can_read=True),
    )


@asynccontextmanager
async def query_client(dsn: str, key: str, *, statement_timeout_ms: int = 20_000) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a query service that reads `dsn`; its questions carry `key`."""

    async def open_pool() -> asyncpg.Pool:
        return await make_pool(
            dsn, application_name="test-query", connections_max=4, statement_timeout_ms=statement_timeout_ms
        )

    app = create_app(Store(open_pool, connection_wait_seconds=2.0), KeyRing(dsn))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://query", headers=headers, timeout=30) as client,
    ):
        yield client
