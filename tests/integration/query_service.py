"""The query service over a test's database, asked as a client asks it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from infra.postgres import make_pool
from query.app import create_app
from query.store import Store


@dataclass(frozen=True)
class KnownKey:
    """What a key of these tests stands for."""

    project_id: int
    can_read: bool = True
    idle_limit_seconds: int = 300


KEYS = {"reader": KnownKey(1), "other": KnownKey(2), "writer": KnownKey(1, can_read=False)}


class FixedKeys:
    """Keys that are known without a store: these tests are about answers, not about keys."""

    async def authenticate(self, key: str) -> KnownKey | None:
        return KEYS.get(key)


@asynccontextmanager
async def query_client(
    dsn: str, *, key: str = "reader", statement_timeout_ms: int = 20_000
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a query service that reads `dsn`; its questions carry `key`."""
    store = Store(
        lambda: make_pool(
            dsn, application_name="test-query", connections_max=4, statement_timeout_ms=statement_timeout_ms
        ),
        connection_wait_seconds=2.0,
    )
    transport = httpx.ASGITransport(create_app(store, FixedKeys()), raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://query", headers=headers, timeout=30) as client:
        yield client
    await store.close()
