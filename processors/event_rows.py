"""Events as rows of one generation: which of a batch are new, and writing those with all that is rolled up of them."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Protocol, TypeVar

import asyncpg
import msgspec

from infra.postgres import load_sql
from processors.batch import LONGEST_DETAIL_CHARACTERS, DeadLetter, Decoded, Place, decode_stored
from processors.dead_letters import Connection
from processors.errors import TROUBLE, is_data_fault
from processors.rollup import RECORD_COLUMNS, REQUEST_COLUMNS, Columns, fold, record_row, request_row
from processors.tally import Stored, Tally

Item = TypeVar("Item")


class Sifted(NamedTuple):
    """A batch's events by what is to become of them."""

    fresh: list[Decoded]
    """To be stored, sorted by key."""
    expired: list[Decoded]
    tally: Tally
    """With the copies, which are in neither list."""


async def sift(connection: Connection, events: list[Decoded], *, has_others: bool) -> Sifted:
    """Find the events that are neither stored nor repeated within the batch; the first copy counts.

    One that starts before the requests that are stored of its project may have been counted before, so it is not new.
    `has_others`: more than one generation exists.
    """
    first: dict[tuple[Any, ...], Decoded] = {}
    tally = Tally(Stored)
    for item in events:
        earlier = first.setdefault((item.event.project_id, item.day, item.event.event_id), item)
        if earlier is not item:
            counts = tally[item.place.partition]
            counts.duplicates += 1
            counts.conflicts += earlier.content_hash != item.content_hash
    keys = sorted(first)
    columns = [list(column) for column in zip(*keys, strict=True)] if keys else [[], [], []]
    for row in await connection.fetch(load_sql("processors", "find_stored"), *columns):
        item = first.pop(keys[row["place"] - 1])
        counts = tally[item.place.partition]
        counts.duplicates += 1
        counts.conflicts += row["content_hash"] is not None and row["content_hash"] != item.content_hash
    fresh, expired = await _by_retention(connection, [first[key] for key in keys if key in first])
    for item in fresh:
        tally[item.place.partition].new += 1
    for item in expired:
        tally[item.place.partition].expired += 1
    return Sifted(await _as_recorded(connection, fresh) if has_others else fresh, expired, tally)


async def _by_retention(connection: Connection, events: list[Decoded]) -> tuple[list[Decoded], list[Decoded]]:
    """Those that do not start before `requests_since` of their project, and those that do.

    Asked after the look for copies, never before: whoever drops requests moves the day in that same transaction or an
    earlier one, so a copy that was not found because it had been dropped is found to be too old here.
    """
    projects = sorted({item.event.project_id for item in events})
    rows = await connection.fetch(load_sql("processors", "read_requests_since"), projects)
    since = {row["project_id"]: row["since"] for row in rows}
    if not since:
        return events, []
    kept, expired = list[Decoded](), list[Decoded]()
    for item in events:
        earliest = since.get(item.event.project_id)
        (kept if earliest is None or item.event.started_at >= earliest else expired).append(item)
    return kept, expired


async def _as_recorded(connection: Connection, events: list[Decoded]) -> list[Decoded]:
    """Events as their stored records say, where another generation stored a record: the copy that is stored counts."""
    rows = await connection.fetch(
        load_sql("processors", "find_records"),
        [item.event.project_id for item in events],
        [item.day for item in events],
        [item.event.event_id for item in events],
        [item.content_hash for item in events],
        [item.envelope for item in events],
    )
    counted = list(events)
    for row in rows:
        item = counted[row["place"] - 1]
        if row["is_other"] and item.log_time is None:
            item = decode_stored(item, row["envelope"], row["request_body"], row["response_body"])
        counted[row["place"] - 1] = msgspec.structs.replace(item, is_recorded=True)
    return counted


async def write_events(connection: Connection, events: list[Decoded]) -> dict[str, Columns]:
    """Write requests, records and roll-ups of events that are new; what was added to the roll-ups."""
    folds = fold(events)
    if not events:
        return folds
    await connection.copy_records_to_table("requests", records=map(request_row, events), columns=REQUEST_COLUMNS)
    records = [record_row(item) for item in events if not item.is_recorded]
    await connection.copy_records_to_table("records", records=records, columns=RECORD_COLUMNS)
    await write_folds(connection, folds)
    return folds


async def write_folds(connection: Connection | asyncpg.Connection, folds: dict[str, Columns]) -> None:
    """Add what `fold` made to the roll-ups, one statement a table, always in the same order of tables."""
    for name, columns in folds.items():
        if columns:
            await connection.execute(load_sql("processors", name), *columns)


async def write_apart(
    connection: Connection, items: list[Item], write: Callable[[Connection, list[Item]], Awaitable[None]]
) -> list[tuple[Item, BaseException]]:
    """`write`, halving what is refused until single items are left: those come back with their faults."""
    pending, refused = [items], list[tuple[Item, BaseException]]()
    while pending:
        part = pending.pop()
        try:
            async with connection.transaction():
                await write(connection, part)
        except (*TROUBLE, ValueError, OverflowError, TypeError) as fault:
            if not is_data_fault(fault):
                raise
            if len(part) == 1:
                refused.append((part[0], fault))
            else:
                middle = len(part) // 2
                pending += [part[middle:], part[:middle]]
    return refused


class HasRecord(Protocol):
    """Something that came from a record."""

    place: Place
    key: bytes | None
    value: bytes


def refusal(item: HasRecord, fault: BaseException) -> DeadLetter:
    """The dead letter of a record that the database refused."""
    reason = str(getattr(fault, "constraint_name", None) or getattr(fault, "sqlstate", None) or "encoder")
    detail = f"{type(fault).__name__}: {fault}"[:LONGEST_DETAIL_CHARACTERS]
    return DeadLetter(item.place, item.key, item.value, "store", reason, detail)
