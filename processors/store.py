"""One transaction a batch, in one fixed order: fence; by generation requests, records, roll-ups, dead letters, offsets.

A batch that commits has moved the offsets of its partitions and counted each of its events exactly once in every
generation that their owner feeds; a batch that does not has changed nothing. Errors of the data are isolated by
bisecting under savepoints, so that one bad event becomes a dead letter and the rest goes on. Trouble of the database is
raised as `StoreAway` and never makes a dead letter.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import date, datetime
from typing import Any, TypeVar

import asyncpg

from infra.generations import enter_generation
from infra.postgres import load_sql
from processors.alerts import NO_RULES, AlertRules
from processors.batch import DeadLetter, Decoded, Slice
from processors.dead_letters import (
    Connection,
    lock_requeued,
    restricted,
    settle_dead_letters,
    without_dropped,
    write_dead_letters,
)
from processors.errors import TROUBLE, Fenced, GenerationStopped, StoreAway, TooManyDeadLetters, is_data_fault
from processors.event_rows import refusal, sift, write_apart, write_events
from processors.fences import Clocks, Held, hold, move_offsets
from processors.share_guard import ShareGuard
from processors.tally import Stored, Tally, total

Result = TypeVar("Result")


class Store:
    """The processors' door to Postgres. It feeds every generation that was handed over to the partition's owner."""

    def __init__(self, pool: asyncpg.Pool, rules: AlertRules = NO_RULES, building: int | None = None) -> None:
        """`rules`: what fires alerts in the served generation. `building`: feed this generation, and no other."""
        self._pool = pool
        self._rules = rules
        self._building = building
        self._days: set[date] = set()
        self._guard = ShareGuard()

    async def claim(self, topic: str, first_offsets: dict[int, int], log_id: str) -> dict[int, tuple[int, str]]:
        """The stored `(next offset, log id)` of partitions; one never seen before begins at its first offset."""
        partitions = sorted(first_offsets)
        firsts = [first_offsets[partition] for partition in partitions]
        await self._run("claim_offsets", topic, partitions, firsts, log_id)
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

    async def accept_gap(self, topic: str, offsets: dict[int, int], log_id: str) -> None:
        """Go on from these offsets, whatever was stored."""
        partitions = sorted(offsets)
        await self._run("accept_gap", topic, partitions, [offsets[p] for p in partitions], log_id)

    async def commit(self, slices: Sequence[Slice]) -> Stored:
        """Store a batch: all of it, or nothing.

        Raises:
            Fenced: some partitions are not where the slices begin; nothing was stored.
            GenerationStopped: too many records became dead letters, now or before; nothing was stored.
            StoreAway: the database is in trouble. When the connection broke at COMMIT the outcome is unknown:
                read the stored offsets before trying again.
        """
        try:
            return await self._transact(slices, lambda one, apart: self._attempt(one, slices, apart=apart))
        except GenerationStopped:
            self._guard.disarm()
            raise
        except TooManyDeadLetters as fault:
            reasons = list(fault.reasons), list(fault.reasons.values())
            await self._run("stop_generation", slices[0].topic, fault.seen, *reasons)
            self._guard.disarm()
            raise GenerationStopped(str(fault)) from fault

    async def hand_over(
        self, generation: int, topic: str, partition: int, read_to: Callable[[int], Slice | None]
    ) -> bool:
        """Let the partition's owner feed a generation that is being built, from the offset on where the owner is.

        `read_to` gives the records from this generation's offset up to that one, which must be few: the owner waits.
        It gives None when it has not all of them yet; then nothing is done.

        Raises:
            StoreAway: the database is in trouble; nothing was done, or all of it.
        """

        async def attempt(connection: Connection, apart: bool) -> bool:
            async with connection.transaction():
                rows = await connection.fetch(load_sql("processors", "hold_generations"), topic, partition)
                clocks = {row["generation"]: row["log_time"] for row in rows}
                owner = max(row["next_offset"] for row in rows if row["generation"] != generation)
                part = read_to(owner)
                if part is None:
                    return False
                if part.expected_offset < owner:
                    await self._ensure_days([part])
                    parts = await without_dropped(connection, [part], [partition])
                    await enter_generation(connection, generation)
                    clock = {partition: clocks[generation]}
                    await self._feed(connection, generation, parts, clock, rules=NO_RULES, has_others=True, apart=apart)
                await connection.execute(load_sql("processors", "hand_over"), topic, partition)
                return True

        return await self._transact([], attempt)

    async def load_requeued(
        self, topic: str, partitions: Sequence[int], *, rows_max: int, bytes_max: int
    ) -> dict[int, list[asyncpg.Record]]:
        """Dead letters that are to be tried again, by generation, the first in the log first.

        Of each generation that the partitions' owner feeds at most `bytes_max` together, or one.
        """
        found = {}
        for row in await self._run("list_fed_generations", topic):
            number = row["generation"]
            if letters := await self._run("load_requeued", number, topic, partitions, rows_max, bytes_max):
                found[number] = letters
        return found

    async def take_back(self, generation: int, part: Slice) -> Stored:
        """Try dead letters of a partition again, which stays where it is: all of it, or nothing.

        `part` holds the letters as they were read anew. Those that another decision was made about meanwhile are left
        alone. What is stored or was stored already is done; what fails again is open.

        Raises:
            Fenced: the partition is not where the slice says; nothing was stored.
            StoreAway: the database is in trouble; what was committed is not wanted any more.
        """
        return await self._transact([part], lambda one, apart: self._attempt_again(one, generation, part, apart=apart))

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

    def _rules_in(self, generation: int, held: Held) -> AlertRules:
        """What fires alerts in a generation: nothing in one that is not served."""
        return self._rules if generation == held.served else NO_RULES

    async def _transact(
        self, slices: Sequence[Slice], attempt: Callable[[Connection, bool], Awaitable[Result]]
    ) -> Result:
        """Make an attempt at a transaction over slices, and with `True` another one apart; see `whole_or_apart`."""
        try:
            await self._rules.refresh()
            await self._ensure_days(slices)
            async with self._pool.acquire() as connection:
                return await whole_or_apart(lambda apart: attempt(connection, apart))
        except TROUBLE as fault:
            # The trouble may be that a day was dropped: the next attempt makes it again.
            self._days.clear()
            raise await self._away(fault) from fault

    async def _ensure_days(self, slices: Sequence[Slice]) -> None:
        """Attach missing day partitions in short transactions of their own, before the batch takes its locks."""
        for day in {item.day for part in slices for item in part.events} - self._days:
            await self._pool.execute(load_sql("processors", "ensure_day"), day)
            self._days.add(day)

    async def _attempt(self, connection: Connection, slices: Sequence[Slice], *, apart: bool) -> Stored:
        """One transaction. With `apart`, events that the database refuses are found and set aside.

        Returns what became of the records in the served generation, or in the one that is being built.
        """
        window = None
        async with connection.transaction():
            runs = {part.partition: (part.expected_offset, part.next_offset) for part in slices}
            held = await hold(connection, slices[0].topic, runs, self._building)
            if held.is_stopped:
                raise GenerationStopped(str(GenerationStopped.__doc__))
            if held.with_drops:
                slices = await without_dropped(connection, slices, held.with_drops)
            stored = Stored()
            for generation, clocks in sorted(held.clocks.items()):
                await held.enter(connection, generation)
                parts = [part for part in slices if part.partition in clocks]
                rules = self._rules_in(generation, held)
                tally, letters = await self._feed(
                    connection, generation, parts, clocks, rules=rules, has_others=held.has_others, apart=apart
                )
                if generation == held.served:
                    window = self._guard.weigh(parts, letters)
                if generation in (held.served, self._building):
                    stored = total(tally.values())
        if window is not None:
            self._guard.adopt(window)
        return stored

    async def _feed(
        self,
        connection: Connection,
        generation: int,
        parts: Sequence[Slice],
        clocks: Clocks,
        *,
        rules: AlertRules,
        has_others: bool,
        apart: bool,
    ) -> tuple[Tally, list[DeadLetter]]:
        """Take slices into one generation, which is entered and whose fence rows are held; the dead letters."""
        tally, refused = await self._take_in(connection, parts, clocks, rules=rules, has_others=has_others, apart=apart)
        letters = [letter for part in parts for letter in part.dead_letters] + refused
        await write_dead_letters(connection, generation, letters)
        for letter in letters:
            counts = tally[letter.place.partition]
            counts.drops += letter.state == "drop"
            counts.dead_letters += letter.state != "drop"
        await move_offsets(connection, generation, parts, tally)
        return tally, letters

    async def _attempt_again(self, connection: Connection, generation: int, part: Slice, *, apart: bool) -> Stored:
        """One transaction. Who holds the partition's fence row is the one who tries its letters."""
        async with connection.transaction():
            held = await hold(connection, part.topic, {part.partition: (part.expected_offset, part.next_offset)})
            if generation not in held.clocks:
                raise Fenced({part.partition})
            await held.enter(connection, generation)
            wanted = await lock_requeued(connection, generation, part)
            if not wanted:
                return Stored()
            part = restricted(part, wanted)
            # The records keep the broker's times that they have: nothing was folded before the first of them, and the
            # partition is read as far as it is.
            part.as_of = held.clocks[generation][part.partition] or part.as_of
            tally, refused = await self._take_in(
                connection,
                [part],
                {part.partition: None},
                rules=self._rules_in(generation, held),
                has_others=held.has_others,
                apart=apart,
            )
            failed = [*part.dead_letters, *refused]
            await settle_dead_letters(connection, generation, part, wanted, failed)
            tally[part.partition].dead_letters = len(failed)
        return tally[part.partition]

    async def _take_in(
        self,
        connection: Connection,
        slices: Sequence[Slice],
        clocks: Clocks,
        *,
        rules: AlertRules,
        has_others: bool,
        apart: bool,
    ) -> tuple[Tally, list[DeadLetter]]:
        """Store and fold what the slices hold, in the generation that is entered; what the database refused."""
        events = [item for part in slices for item in part.events]
        fresh, _, tally = await sift(connection, events, has_others=has_others)
        if not apart:
            await self._writer(rules)(connection, fresh)
            return tally, []
        refused = [refusal(item, fault) for item, fault in await write_apart(connection, fresh, self._writer(rules))]
        for letter in refused:
            tally[letter.place.partition].new -= 1
        return tally, refused

    @staticmethod
    def _writer(rules: AlertRules) -> Callable[[Connection, list[Decoded]], Awaitable[None]]:
        async def write(connection: Connection, events: list[Decoded]) -> None:
            await rules.fire(connection, await write_events(connection, events))

        return write


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
