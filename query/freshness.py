"""How fresh the store is."""

from datetime import datetime
from typing import TYPE_CHECKING

from query.statements import statement

if TYPE_CHECKING:
    import asyncpg

    from query.store import Snapshot


async def as_of(snapshot: "Snapshot") -> datetime | None:
    """The broker time up to which every record of every partition is folded; None while that is not known."""
    moment: datetime | None = await snapshot.fetchval(statement("as_of"))
    return moment


async def partition_positions(snapshot: "Snapshot") -> "list[asyncpg.Record]":
    """How far each partition has been folded, and how far it reached when its owner last looked."""
    return await snapshot.fetch(statement("partition_positions"))


async def newest_event(snapshot: "Snapshot", project_id: int) -> datetime | None:
    """When the newest event of the project's sessions was received; None when there is none."""
    moment: datetime | None = await snapshot.fetchval(statement("newest_event"), project_id)
    return moment


async def store_clock(snapshot: "Snapshot") -> datetime:
    """The store's clock at the snapshot: ages are measured by one clock."""
    now: datetime = await snapshot.fetchval(statement("store_clock"))
    return now
