"""The door to Postgres: read-only snapshots, and the driver's errors translated into ours."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from time import monotonic
from typing import TYPE_CHECKING

import asyncpg

from query.errors import InvalidQuestion, QueryTimeout, StoreUnavailable

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    # asyncpg's own classes take no type parameters when the code runs; only its stubs do.
    Snapshot = PoolConnectionProxy[asyncpg.Record]
    """A connection inside a read-only transaction: everything asked of it is of one moment."""

RECONNECT_PAUSE_SECONDS = 0.5
"""While Postgres is away, questions fail at once between two attempts instead of queueing up behind each."""

AWAY = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    # A connection that Postgres closed while it was idle, used before the driver has noticed.
    asyncpg.InternalClientError,
    # Asked before the first migration has run.
    asyncpg.UndefinedTableError,
)
"""What the driver raises when the store, and not the question, is at fault. `OSError` covers time-outs."""


@contextmanager
def translated() -> Iterator[None]:
    """Raise the driver's errors as ours; a fault of our own SQL passes through and is answered 500."""
    try:
        yield
    except asyncpg.QueryCanceledError as fault:
        raise QueryTimeout from fault
    except asyncpg.OutOfMemoryError as fault:
        raise InvalidQuestion("Query exceeded memory limit. Try a shorter time range.") from fault
    except AWAY as fault:
        if isinstance(fault, asyncpg.InterfaceError) and isinstance(fault, ValueError):
            # A parameter that the driver cannot encode: our mistake, and no reason to ask again.
            raise
        raise StoreUnavailable from fault


class Store:
    """Opens its pool at the first use, again after every failure: it may be made while Postgres is away."""

    def __init__(self, open_pool: Callable[[], Awaitable[asyncpg.Pool]], *, connection_wait_seconds: float) -> None:
        self._open_pool = open_pool
        self._connection_wait_seconds = connection_wait_seconds
        self._pool: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()
        self._next_attempt_at = 0.0

    async def pool(self) -> asyncpg.Pool:
        """The pool, opened when it is not yet.

        Raises:
            StoreUnavailable: Postgres is away; at most one attempt to connect is made every half second.
        """
        if self._pool is not None:
            return self._pool
        async with self._opening:
            if self._pool is None:
                if monotonic() < self._next_attempt_at:
                    raise StoreUnavailable
                self._next_attempt_at = monotonic() + RECONNECT_PAUSE_SECONDS
                with translated():
                    self._pool = await self._open_pool()
            return self._pool

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator["Snapshot"]:
        """A read-only transaction that sees one moment of the store.

        Raises:
            StoreUnavailable, QueryTimeout: from the start of the snapshot or from any question inside it.
        """
        pool = await self.pool()
        with translated():
            async with (
                pool.acquire(timeout=self._connection_wait_seconds) as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                yield connection

    async def close(self) -> None:
        """Close every connection; questions under way are given the time that uvicorn's drain gave them."""
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None
