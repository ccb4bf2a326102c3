"""The spans' side of the store: the same fenced transaction, which also joins what the batch's traces have in common.

A trace lies in one partition, so the partition's fence row is the lock of everything that is remembered of it; closing
windows without a batch takes the same row.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import orjson
import structlog

from infra.generations import enter_generation
from infra.postgres import load_sql
from ingest.event import Event
from processors.alerts import NO_RULES, AlertRules
from processors.batch import DeadLetter, Decoded, Place, Received, Slice
from processors.dead_letters import Connection
from processors.errors import TROUBLE, Fenced
from processors.event_rows import refusal, sift, write_apart, write_events, write_folds
from processors.fences import Clocks, hold
from processors.rollup import cached_path, cached_text_key, fold
from processors.spans import make_link
from processors.store import Store, whole_or_apart
from processors.tally import Stored, Tally, total
from processors.trace_rows import (
    WAITING_SPANS_MAX,
    forget,
    insert_links,
    key_of,
    load_awaited,
    load_due,
    load_known,
    note_waiting,
    update_links,
)
from processors.traces import Found, Key, Link, decided, join

log = structlog.get_logger()


class Joining(msgspec.Struct, gc=False):
    """A stored event as it is before or after a join."""

    place: Place
    event: Event
    is_path_provisional: bool


class Change(msgspec.Struct, gc=False):
    """What a transaction writes about one span."""

    link: Link
    received: Received | None = None
    """The span's record, if this batch brought it."""
    item: Decoded | None = None
    """The event that it became."""
    before: Joining | None = None
    """With `after`: the span's event that an earlier batch stored."""
    after: Joining | None = None


class SpanStore(Store):
    """The processors' door to Postgres for the topic of spans."""

    def __init__(self, pool: asyncpg.Pool, rules: AlertRules = NO_RULES, building: int | None = None) -> None:
        super().__init__(pool, rules, building)
        self._clock: datetime | None = None

    async def observe(self, topic: str, seen: dict[int, tuple[int, int]], asked_at: datetime) -> None:
        """Note how far partitions are, as `Store` does, and close windows where nothing is left to read.

        The time that counts is one from before the ends were asked for, which the previous observation left behind.
        """
        await super().observe(topic, seen, asked_at)
        at_end = {partition: offset for partition, (offset, end) in seen.items() if offset >= end}
        clock = self._clock
        ((self._clock,),) = await self._run("read_clock")
        if clock is None or not at_end:
            return
        due: dict[int, datetime] = {}
        for row in await self._run("list_fed_generations", topic):
            for part in await self._find_due(row["generation"], topic, sorted(at_end), clock):
                due[part["partition"]] = max(due.get(part["partition"], part["read_to"]), part["read_to"])
        for partition, read_to in due.items():
            await self._close_windows(topic, partition, at_end[partition], read_to)

    async def _find_due(
        self, generation: int, topic: str, partitions: list[int], clock: datetime
    ) -> list[asyncpg.Record]:
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                await enter_generation(connection, generation)
                return await connection.fetch(
                    load_sql("processors", "find_due_partitions"), generation, topic, partitions, clock
                )
        except TROUBLE as fault:
            raise await self._away(fault) from fault

    async def _close_windows(self, topic: str, partition: int, offset: int, read_to: datetime) -> None:
        async def attempt(apart: bool) -> None:
            async with connection.transaction():
                held = await hold(connection, topic, {partition: (offset, offset)})
                for generation in sorted(held.clocks):
                    await held.enter(connection, generation)
                    awaited = await load_awaited(connection, [partition])
                    known, waiting = await load_known(connection, [], awaited)
                    rules = self._rules_in(generation, held)
                    await join_and_write(
                        connection, topic, {}, known, waiting, awaited, {partition: read_to}, rules, apart=apart
                    )

        try:
            await self._rules.refresh()
            async with self._pool.acquire() as connection:
                await whole_or_apart(attempt)
        except Fenced:
            return
        except TROUBLE as fault:
            raise await self._away(fault) from fault

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
        parts = sorted(slices, key=lambda part: part.partition)
        batch = [received for part in parts for received in part.spans]
        awaited = await load_awaited(connection, [part.partition for part in parts])
        known, waiting = await load_known(connection, batch, awaited)
        first, copies = first_copies(parts, known)
        events = [item for received in first if (item := received.item)]
        fresh, expired, tally = await sift(connection, events, has_others=has_others)
        for partition, counts in copies.items():
            tally[partition] = total([tally[partition], counts])

        items = {(item.place.partition, item.place.offset): item for item in fresh}
        read_to, arrived = append_times(parts, clocks)
        links: dict[Key, Change] = {}
        for received in first:
            item = items.get((received.place.partition, received.place.offset))
            link = make_link(received, arrived[received.place.partition, received.place.offset], item)
            links[link.key] = Change(link, received, item)
        refused = await join_and_write(
            connection, parts[0].topic, links, known, waiting, awaited, read_to, rules, apart=apart
        )
        if refused:
            _uncount(tally, refused, first, fresh, expired)
        await forget(connection, parts, read_to)
        return tally, refused


async def join_and_write(
    connection: Connection,
    topic: str,
    new: dict[Key, Change],
    known: dict[Key, Link],
    waiting: list[Link],
    awaited: list[Key],
    read_to: dict[int, datetime],
    rules: AlertRules,
    *,
    apart: bool,
) -> list[DeadLetter]:
    """Join new spans and those that waited, close windows up to `read_to`, write all of it; what was refused.

    Spans that have waited for one that came are not closed before they are joined with it, which may be a later time.
    """
    woken = {*new, *awaited}
    left = [link for link in await load_due(connection, read_to) if (*link.key[:2], link.waits_for) not in woken]
    due = [known.get(link.key, link) for link in left]
    seen = [*waiting, *(change.link for change in new.values())]
    due += [link for link in seen if link.closes_at < read_to.get(link.partition, link.closes_at)]
    found = join(known, [change.link for change in new.values()], waiting, due)
    settle_new(new.values(), found)
    joined = [link for link in [*known.values(), *due] if link.key in found and link.key not in new]
    changes = [*new.values(), *await changes_of(connection, topic, joined, found)]
    refused = await write(connection, changes, rules, apart=apart)
    if awaited or len(waiting) >= WAITING_SPANS_MAX:
        await note_waiting(connection, woken)
    return refused


def _uncount(
    tally: Tally,
    refused: Iterable[DeadLetter],
    first: Iterable[Received],
    fresh: Iterable[Decoded],
    expired: Iterable[Decoded],
) -> None:
    """Take refused spans out of the counts in which they are."""
    new, old = {item.place for item in fresh}, {item.place for item in expired}
    structural = {received.place for received in first if received.item is None}
    for letter in refused:
        counts = tally[letter.place.partition]
        if letter.place in new:
            counts.new -= 1
        elif letter.place in old:
            counts.expired -= 1
        elif letter.place in structural:
            counts.structural -= 1
        else:
            counts.duplicates -= 1


def first_copies(parts: Iterable[Slice], known: dict[Key, Link]) -> tuple[list[Received], Tally]:
    """The spans that come for the first time, in order of the log, and how many are links only or copies."""
    first: dict[Key, Received] = {}
    tally = Tally(Stored)
    for part in parts:
        counts = tally[part.partition]
        for received in part.spans:
            key = key_of(received)
            remembered = known.get(key)
            earlier = remembered.content_hash if remembered else first.setdefault(key, received).content_hash
            if remembered is not None or first[key] is not received:
                counts.duplicates += 1
                counts.conflicts += earlier != received.content_hash
            else:
                counts.structural += received.item is None
    return list(first.values()), tally


def append_times(
    parts: Iterable[Slice], before: dict[int, datetime | None]
) -> tuple[dict[int, datetime], dict[tuple[int, int], datetime]]:
    """The log's time at the end of each partition and at each of its spans: it never steps back, as a clock may."""
    read_to: dict[int, datetime] = {}
    at: dict[tuple[int, int], datetime] = {}
    for part in parts:
        now = before[part.partition]
        for received in part.spans:
            now = received.log_time if now is None else max(now, received.log_time)
            at[part.partition, received.place.offset] = now
        read_to[part.partition] = part.as_of if now is None else max(now, part.as_of)
    return read_to, at


def settle_new(changes: Iterable[Change], found: dict[Key, Found]) -> None:
    """Let new events say what was found for them."""
    for change in changes:
        if change.item is not None:
            change.item = msgspec.structs.replace(
                change.item,
                event=decided(change.item.event, change.link, found[change.link.key]),
                is_path_provisional=change.link.is_path_provisional,
            )


async def changes_of(
    connection: Connection, topic: str, links: Sequence[Link], found: dict[Key, Found]
) -> list[Change]:
    """What a join changes about stored events. Of one that retention has removed only the span is left to change."""
    by_key = {link.key: link for link in links}
    changes = [Change(link) for link in by_key.values()]
    rows = await connection.fetch(
        load_sql("processors", "load_joining_events"),
        [change.link.project_id for change in changes],
        [change.link.day for change in changes],
        [change.link.event_id for change in changes],
    )
    for row in rows:
        values = dict(row)
        change = changes[values.pop("place") - 1]
        values["properties"] = orjson.loads(values["properties"])
        place = Place(topic, change.link.partition, change.link.offset)
        before = Joining(place, is_path_provisional=values.pop("is_path_provisional"), event=Event(**values))
        event = decided(before.event, change.link, found[change.link.key])
        after = Joining(place, event, change.link.is_path_provisional or event.session_id is None)
        if after != before:
            change.before, change.after = before, after
    return changes


async def write(connection: Connection, changes: list[Change], rules: AlertRules, *, apart: bool) -> list[DeadLetter]:
    """Write changes; with `apart` those that the database refuses come back as dead letters, or are given up."""
    if not apart:
        await write_changes(connection, changes, rules=rules)
        return []
    letters, given_up = [], []
    for change, fault in await write_apart(connection, changes, partial(write_changes, rules=rules)):
        if change.received is not None:
            letters.append(refusal(change.received, fault))
        else:
            # The event stays as it was stored, and nothing more is tried with it.
            log.error("join_refused", event_id=str(change.link.event_id), fault=f"{type(fault).__name__}: {fault}")
            change.link.is_open, change.link.waits_for = False, None
            given_up.append(change.link)
    await update_links(connection, given_up)
    return letters


async def write_changes(connection: Connection, changes: list[Change], *, rules: AlertRules) -> None:
    """Write new events, what changes about stored ones, the roll-ups of both, and what is remembered of the spans.

    Rules look at the sessions last: between the two folds a session counts what nested spans both report.
    """
    items = [change.item for change in changes if change.item is not None]
    after = [(change.link, change.after) for change in changes if change.after is not None]
    before = [change.before for change in changes if change.before is not None]
    added = await write_events(
        connection, sorted(items, key=lambda item: (item.event.project_id, item.day, item.event.event_id))
    )
    changed = fold([joining for _, joining in after], before)
    if after:
        await connection.execute(load_sql("processors", "update_joined_events"), *joined_columns(after))
        await write_folds(connection, changed)
    await rules.fire(connection, added, changed)
    await insert_links(connection, [change.link for change in changes if change.received is not None])
    await update_links(connection, [change.link for change in changes if change.received is None])


def joined_columns(joined: Iterable[tuple[Link, Joining]]) -> list[list[Any]]:
    """The parameters of `update_joined_events.sql`."""
    columns: list[list[Any]] = [[] for _ in range(10)]
    for link, after in joined:
        event = after.event
        session_key: UUID | None = None
        path_key: UUID | None = None
        if event.session_id:
            session_key = cached_text_key(event.session_id)
            path_key = None if after.is_path_provisional else cached_text_key(cached_path(event.path))
        row = (
            *(event.project_id, link.day, event.event_id, session_key, path_key, event.session_id),
            *(event.session_name, event.path, event.user_id, link.usage_counted_by),
        )
        for column, value in zip(columns, row, strict=True):
            column.append(value)
    return columns
