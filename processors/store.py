"""One transaction a batch, in one fixed order: fence; by generation requests, records, roll-ups, dead letters.

A batch that commits has moved the offsets of its partitions and counted each of its events exactly once; a batch that
does not has changed nothing. Errors of the data are isolated by bisecting under savepoints, so that one bad event
becomes a dead letter and the rest goes on. Trouble of the database is raised as `StoreAway` and never makes a
dead letter.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Protocol, TypeVar

import asyncpg
import msgspec

from infra.generations import enter_generation
from infra.postgres import load_sql
from processors.batch import LONGEST_DETAIL_CHARACTERS, DeadLetter, Decoded, Place, Slice, decode_stored
from processors.errors import TROUBLE, Fenced, StoreAway, is_data_fault
from processors.rollup import RECORD_COLUMNS, REQUEST_COLUMNS, fold, record_row, request_row

Connection = asyncpg.pool.PoolConnectionProxy

Clocks = dict[int, datetime | None]
"""Partition -> the greatest broker time of what was folded before, None for nothing."""


@dataclass(slots=True)
class Stored:
    """What became of records: new events, links of a trace, copies (some with other content), dead letters."""

    new: int = 0
    structural: int = 0
    duplicates: int = 0
    conflicts: int = 0
    dead_letters: int = 0

    def add(self, other: "Stored") -> None:
        """Count what became of other records in."""
        self.new += other.new
        self.structural += other.structural
        self.duplicates += other.duplicates
        self.conflicts += other.conflicts
        self.dead_letters += other.dead_letters


class Tally(defaultdict[int, Stored]):
    """What became of each partition's records."""

    def __init__(self) -> None:
        super().__init__(Stored)

    def total(self) -> Stored:
        """Of all partitions."""
        sum_of_all = Stored()
        for stored in self.values():
            sum_of_all.add(stored)
        return sum_of_all


class Store:
    """The processors' door to Postgres. It feeds every generation that was handed over to the partition's owner."""

    def __init__(self, pool: asyncpg.Pool, building: int | None = None) -> None:
        """`building`: feed this generation, which is being built, and no other."""
        self._pool = pool
        self._building = building
        self._days: set[date] = set()

    async def claim(self, topic: str, first_offsets: dict[int, int], cluster_id: str) -> dict[int, tuple[int, str]]:
        """The stored `(next offset, cluster id)` of partitions; one never seen before begins at its first offset."""
        partitions = sorted(first_offsets)
        firsts = [first_offsets[partition] for partition in partitions]
        await self._run("claim_offsets", topic, partitions, firsts, cluster_id)
        rows = await self._run("read_offsets", topic, partitions)
        return {row["partition"]: (row["next_offset"], row["cluster_id"]) for row in rows}

    async def next_offsets(self, topic: str, partitions: Sequence[int]) -> dict[int, int]:
        """The stored next offset of partitions that were claimed before."""
        rows = await self._run("read_offsets", topic, sorted(partitions))
        return {row["partition"]: row["next_offset"] for row in rows}

    async def observe(self, topic: str, seen: dict[int, tuple[int, int]], asked_at: datetime) -> None:
        """Note `partition -> (our offset, end offset)` as of `asked_at`, for lag and freshness."""
        partitions = sorted(seen)
        offsets, ends = [seen[p][0] for p in partitions], [seen[p][1] for p in partitions]
        await self._run("observe_offsets", topic, partitions, offsets, ends, asked_at)

    async def accept_gap(self, topic: str, offsets: dict[int, int], cluster_id: str) -> None:
        """Go on from these offsets, whatever was stored."""
        partitions = sorted(offsets)
        await self._run("accept_gap", topic, partitions, [offsets[p] for p in partitions], cluster_id)

    async def commit(self, slices: Sequence[Slice]) -> Stored:
        """Store a batch: all of it, or nothing.

        Raises:
            Fenced: some partitions are not where the slices begin; nothing was stored.
            StoreAway: the database is in trouble. When the connection broke at COMMIT the outcome is unknown:
                read the stored offsets before trying again.
        """
        try:
            await self._ensure_days(slices)
            async with self._pool.acquire() as connection:
                return await whole_or_apart(lambda apart: self._attempt(connection, slices, apart=apart))
        except TROUBLE as fault:
            raise StoreAway(f"{type(fault).__name__}: {fault}") from fault

    async def _run(self, name: str, *arguments: Any) -> list[asyncpg.Record]:
        try:
            return await self._pool.fetch(load_sql("processors", name), *arguments)
        except TROUBLE as fault:
            raise StoreAway(f"{type(fault).__name__}: {fault}") from fault

    async def _ensure_days(self, slices: Sequence[Slice]) -> None:
        """Attach missing day partitions in short transactions of their own, before the batch takes its locks."""
        for day in {item.day for part in slices for item in part.events} - self._days:
            await self._pool.execute(load_sql("processors", "ensure_day"), day)
            self._days.add(day)

    async def _attempt(self, connection: Connection, slices: Sequence[Slice], *, apart: bool) -> Stored:
        """One transaction. With `apart`, events that the database refuses are found and set aside.

        Returns what the oldest of the generations took in.
        """
        tallies: list[Tally] = []
        async with connection.transaction():
            expected = {part.partition: part.expected_offset for part in slices}
            held = await hold(connection, slices[0].topic, expected, self._building)
            for generation, clocks in sorted(held.items()):
                parts = [part for part in slices if part.partition in clocks]
                tallies.append(await self._feed(connection, generation, parts, clocks, apart=apart))
        return tallies[0].total()

    async def hand_over(
        self, generation: int, topic: str, partition: int, read_to: Callable[[int], Slice | None]
    ) -> bool:
        """Let the partition's owner feed a generation that is being built, from the offset on where the owner is.

        `read_to` gives the records from this generation's offset up to that one, which must be few: the owner waits.
        It gives None when it has not all of them yet; then nothing is done.
        """

        async def attempt(apart: bool) -> bool:
            async with connection.transaction():
                rows = await connection.fetch(load_sql("processors", "hold_generations"), topic, partition)
                clocks = {row["generation"]: row["log_time"] for row in rows}
                owner = max(row["next_offset"] for row in rows if row["generation"] != generation)
                part = read_to(owner)
                if part is None:
                    return False
                if part.expected_offset < owner:
                    clock = {partition: clocks[generation]}
                    await self._feed(connection, generation, [part], clock, apart=apart)
                await connection.execute(load_sql("processors", "hand_over"), topic, partition)
                return True

        try:
            async with self._pool.acquire() as connection:
                return await whole_or_apart(attempt)
        except TROUBLE as fault:
            raise StoreAway(f"{type(fault).__name__}: {fault}") from fault

    async def _feed(
        self, connection: Connection, generation: int, parts: list[Slice], clocks: Clocks, *, apart: bool
    ) -> Tally:
        """Take slices into one generation, whose fence rows are held."""
        await enter_generation(connection, generation)
        tally, refused = await self._take_in(connection, parts, clocks, apart=apart)
        letters = [letter for part in parts for letter in part.dead_letters] + refused
        await _write_dead_letters(connection, generation, letters)
        for letter in letters:
            tally[letter.place.partition].dead_letters += 1
        await _move_offsets(connection, generation, parts, tally)
        return tally

    async def _take_in(
        self, connection: Connection, slices: Sequence[Slice], clocks: Clocks, *, apart: bool
    ) -> tuple[Tally, list[DeadLetter]]:
        """Store and fold what the slices hold, in one generation, and say what the database refused."""
        fresh, tally = await new_events(connection, [item for part in slices for item in part.events])
        if not apart:
            await write_events(connection, fresh)
            return tally, []
        refused = [refusal(item, fault) for item, fault in await write_apart(connection, fresh, write_events)]
        for letter in refused:
            tally[letter.place.partition].new -= 1
        return tally, refused


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


async def hold(
    connection: Connection, topic: str, expected: dict[int, int], building: int | None = None
) -> dict[int, Clocks]:
    """Take the fence rows of partitions until the transaction ends, and say which generations their owner feeds.

    Raises:
        Fenced: a partition is not at the expected offset, or a generation has come to be fed or left at this moment.
    """
    partitions = sorted(expected)
    rows = await connection.fetch(
        load_sql("processors", "hold_offsets"),
        topic,
        partitions,
        [expected[partition] for partition in partitions],
        building,
    )
    held: dict[int, Clocks] = {}
    together: dict[int, list[int]] = {}
    for row in rows:
        held.setdefault(row["generation"], {})[row["partition"]] = row["log_time"]
        together[row["partition"]] = row["fed_with"]
    # Rows are found in a snapshot and then waited for: one that a replay hands over meanwhile is named by the others.
    moved_on = {
        partition
        for partition in partitions
        if any(partition not in held.get(number, {}) for number in together.get(partition, [0]))
    }
    if moved_on:
        raise Fenced(moved_on)
    return held


async def _move_offsets(connection: Connection, generation: int, slices: Sequence[Slice], tally: Tally) -> None:
    """Move the fence rows, which are held, past what was taken in."""
    counts = [tally[part.partition] for part in slices]
    await connection.execute(
        load_sql("processors", "move_offsets"),
        generation,
        slices[0].topic,
        [part.partition for part in slices],
        [part.next_offset for part in slices],
        [part.end_offset for part in slices],
        [part.as_of for part in slices],
        [count.new for count in counts],
        [count.structural for count in counts],
        [count.duplicates for count in counts],
        [count.conflicts for count in counts],
        [count.dead_letters for count in counts],
    )


async def new_events(connection: Connection, events: list[Decoded]) -> tuple[list[Decoded], Tally]:
    """The events that are neither stored nor repeated within the batch, sorted by key; the first copy counts."""
    first: dict[tuple[Any, ...], Decoded] = {}
    tally = Tally()
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
    fresh = [first[key] for key in keys if key in first]
    if len(await connection.fetch(load_sql("infra", "list_generations"))) > 1:
        fresh = await as_recorded(connection, fresh)
    for item in fresh:
        tally[item.place.partition].new += 1
    return fresh, tally


async def as_recorded(connection: Connection, events: list[Decoded]) -> list[Decoded]:
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


async def write_events(connection: Connection, events: list[Decoded]) -> None:
    """Write requests, records and roll-ups of events that are new."""
    if not events:
        return
    await connection.copy_records_to_table("requests", records=map(request_row, events), columns=REQUEST_COLUMNS)
    records = [record_row(item) for item in events if not item.is_recorded]
    await connection.copy_records_to_table("records", records=records, columns=RECORD_COLUMNS)
    await write_folds(connection, fold(events))


async def write_folds(connection: Connection, folds: tuple[list[list[Any]], list[list[Any]]]) -> None:
    """Add what `fold` made to the roll-ups."""
    sessions, paths = folds
    if sessions:
        await connection.execute(load_sql("processors", "fold_sessions"), *sessions)
    if paths:
        await connection.execute(load_sql("processors", "fold_session_paths"), *paths)


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


async def _write_dead_letters(connection: Connection, generation: int, letters: list[DeadLetter]) -> None:
    if not letters:
        return
    ordered = sorted(letters, key=lambda letter: (letter.place.partition, letter.place.offset))
    await connection.execute(
        load_sql("processors", "insert_dead_letters"),
        generation,
        ordered[0].place.topic,
        [letter.place.partition for letter in ordered],
        [letter.place.offset for letter in ordered],
        [letter.key for letter in ordered],
        [letter.value for letter in ordered],
        [letter.step for letter in ordered],
        [letter.reason for letter in ordered],
        [letter.detail.replace("\0", "\N{REPLACEMENT CHARACTER}") for letter in ordered],
    )
