"""The rows of `dead_letters` as the worker writes them: new letters, drops that hold, what another attempt came to."""

from collections.abc import Collection, Iterable, Sequence

import asyncpg
import msgspec

from infra.postgres import load_sql
from ingest.event import from_us
from processors.batch import DeadLetter, Slice

Connection = asyncpg.pool.PoolConnectionProxy
Offsets = dict[int, tuple[int, int]]
"""Partition -> first offset, offset behind the last."""


async def write_dead_letters(connection: Connection, generation: int, letters: Collection[DeadLetter]) -> None:
    """Keep records that did not become events."""
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
        [_storable(letter.detail) for letter in ordered],
        [letter.state for letter in ordered],
        [from_us(letter.place.timestamp_ms * 1000) for letter in ordered],
    )


def _storable(text: str) -> str:
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


async def load_dropped(connection: Connection, topic: str, runs: Offsets) -> dict[tuple[int, int], asyncpg.Record]:
    """Records in these runs that were dropped, in whatever generation: (partition, offset) -> step, reason, detail."""
    partitions = sorted(runs)
    rows = await connection.fetch(
        load_sql("processors", "load_dropped"),
        topic,
        partitions,
        [runs[partition][0] for partition in partitions],
        [runs[partition][1] for partition in partitions],
    )
    return {(row["partition"], row["offset"]): row for row in rows}


async def without_dropped(connection: Connection, slices: Sequence[Slice], partitions: Collection[int]) -> list[Slice]:
    """The batch with every dropped record of these partitions as a dropped letter, whatever it would become now."""
    topic, runs = slices[0].topic, {part.partition: (part.expected_offset, part.next_offset) for part in slices}
    dropped = await load_dropped(connection, topic, {partition: runs[partition] for partition in partitions})
    return [_pass_over(part, dropped) for part in slices]


def _pass_over(part: Slice, dropped: dict[tuple[int, int], asyncpg.Record]) -> Slice:
    letters = []
    for one in [*(part.spans or part.events), *part.dead_letters]:
        why = dropped.get((one.place.partition, one.place.offset))
        if why is not None:
            letters.append(
                DeadLetter(one.place, one.key, one.value, why["step"], why["reason"], why["detail"], state="drop")
            )
    if not letters:
        return part
    gone = {letter.place.offset for letter in letters}
    rest = restricted(part, offsets_of(part) - gone)
    rest.dead_letters += letters
    return rest


def offsets_of(part: Slice) -> set[int]:
    """Where the slice's records lie."""
    offsets = {one.place.offset for one in part.spans or part.events}
    return offsets | {letter.place.offset for letter in part.dead_letters}


def restricted(part: Slice, offsets: Collection[int]) -> Slice:
    """The slice with the records at these offsets alone; its run of offsets stays."""
    return msgspec.structs.replace(
        part,
        events=[item for item in part.events if item.place.offset in offsets],
        spans=[span for span in part.spans if span.place.offset in offsets],
        dead_letters=[letter for letter in part.dead_letters if letter.place.offset in offsets],
    )


async def lock_requeued(connection: Connection, generation: int, part: Slice) -> set[int]:
    """Offsets of the letters in `part` that are still to be tried again; nobody decides otherwise before we commit."""
    offsets = sorted(offsets_of(part))
    rows = await connection.fetch(
        load_sql("processors", "lock_requeued"), generation, part.topic, part.partition, offsets
    )
    return {row["offset"] for row in rows}


async def settle_dead_letters(
    connection: Connection, generation: int, part: Slice, offsets: Iterable[int], failed: Iterable[DeadLetter]
) -> None:
    """Note that the letters at `offsets` were tried: those that `failed` are open again, the others are done."""
    faults = {letter.place.offset: letter for letter in failed}
    rows = [
        (offset, *((fault.step, fault.reason, _storable(fault.detail)) if fault else (None, None, None)))
        for offset in sorted(offsets)
        for fault in [faults.get(offset)]
    ]
    await connection.execute(
        load_sql("processors", "settle_dead_letters"),
        generation,
        part.topic,
        part.partition,
        *(list(column) for column in zip(*rows, strict=True)),
    )
