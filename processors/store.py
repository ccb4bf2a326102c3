"""One transaction a batch, in one fixed order: fence, requests, records, roll-ups, dead letters.

A batch that commits has moved the offsets of its partitions and counted each of its events exactly once; a batch that
does not has changed nothing. Errors of the data are isolated by bisecting under savepoints, so that one bad event
becomes a dead letter and the rest goes on. Trouble of the database is raised as `StoreAway` and never makes a
dead letter.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Protocol, TypeVar

import asyncpg

from infra.postgres import load_sql
from processors.alerts import NO_RULES, AlertRules
from processors.batch import LONGEST_DETAIL_CHARACTERS, DeadLetter, Decoded, Place, Slice
from processors.dead_letters import (
    lock_requeued,
    restricted,
    settle_dead_letters,
    without_dropped,
    write_dead_letters,
)
from processors.errors import TROUBLE, Fenced, GenerationStopped, StoreAway, TooManyDeadLetters, is_data_fault
from processors.rollup import RECORD_COLUMNS, REQUEST_COLUMNS, Columns, fold, record_row, request_row
from processors.share_guard import ShareGuard

GENERATION = 1
"""The set of derived tables that this worker feeds."""

Connection = asyncpg.pool.PoolConnectionProxy


@dataclass(slots=True)
class Stored:
    """What became of a batch's events: new, copies of stored ones, copies with other content, dead letters, dropped
    records that were passed over, and those that start before what is stored of their project."""

    new: int = 0
    duplicates: int = 0
    conflicts: int = 0
    dead_letters: int = 0
    drops: int = 0
    expired: int = 0


class Store:
    """The processors' door to Postgres. Only that of the served generation is given rules to fire alerts by."""

    def __init__(self, pool: asyncpg.Pool, rules: AlertRules = NO_RULES) -> None:
        self._pool = pool
        self._rules = rules
        self._days: set[date] = set()
        self._guard = ShareGuard()

    async def claim(self, topic: str, first_offsets: dict[int, int], log_id: str) -> dict[int, tuple[int, str]]:
        """The stored `(next offset, log id)` of partitions; one never seen before begins at its first offset."""
        partitions = sorted(first_offsets)
        firsts = [first_offsets[partition] for partition in partitions]
        await self._run("claim_offsets", GENERATION, topic, partitions, firsts, log_id)
        rows = await self._run("read_offsets", GENERATION, topic, partitions)
        return {row["partition"]: (row["next_offset"], row["cluster_id"]) for row in rows}

    async def next_offsets(self, topic: str, partitions: Sequence[int]) -> dict[int, int]:
        """The stored next offset of partitions that were claimed before."""
        rows = await self._run("read_offsets", GENERATION, topic, sorted(partitions))
        return {row["partition"]: row["next_offset"] for row in rows}

    async def observe(self, topic: str, seen: dict[int, tuple[int, int]], asked_at: datetime) -> None:
        """Note `partition -> (our offset, end offset)` as of `asked_at`, for lag and freshness."""
        partitions = sorted(seen)
        offsets, ends = [seen[p][0] for p in partitions], [seen[p][1] for p in partitions]
        await self._run("observe_offsets", GENERATION, topic, partitions, offsets, ends, asked_at)

    async def accept_gap(self, topic: str, offsets: dict[int, int], log_id: str) -> None:
        """Go on from these offsets, whatever was stored."""
        partitions = sorted(offsets)
        await self._run("accept_gap", GENERATION, topic, partitions, [offsets[p] for p in partitions], log_id)

    async def commit(self, slices: Sequence[Slice]) -> Stored:
        """Store a batch: all of it, or nothing.

        Raises:
            Fenced: some partitions are not where the slices begin; nothing was stored.
            GenerationStopped: too many records became dead letters, now or before; nothing was stored.
            StoreAway: the database is in trouble. When the connection broke at COMMIT the outcome is unknown:
                read the stored offsets before trying again.
        """
        try:
            await self._rules.refresh()
            await self._ensure_days(slices)
            async with self._pool.acquire() as connection:
                return await whole_or_apart(lambda apart: self._attempt(connection, slices, apart=apart))
        except GenerationStopped:
            self._guard.disarm()
            raise
        except TooManyDeadLetters as fault:
            reasons = list(fault.reasons), list(fault.reasons.values())
            await self._run("stop_generation", GENERATION, slices[0].topic, fault.seen, *reasons)
            self._guard.disarm()
            raise GenerationStopped(str(fault)) from fault
        except TROUBLE as fault:
            # The trouble may be that a day was dropped: the next attempt makes it again.
            self._days.clear()
            raise await self._away(fault) from fault

    async def load_requeued(
        self, generation: int, topic: str, partitions: Sequence[int], *, rows_max: int, bytes_max: int
    ) -> list[asyncpg.Record]:
        """Dead letters that are to be tried again, the first in the log first: at most `bytes_max` together, or one."""
        return await self._run("load_requeued", generation, topic, partitions, rows_max, bytes_max)

    async def take_back(self, generation: int, part: Slice) -> Stored:
        """Try dead letters of a partition again, which stays where it is: all of it, or nothing.

        `part` holds the letters as they were read anew. Those that another decision was made about meanwhile are left
        alone. What is stored or was stored already is done; what fails again is open.

        Raises:
            Fenced: the partition is not where the slice says; nothing was stored.
            StoreAway: the database is in trouble; what was committed is not wanted any more.
        """
        try:
            await self._rules.refresh()
            await self._ensure_days([part])
            async with self._pool.acquire() as connection:
                return await whole_or_apart(
                    lambda apart: self._attempt_again(connection, generation, part, apart=apart)
                )
        except TROUBLE as fault:
            # The trouble may be that a day was dropped: the next attempt makes it again.
            self._days.clear()
            raise await self._away(fault) from fault

    async def _run(self, name: str, *arguments: Any) -> list[asyncpg.Record]:
        try:
            return await self._pool.fetch(load_sql("processors", name), *arguments)
        except TROUBLE as fault:
            raise await self._away(fault) from fault

    async def _away(self, fault: BaseException) -> StoreAway:
        """Trouble of the database in words.

        A session stays read-only when the server is not any more: the next attempt is made in a new one.
        """
        if isinstance(fault, asyncpg.ReadOnlySQLTransactionError):
            await self._pool.expire_connections()
        return StoreAway(f"{type(fault).__name__}: {fault}")

    async def _ensure_days(self, slices: Sequence[Slice]) -> None:
        """Attach missing day partitions in short transactions of their own, before the batch takes its locks."""
        for day in {item.day for part in slices for item in part.events} - self._days:
            await self._pool.execute(load_sql("processors", "ensure_day"), day)
            self._days.add(day)

    async def _attempt(self, connection: Connection, slices: Sequence[Slice], *, apart: bool) -> Stored:
        """One transaction. With `apart`, events that the database refuses are found and set aside."""
        async with connection.transaction():
            moved = await _move_offsets(connection, slices)
            log_times = {row["partition"]: row["log_time_before"] for row in moved}
            if dropping := [row["partition"] for row in moved if row["has_drops"]]:
                slices = await without_dropped(connection, slices, dropping)
            stored, refused = await self._take_in(connection, slices, log_times, apart=apart)
            letters = [letter for part in slices for letter in part.dead_letters] + refused
            window = self._guard.weigh(slices, letters)
            await write_dead_letters(connection, GENERATION, letters)
            stored.drops = sum(letter.state == "drop" for letter in letters)
            stored.dead_letters = len(letters) - stored.drops
        self._guard.adopt(window)
        return stored

    async def _attempt_again(self, connection: Connection, generation: int, part: Slice, *, apart: bool) -> Stored:
        """One transaction. Who holds the partition's fence row is the one who tries its letters."""
        async with connection.transaction():
            held = await connection.fetchrow(
                load_sql("processors", "hold_partition"), generation, part.topic, part.partition, part.expected_offset
            )
            if held is None:
                raise Fenced({part.partition})
            wanted = await lock_requeued(connection, generation, part)
            if not wanted:
                return Stored()
            part = restricted(part, wanted)
            # The records keep the broker's times that they have: nothing was folded before the first of them, and the
            # partition is read as far as it is.
            part.as_of = held["log_time"] or part.as_of
            stored, refused = await self._take_in(connection, [part], {part.partition: None}, apart=apart)
            failed = [*part.dead_letters, *refused]
            await settle_dead_letters(connection, generation, part, wanted, failed)
            stored.dead_letters = len(failed)
        return stored

    async def _take_in(
        self, connection: Connection, slices: Sequence[Slice], log_times: dict[int, datetime | None], *, apart: bool
    ) -> tuple[Stored, list[DeadLetter]]:
        """Store and fold what the slices hold, and say what the database refused.

        `log_times`: partition -> the greatest broker time of what was folded before, None for nothing.
        """
        fresh, stored = await new_events(connection, [item for part in slices for item in part.events])
        if not apart:
            await self._write(connection, fresh)
            return stored, []
        refused = [refusal(item, fault) for item, fault in await write_apart(connection, fresh, self._write)]
        stored.new -= len(refused)
        return stored, refused

    async def _write(self, connection: Connection, events: list[Decoded]) -> None:
        await self._rules.fire(connection, await write_events(connection, events))


Result = TypeVar("Result")
Item = TypeVar("Item")


async def whole_or_apart(attempt: Callable[[bool], Awaitable[Result]]) -> Result:
    """Run a transaction, and when a row is refused once more, apart: with the refused rows set aside."""
    try:
        return await attempt(False)
    except Fenced:
        raise
    except (*TROUBLE, ValueError, OverflowError, TypeError) as fault:
        if not is_data_fault(fault):
            raise
    return await attempt(True)


async def _move_offsets(connection: Connection, slices: Sequence[Slice]) -> list[asyncpg.Record]:
    """Take the partitions' fence rows and move them.

    Each comes with the greatest broker time that it had seen before, and with whether records in its run were dropped.
    """
    ordered = sorted(slices, key=lambda part: part.partition)
    moved = await connection.fetch(
        load_sql("processors", "move_offsets"),
        GENERATION,
        ordered[0].topic,
        [part.partition for part in ordered],
        [part.expected_offset for part in ordered],
        [part.next_offset for part in ordered],
        [part.end_offset for part in ordered],
        [part.as_of for part in ordered],
    )
    missing = {part.partition for part in ordered} - {row["partition"] for row in moved}
    if missing:
        raise Fenced(missing)
    if any(row["is_stopped"] for row in moved):
        raise GenerationStopped(str(GenerationStopped.__doc__))
    return moved


async def new_events(connection: Connection, events: list[Decoded]) -> tuple[list[Decoded], Stored]:
    """The events that are neither stored nor repeated within the batch, sorted by key; the first copy counts.

    One that starts before the requests that are stored of its project may have been counted before, so it is not new.
    """
    first: dict[tuple[Any, ...], Decoded] = {}
    counts = Stored()
    for item in events:
        earlier = first.setdefault((item.event.project_id, item.day, item.event.event_id), item)
        if earlier is not item:
            counts.duplicates += 1
            counts.conflicts += earlier.content_hash != item.content_hash
    keys = sorted(first)
    columns = [list(column) for column in zip(*keys, strict=True)] if keys else [[], [], []]
    for row in await connection.fetch(load_sql("processors", "find_stored"), *columns):
        item = first.pop(keys[row["place"] - 1])
        counts.duplicates += 1
        counts.conflicts += row["content_hash"] is not None and row["content_hash"] != item.content_hash
    unknown = [first[key] for key in keys if key in first]
    fresh = await _within_retention(connection, unknown)
    counts.new, counts.expired = len(fresh), len(unknown) - len(fresh)
    return fresh, counts


async def _within_retention(connection: Connection, events: list[Decoded]) -> list[Decoded]:
    """Those that do not start before `requests_since` of their project.

    Asked after the look for copies, never before: whoever drops requests moves the day in that same transaction or an
    earlier one, so a copy that was not found because it had been dropped is found to be too old here.
    """
    projects = sorted({item.event.project_id for item in events})
    rows = await connection.fetch(load_sql("processors", "read_requests_since"), projects)
    since = {row["project_id"]: row["since"] for row in rows}
    if not since:
        return events
    return [
        item
        for item in events
        if (earliest := since.get(item.event.project_id)) is None or item.event.started_at >= earliest
    ]


async def write_events(connection: Connection, events: list[Decoded]) -> dict[str, Columns]:
    """Write requests, records and roll-ups of events that are new; what was added to the roll-ups."""
    folds = fold(events)
    if not events:
        return folds
    await connection.copy_records_to_table("requests", records=map(request_row, events), columns=REQUEST_COLUMNS)
    await connection.copy_records_to_table("records", records=map(record_row, events), columns=RECORD_COLUMNS)
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
