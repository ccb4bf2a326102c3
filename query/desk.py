"""What every endpoint does first: find out who asks, read the body in bounds, take a snapshot of the store."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from starlette.requests import Request

from infra.key_ring import KeyRing
from infra.projects import Credential
from query.credentials import reader
from query.errors import PayloadTooLarge
from query.freshness import as_of
from query.store import Store

if TYPE_CHECKING:
    from query.store import Snapshot

BODY_BYTES_MAX = 10 * 1024 * 1024


@dataclass(frozen=True)
class Sitting:
    """One question while it is answered: its moment of the store, and how fresh that moment is."""

    snapshot: "Snapshot"
    as_of: datetime | None


@dataclass(frozen=True)
class Desk:
    """Where questions arrive; the endpoints are given one."""

    store: Store
    keys: KeyRing

    async def reader(self, request: Request) -> Credential:
        """Who asks; see `credentials.reader`."""
        return await reader(request.headers, self.keys)

    @asynccontextmanager
    async def sitting(self) -> AsyncIterator[Sitting]:
        """A snapshot, and the time up to which it holds everything.

        Raises:
            StoreUnavailable, QueryTimeout: see `Store.snapshot`.
        """
        async with self.store.snapshot() as snapshot:
            yield Sitting(snapshot, await as_of(snapshot))


async def body_of(request: Request) -> bytes:
    """The body.

    Raises:
        PayloadTooLarge: beyond 10 MiB; not more than that is ever held.
    """
    chunks: list[bytes] = []
    size_bytes = 0
    async for chunk in request.stream():
        size_bytes += len(chunk)
        if size_bytes > BODY_BYTES_MAX:
            raise PayloadTooLarge
        chunks.append(chunk)
    return b"".join(chunks)
