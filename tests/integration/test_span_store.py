"""Spans in the store on real Postgres: joined as the whole trace says and counted once, in the batch's transaction.

Method: logs of random traces are committed in random batches; stored events are compared with tests/trace_oracle.py and
roll-ups with a recomputation. Where the time matters, a log is written out.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import asyncpg
import pytest

from infra.postgres import make_pool
from processors import generations
from processors.alerts import AlertRules
from processors.batch import Received
from processors.dead_letters import Connection
from processors.errors import Fenced
from processors.rollup import Columns
from processors.span_store import SpanStore
from processors.traces import REMEMBERED, USAGE_COUNTED_BY
from tests.factories import make_slice
from tests.recomputation import assert_rollups_exact
from tests.span_logs import ORIGIN, TOPIC, Shape, in_batches, random_log, received, span_slice
from tests.trace_oracle import Outcome, Trace

ROOT = Shape(None, "span", session="s-1", name="Trip", user="u-1")
CHILD = Shape(0, "llm", has_usage=True)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    pool = await make_pool(
        database,
        application_name="test-spans",
        connections_max=3,
        statement_timeout_ms=20_000,
        # Tests change tables, not the views.
        options={"search_path": "generation_1, public"},
    )
    yield pool
    await pool.close()


@pytest.fixture
async def store(pool: asyncpg.Pool) -> SpanStore:
    store = SpanStore(pool)
    await store.claim(TOPIC, {0: 0}, "cluster")
    return store


def log_of(*steps: tuple[int, Shape, float]) -> list[Received]:
    """Records of one trace: number, shape, seconds."""
    return [
        received(number, shape, log_time=ORIGIN + timedelta(seconds=seconds), offset=offset)
        for offset, (number, shape, seconds) in enumerate(steps)
    ]


async def close_windows(store: SpanStore, offset: int) -> None:
    """Two looks at the end of the log: the second knows a time from before it looked."""
    for _ in range(2):
        await store.observe(TOPIC, {0: (offset, offset)}, datetime.now(UTC))


async def let_pass(pool: asyncpg.Pool, passed: timedelta) -> None:
    """Let this much time have passed since the partition's last record was folded."""
    await pool.execute("UPDATE offsets SET log_time_seen_at = log_time_seen_at - $1::interval", passed)


async def row_of(pool: asyncpg.Pool, statement: str) -> tuple[object, ...]:
    row = await pool.fetchrow(statement)
    assert row is not None
    return tuple(row)


async def outcomes(pool: asyncpg.Pool) -> dict[tuple[str, str], Outcome]:
    rows = await pool.fetch(
        "SELECT trace_id, span_id, session_id, session_name, user_id, session_path, properties ->> $1 AS counted_by"
        " FROM requests",
        USAGE_COUNTED_BY,
    )
    return {(row[0], row[1]): Outcome(*row[2:]) for row in rows}


def expected(log: list[Received]) -> dict[tuple[str, str], Outcome]:
    by_trace: dict[str, list[Received]] = {}
    now = ORIGIN
    for one in log:
        now = max(now, one.log_time)
        by_trace.setdefault(one.span.trace_id, []).append(_at(one, now))
    return {
        (trace_id, span_id): outcome
        for trace_id, part in by_trace.items()
        for span_id, outcome in Trace(part).outcomes().items()
    }


def _at(one: Received, now: datetime) -> Received:
    one.log_time = now
    return one


@pytest.mark.parametrize("seed", range(8))
async def test_traces_come_out_as_a_look_at_all_of_them_says(
    store: SpanStore, pool: asyncpg.Pool, database: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The odd ones with such small steps that spans are joined and windows closed many batches later."""
    if seed % 2:
        for place in ("span_store.WAITING_SPANS_MAX", "trace_rows.WAITING_SPANS_MAX", "trace_rows.DUE_SPANS_MAX"):
            monkeypatch.setattr(f"processors.{place}", 1)
    rng = Random(seed)
    log = random_log(rng, traces=25)
    for batch in in_batches(rng, log):
        await store.commit([span_slice(batch)])
        if rng.random() < 0.1:
            await assert_rollups_exact(database)
    await let_pass(pool, timedelta(days=30))
    await close_windows(store, len(log))
    for _ in range(len(log) if seed % 2 else 0):
        await close_windows(store, len(log))
    assert await outcomes(pool) == expected(log)
    assert await pool.fetchval("SELECT count(*) FROM trace_spans WHERE is_open") == 0
    assert await pool.fetchval("SELECT count(*) FROM requests WHERE (path_key IS NULL) <> (session_key IS NULL)") == 0
    await assert_rollups_exact(database)


async def test_one_batch_and_single_spans_give_the_same_rows(store: SpanStore, pool: asyncpg.Pool) -> None:
    names = ("sessions", "session_paths", "requests")
    log = random_log(Random(99), traces=20)
    found = []
    for size in (len(log), 1):
        for start in range(0, len(log), size):
            await store.commit([span_slice(log[start : start + size])])
        await let_pass(pool, timedelta(days=30))
        await close_windows(store, len(log))
        found.append({name: await pool.fetch(f"SELECT t::text FROM {name} AS t ORDER BY 1") for name in names})
        await pool.execute("TRUNCATE requests, records, sessions, session_paths, path_hours, catalogue, trace_spans")
        await pool.execute("UPDATE offsets SET next_offset = 0, log_time = NULL, log_time_seen_at = NULL")
    assert found[0] == found[1]


async def test_an_event_is_there_at_once_and_joins_its_session_later(
    store: SpanStore, pool: asyncpg.Pool, database: str
) -> None:
    child, root = log_of((1, CHILD, 0), (0, ROOT, 60))
    await store.commit([span_slice([child])])
    assert [tuple(row) for row in await pool.fetch("SELECT session_id, session_path FROM requests")] == [
        (None, "/provisional/s1")
    ]
    assert await pool.fetchval("SELECT count(*) FROM sessions") == 0
    await store.commit([span_slice([root])])
    rows = await pool.fetch("SELECT session_id, session_name, user_id, session_path FROM requests ORDER BY span_id")
    assert [tuple(row) for row in rows] == [("s-1", "Trip", "u-1", "/s0"), ("s-1", "Trip", "u-1", "/s0/s1")]
    assert await row_of(pool, "SELECT event_count, request_count, prompt_tokens, user_ids, name FROM sessions") == (
        2,
        1,
        11,
        ["u-1"],
        "Trip",
    )
    await assert_rollups_exact(database)


async def test_a_session_takes_an_event_at_once_and_its_path_when_it_is_decided(
    store: SpanStore, pool: asyncpg.Pool, database: str
) -> None:
    child, root = log_of((1, replace(CHILD, session="s-1"), 0), (0, Shape(None, "span", name="Trip", user="u-1"), 60))
    await store.commit([span_slice([child])])
    assert await pool.fetchval("SELECT request_count FROM sessions") == 1
    assert await pool.fetchval("SELECT count(*) FROM session_paths") == 0
    await store.commit([span_slice([root])])
    assert await pool.fetchval("SELECT path FROM session_paths WHERE request_count = 1") == "/s0/s1"
    assert await row_of(pool, "SELECT request_count, name, user_ids FROM sessions") == (1, "Trip", ["u-1"])
    await assert_rollups_exact(database)


async def test_usage_of_an_outer_span_is_taken_off_when_the_inner_one_comes(
    store: SpanStore, pool: asyncpg.Pool, database: str
) -> None:
    outer = Shape(None, "llm", session="s-1", has_usage=True)
    first, second = log_of((0, outer, 0), (1, CHILD, 90))
    await store.commit([span_slice([first])])
    assert await row_of(pool, "SELECT prompt_tokens, cost_nanousd FROM sessions") == (10, 1000)
    await store.commit([span_slice([second])])
    assert await row_of(pool, "SELECT prompt_tokens, cost_nanousd, request_count FROM sessions") == (
        11,
        1000,
        2,
    )
    assert await pool.fetchval("SELECT properties ->> $1 FROM requests WHERE prompt_tokens = 0", USAGE_COUNTED_BY)
    assert await pool.fetchval("SELECT prompt_tokens FROM session_paths WHERE path = '/s0'") == 0
    await assert_rollups_exact(database)


async def test_a_window_closes_at_the_end_of_the_log_and_not_before(
    store: SpanStore, pool: asyncpg.Pool, database: str
) -> None:
    """The broker's clock counts: what has passed since its last record, not what the worker's clock shows."""
    orphan = log_of((1, replace(CHILD, session="s-1"), 0))
    await store.commit([span_slice(orphan)])
    await let_pass(pool, timedelta(seconds=90))
    await close_windows(store, 1)
    assert await pool.fetchval("SELECT count(*) FROM session_paths") == 0
    await let_pass(pool, timedelta(seconds=11))
    await store.observe(TOPIC, {0: (1, 2)}, datetime.now(UTC))
    assert await pool.fetchval("SELECT count(*) FROM session_paths") == 0, "a record was left to read"
    await store.observe(TOPIC, {0: (1, 1)}, datetime.now(UTC))
    assert await pool.fetchval("SELECT path FROM session_paths") == "/provisional/s1"
    await assert_rollups_exact(database)
    late = received(0, ROOT, log_time=ORIGIN + timedelta(seconds=101), offset=1)
    await store.commit([span_slice([late])])
    assert await pool.fetchval("SELECT path FROM session_paths WHERE request_count = 1") == "/provisional/s1"
    await assert_rollups_exact(database)


async def test_a_later_record_of_the_partition_closes_windows(store: SpanStore, pool: asyncpg.Pool) -> None:
    orphan = log_of((1, replace(CHILD, session="s-1"), 0))
    other = received(0, ROOT, trace=2, log_time=ORIGIN + timedelta(seconds=101), offset=1)
    await store.commit([span_slice(orphan)])
    await store.commit([span_slice([other])])
    assert await pool.fetchval("SELECT count(*) FROM session_paths WHERE path = '/provisional/s1'") == 1


async def test_a_worker_that_lost_the_partition_changes_nothing(
    store: SpanStore, pool: asyncpg.Pool, database: str
) -> None:
    child, root = log_of((1, CHILD, 0), (0, ROOT, 1))
    await store.commit([span_slice([child])])
    with pytest.raises(Fenced):
        await store.commit([span_slice([child])])
    with pytest.raises(Fenced):
        await store.commit([span_slice([child, root])])
    await store.commit([span_slice([root])])
    await let_pass(pool, timedelta(days=1))
    await close_windows(store, 1)
    assert await pool.fetchval("SELECT event_count FROM sessions") == 2
    await assert_rollups_exact(database)


async def test_copies_change_nothing_and_other_content_is_counted(store: SpanStore, pool: asyncpg.Pool) -> None:
    step = Shape(0, None)
    log = log_of((1, step, 0), (1, step, 1), (1, replace(step, kind="tool"), 2), (2, CHILD, 3), (2, CHILD, 4))
    stored = await store.commit([span_slice(log[:2])])
    assert (stored.new, stored.duplicates, stored.conflicts) == (0, 1, 0)
    stored = await store.commit([span_slice(log[2:])])
    assert (stored.new, stored.duplicates, stored.conflicts) == (1, 2, 1)
    assert await pool.fetchval("SELECT segment FROM trace_spans WHERE span_id = $1", f"{2:016x}") is None


async def test_a_span_whose_event_is_stored_already_is_a_link_only(
    store: SpanStore, pool: asyncpg.Pool, database: str
) -> None:
    first, twin, child = log_of((0, ROOT, 0), (1, replace(CHILD, parent=0), 0), (2, replace(CHILD, parent=1), 0))
    assert first.item is not None and twin.item is not None
    twin.item.event.event_id, twin.item.day = first.item.event.event_id, first.item.day
    stored = await store.commit([span_slice([first, twin, child])])
    assert (stored.new, stored.duplicates, stored.conflicts) == (2, 1, 1)
    assert await pool.fetchval("SELECT session_path FROM requests WHERE span_id = $1", f"{3:016x}") == "/s0/s1/s2"
    await assert_rollups_exact(database)


async def test_what_the_database_refuses_is_set_apart_and_the_rest_joins(
    store: SpanStore, pool: asyncpg.Pool, database: str
) -> None:
    await pool.execute("ALTER TABLE requests ADD CONSTRAINT no_poison CHECK (session_path <> '/s0/s2')")
    log = log_of((2, CHILD, 0), (1, CHILD, 0), (0, ROOT, 5), (3, replace(CHILD, user="poison"), 6))
    await pool.execute("ALTER TABLE requests ADD CONSTRAINT no_user CHECK (user_id <> 'poison')")
    await store.commit([span_slice(log[:2])])
    stored = await store.commit([span_slice(log[2:])])
    assert (stored.new, stored.dead_letters) == (1, 1)
    rows = await pool.fetch("SELECT span_id, session_id FROM requests ORDER BY span_id")
    assert [tuple(row) for row in rows] == [(f"{1:016x}", "s-1"), (f"{2:016x}", "s-1"), (f"{3:016x}", None)]
    assert await pool.fetchval("SELECT reason FROM dead_letters") == "no_user"
    assert await pool.fetchval("SELECT count(*) FROM trace_spans WHERE is_open") == 0
    await assert_rollups_exact(database)


async def test_a_span_that_cannot_be_remembered_holds_nobody_up(store: SpanStore, pool: asyncpg.Pool) -> None:
    log = log_of((0, ROOT, 0), (1, Shape(0, None, session="nul\0"), 0), (2, CHILD, 0))
    stored = await store.commit([span_slice(log)])
    assert (stored.new, stored.dead_letters) == (2, 1)
    assert await pool.fetchval("SELECT count(*) FROM trace_spans") == 2
    assert await store.next_offsets(TOPIC, [0]) == {0: 3}


async def test_old_spans_are_forgotten_unless_one_of_their_trace_waits(store: SpanStore, pool: asyncpg.Pool) -> None:
    later = REMEMBERED + timedelta(seconds=101)
    root, waiting = log_of((0, ROOT, 0), (2, replace(CHILD, parent=1, window_seconds=7 * 24 * 3600), 0))
    done = received(0, ROOT, trace=2, log_time=ORIGIN, offset=2)
    await store.commit([span_slice([root, waiting, done])])
    await store.commit([span_slice([received(0, ROOT, trace=3, log_time=ORIGIN + later, offset=3)])])
    rows = await pool.fetch("SELECT trace_id, span_id FROM trace_spans ORDER BY 1, 2")
    assert [(row[0].int, row[1]) for row in rows] == [(1, f"{1:016x}"), (1, f"{3:016x}"), (3, f"{1:016x}")]
    assert await store.next_offsets(TOPIC, [0]) == {0: 4}
    assert await pool.fetchval("SELECT count(*) FROM offsets") == 1


class Fired(AlertRules):
    """Rules that note in which generation they were asked."""

    def __init__(self) -> None:
        super().__init__(None)
        self.homes: list[str] = []

    async def fire(self, connection: Connection, *folds: dict[str, Columns]) -> None:
        self.homes.append(await connection.fetchval("SELECT current_schema()"))


async def test_closing_windows_fires_rules_in_the_served_generation_alone(pool: asyncpg.Pool) -> None:
    rules = Fired()
    store = SpanStore(pool, rules)
    await store.claim(TOPIC, {0: 0}, "cluster")
    async with pool.acquire() as connection:
        number = await generations.begin(connection, {TOPIC: {0: 0}}, {TOPIC: "cluster"}, "test", None)
    assert await SpanStore(pool, building=number).hand_over(number, TOPIC, 0, lambda _: make_slice([], topic=TOPIC))
    await store.commit([span_slice(log_of((1, replace(CHILD, session="s-1"), 0)))])
    rules.homes.clear()
    await let_pass(pool, timedelta(days=1))
    await close_windows(store, 1)
    assert rules.homes == ["generation_1"]
