"""The rows of `trace_spans`: loading what a join needs, noting what it changed, forgetting what is over."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import asyncpg
import msgspec

from infra.postgres import load_sql
from processors.batch import Received, Slice
from processors.dead_letters import Connection
from processors.traces import CHAIN_SPANS_MAX, REMEMBERED, Key, Link

WAITING_SPANS_MAX = 5_000
"""How many spans that waited one transaction joins: a single trace may have hundreds of thousands. Their order is no
matter, nor is when they are joined, because whether an ancestor counts is in its `log_time`."""
DUE_SPANS_MAX = 2_000
"""Windows that one transaction closes in a partition. Later ones close in the next; it changes nothing for them."""
FORGOTTEN_SPANS_MIN, FORGOTTEN_SPANS_PER_SPAN = 100, 2
"""How many old spans a batch forgets in a partition: more than it adds, so that the table does not grow for ever."""


LINK_COLUMNS = Link.__struct_fields__
CHANGING_COLUMNS = LINK_COLUMNS[LINK_COLUMNS.index("is_open") :]
"""What `update_links.sql` sets, after the key."""


async def load_known(
    connection: Connection, batch: Iterable[Received], awaited: Iterable[Key]
) -> tuple[dict[Key, Link], list[Link]]:
    """What is remembered of a batch's spans and of those that wait for one of them or the `awaited`, with ancestors.

    The second are also by themselves; when they are WAITING_SPANS_MAX, more may be waiting.
    """
    spans = [(*key_of(received), received.span.parent_span_id) for received in batch]
    spans += [(*key, None) for key in awaited]
    columns = list(zip(*spans, strict=True)) or [(), (), (), ()]
    rows = await connection.fetch(load_sql("processors", "load_links"), *columns, CHAIN_SPANS_MAX, WAITING_SPANS_MAX)
    known = {link.key: link for row in rows if (link := as_link(row))}
    waiting = [known[row["project_id"], row["trace_id"].hex, row["span_id"]] for row in rows if row["is_waiting"]]
    return known, waiting


def key_of(received: Received) -> Key:
    """The span's place among all spans."""
    return received.span.project_id, received.span.trace_id, received.span.span_id


async def load_awaited(connection: Connection, partitions: Sequence[int]) -> list[Key]:
    """Spans that have come, but not all that waited for them are joined yet."""
    rows = await connection.fetch(load_sql("processors", "load_awaited"), partitions)
    return [(row["project_id"], row["trace_id"].hex, row["span_id"]) for row in rows]


async def note_waiting(connection: Connection, keys: Iterable[Key]) -> None:
    """Note which of these spans are waited for still, though they have come."""
    await connection.execute(load_sql("processors", "note_waiting"), *zip(*keys, strict=True))


async def load_due(connection: Connection, read_to: dict[int, datetime]) -> list[Link]:
    """Spans whose windows have closed and that wait still."""
    partitions = sorted(read_to)
    moments = [read_to[partition] for partition in partitions]
    rows = await connection.fetch(load_sql("processors", "load_due_links"), partitions, moments, DUE_SPANS_MAX)
    return [as_link(row) for row in rows]


def as_link(row: asyncpg.Record) -> Link:
    """A row of `trace_spans`."""
    values = {name: row[name] for name in LINK_COLUMNS}
    values["trace_id"] = values["trace_id"].hex
    return Link(**values)


async def insert_links(connection: Connection, links: Iterable[Link]) -> None:
    """Remember spans that come for the first time."""
    rows = [msgspec.structs.astuple(link) for link in links]
    await connection.copy_records_to_table("trace_spans", records=rows, columns=LINK_COLUMNS)


async def update_links(connection: Connection, links: Sequence[Link]) -> None:
    """Note how spans that are remembered are now."""
    if links:
        rows = [(*link.key, *(getattr(link, name) for name in CHANGING_COLUMNS)) for link in links]
        await connection.execute(load_sql("processors", "update_links"), *zip(*rows, strict=True))


async def forget(connection: Connection, parts: Sequence[Slice], read_to: dict[int, datetime]) -> None:
    """Forget spans that can be no ancestor any more, in steps that keep up with what arrives."""
    await connection.execute(
        load_sql("processors", "forget_links"),
        [part.partition for part in parts],
        [read_to[part.partition] - REMEMBERED for part in parts],
        [FORGOTTEN_SPANS_MIN + FORGOTTEN_SPANS_PER_SPAN * len(part.spans) for part in parts],
    )
