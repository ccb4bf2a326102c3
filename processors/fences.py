"""The fence: the rows of `offsets` that a transaction holds, and which generations it feeds by them."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import asyncpg

from infra.generations import enter_generation
from infra.postgres import load_sql
from processors.batch import Slice
from processors.dead_letters import Connection, Offsets
from processors.errors import Fenced
from processors.tally import Tally

Clocks = dict[int, datetime | None]
"""Partition -> the greatest broker time of what was folded before, None for nothing."""


@dataclass
class Held:
    """Fence rows that a transaction holds until it ends."""

    clocks: dict[int, Clocks] = field(default_factory=dict)
    """Generation -> its partitions."""
    served: int | None = None
    """The served generation, if it is among them."""
    entered: int | None = None
    """The generation whose derived tables the transaction's statements mean."""
    is_stopped: bool = False
    """The served generation is. Another one that is goes on with it: its dead letters keep what fails."""
    has_others: bool = False
    """More than one generation exists, so that a record may be stored of an event that is new here."""
    with_drops: set[int] = field(default_factory=set)
    """Partitions with dropped records in their runs."""

    async def enter(self, connection: Connection, generation: int) -> None:
        """Let the statements from now on mean the tables of this generation."""
        if generation != self.entered:
            await enter_generation(connection, generation)
            self.entered = generation


async def hold(connection: Connection, topic: str, runs: Offsets, building: int | None = None) -> Held:
    """Take the fence rows of partitions, of every generation that their owner feeds, and enter the first of these.

    `runs`: partition -> the offset at which it must be, the one behind what is to be taken in. `building`: take the
    rows of this generation alone, which a replay builds.

    Raises:
        Fenced: a partition is not at the expected offset, or a generation has come to be fed or left at this moment.
    """
    partitions = sorted(runs)
    rows = await connection.fetch(
        load_sql("processors", "hold_offsets"),
        topic,
        partitions,
        [runs[partition][0] for partition in partitions],
        [runs[partition][1] for partition in partitions],
        building,
    )
    _see_that_all_are_held(partitions, rows)
    clocks: dict[int, Clocks] = defaultdict(dict)
    for row in rows:
        clocks[row["generation"]][row["partition"]] = row["log_time"]
    return Held(
        clocks=clocks,
        served=next((row["generation"] for row in rows if row["is_served"]), None),
        entered=min(clocks),
        is_stopped=any(row["is_served"] and row["is_stopped"] for row in rows),
        has_others=any(row["has_others"] for row in rows),
        with_drops={row["partition"] for row in rows if row["has_drops"]},
    )


def _see_that_all_are_held(partitions: Collection[int], rows: Collection[asyncpg.Record]) -> None:
    # Rows are found in a snapshot and then waited for: one that a replay hands over meanwhile is named by the others.
    held = {(row["generation"], row["partition"]) for row in rows}
    together = {row["partition"]: row["fed_with"] for row in rows}
    moved_on = {
        partition
        for partition in partitions
        if partition not in together or any((number, partition) not in held for number in together[partition])
    }
    if moved_on:
        raise Fenced(moved_on)


async def move_offsets(connection: Connection, generation: int, slices: Sequence[Slice], tally: Tally) -> None:
    """Move fence rows, which are held, past what was taken in."""
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
        [count.expired for count in counts],
        [count.dead_letters for count in counts],
        [count.drops for count in counts],
    )
