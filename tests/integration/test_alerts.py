"""Rules fire once a session, by its row after the fold: on real Postgres.

Method: batches through the store of the served generation, in any order and more than once, and the table of alerts.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, cast

import asyncpg
import msgspec
import pytest
from typer.testing import CliRunner

from infra.postgres import make_pool
from infra.projects import change_settings, ensure_project
from ingest.event import Record
from processors.__main__ import command
from processors.alerts import AlertRules
from processors.batch import DeadLetter, Place
from processors.errors import StoreAway
from processors.idle_failures import fire_idle_failures
from processors.retention import retain
from processors.span_store import SpanStore
from processors.store import Store
from tests.factories import TOPIC, make_slice, native_record, now_us
from tests.span_logs import TOPIC as SPANS_TOPIC
from tests.span_logs import Shape, received, span_slice

WEBHOOK = {"url": "http://127.0.0.1:1/hook", "secret": "0123456789abcdef"}
FAILED = {"name": "failed", "kind": "session_failed"}
COST = {"name": "costly", "kind": "cost_above", "usd": 0.001}
DURATION = {"name": "slow", "kind": "duration_above", "seconds": 60}
SHARE = {"name": "errors", "kind": "error_share_above", "share": 0.5, "requests_min": 3}
IDLE_SECONDS = 100


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    pool = await make_pool(database, application_name="test-alerts", connections_max=4, statement_timeout_ms=20_000)
    async with pool.acquire() as connection:
        assert await ensure_project(cast(asyncpg.Connection, connection), "one") == 1
    await decide(pool, [FAILED, COST, DURATION, SHARE])
    yield pool
    await pool.close()


@pytest.fixture
async def store(pool: asyncpg.Pool) -> Store:
    return await open_store(pool)


async def open_store(pool: asyncpg.Pool) -> Store:
    """With the rules as they are now."""
    store = Store(pool, AlertRules(pool))
    await store.claim(TOPIC, {0: 0}, "cluster")
    return store


async def decide(pool: asyncpg.Pool, alerts: list[dict[str, Any]]) -> None:
    async with pool.acquire() as connection:
        changes = {"alerts": alerts, "webhook": WEBHOOK, "idle_limit_seconds": IDLE_SECONDS}
        await change_settings(cast(asyncpg.Connection, connection), 1, changes)


async def commit(store: Store, *records: Record) -> None:
    (offset,) = (await store.next_offsets(TOPIC, [0])).values()
    await store.commit([make_slice(list(records), expected_offset=offset)])


async def fired(pool: asyncpg.Pool) -> list[tuple[str, str]]:
    rows = await pool.fetch("SELECT session_id, rule FROM alerts ORDER BY 1, 2")
    return [tuple(row) for row in rows]


def ended(outcome: str, **fields: Any) -> Record:
    content = msgspec.Raw(msgspec.json.encode({"outcome": outcome}))
    return msgspec.structs.replace(native_record(**fields), source="native.end", content=content)


def request(ago_seconds: float = 0, *, seconds: float = 1, status: int = 200, **fields: Any) -> Record:
    """An llm request that ended and was received so long ago."""
    ended_us = now_us() - int(ago_seconds * 1e6)
    started, ended = ended_us / 1e6 - seconds, ended_us / 1e6
    return native_record(
        received_at_us=ended_us, kind="llm", status=status, started_at=started, ended_at=ended, **fields
    )


async def folded_up_to(pool: asyncpg.Pool, moment: datetime) -> None:
    await pool.execute("UPDATE offsets SET as_of = $1", moment)


async def test_each_rule_fires_beyond_its_limit_and_not_at_it(store: Store, pool: asyncpg.Pool) -> None:
    await commit(
        store,
        *(request(session_id=name, cost_nanousd=cost) for name, cost in (("cost", 1_000_001), ("at-cost", 1_000_000))),
        # Two short requests that lie far apart last as long as one that is long.
        *(request(ago, session_id="time") for ago in (90, 0)),
        request(session_id="at-time", seconds=60),
        *(request(session_id="share", status=status) for status in (500, 500, 200)),
        *(request(session_id="at-share", status=status) for status in (500, 500, 200, 200)),
        *(request(session_id="too-few", status=500) for _ in range(2)),
        ended("failed", session_id="end"),
        ended("completed", session_id="at-end"),
    )
    expected = [("cost", "costly"), ("end", "failed"), ("share", "errors"), ("time", "slow")]
    assert await fired(pool) == expected
    figures = await pool.fetchrow("SELECT kind, threshold, request_count, duration_us FROM alerts WHERE rule = 'slow'")
    assert figures is not None
    kind, threshold, count, duration_us = figures
    # Each request has the clock's time of its own.
    assert (kind, threshold, count, duration_us // 1_000_000) == ("duration_above", 60.0, 2, 91)


@pytest.mark.parametrize("seed", range(4))
async def test_no_order_copy_or_batching_fires_a_rule_twice(store: Store, pool: asyncpg.Pool, seed: int) -> None:
    rng = Random(seed)
    records = [
        *(request(rng.uniform(0, 200), session_id="s", status=500, cost_nanousd=600_000) for _ in range(4)),
        ended("failed", session_id="s"),
    ]
    log = [*records, *rng.choices(records, k=5)]
    rng.shuffle(log)
    while log:
        size = rng.randint(1, 4)
        await commit(store, *log[:size])
        log = log[size:]
    assert await fired(pool) == [("s", "costly"), ("s", "errors"), ("s", "failed"), ("s", "slow")]


async def test_a_batch_that_does_not_commit_fires_nothing(store: Store, pool: asyncpg.Pool) -> None:
    """The dead letters come last, and this one cannot be written."""
    batch = make_slice([request(cost_nanousd=2_000_000)])
    batch.dead_letters.append(DeadLetter(Place(TOPIC, 0, 0), None, b"", "decode", cast(Any, None), ""))
    with pytest.raises(StoreAway):
        await store.commit([batch])
    assert await fired(pool) == []


async def test_only_the_served_generation_fires(pool: asyncpg.Pool) -> None:
    replay = Store(pool)
    await replay.claim(TOPIC, {0: 0}, "cluster")
    await commit(replay, request(cost_nanousd=2_000_000, status=500), ended("failed"))
    assert await fired(pool) == []
    assert await pool.fetchval("SELECT count(*) FROM failure_watches") == 0


async def test_a_rule_that_is_new_fires_at_the_next_event_of_a_session(store: Store, pool: asyncpg.Pool) -> None:
    await decide(pool, [])
    await commit(await open_store(pool), request(cost_nanousd=2_000_000))
    await decide(pool, [COST])
    assert await fired(pool) == []
    await commit(await open_store(pool), request(cost_nanousd=0))
    assert await fired(pool) == [("s-1", "costly")]


async def test_of_nested_spans_that_both_report_their_cost_one_counts(pool: asyncpg.Pool) -> None:
    """Each costs 1,000 nano-USD. Between the two folds of the batch that brings the inner one both are in the row."""
    await decide(pool, [{**COST, "usd": 0.0000015}])
    store = SpanStore(pool, AlertRules(pool))
    await store.claim(SPANS_TOPIC, {0: 0}, "cluster")
    shapes = [Shape(None, "llm", session="s", has_usage=True), Shape(0, "llm", has_usage=True)]
    for number, shape in enumerate(shapes):
        await store.commit([span_slice([received(number, shape, offset=number)])])
    assert await pool.fetchval("SELECT cost_nanousd FROM sessions") == 1_000
    assert await fired(pool) == []
    await store.commit([span_slice([received(2, Shape(0, "llm", has_usage=True), offset=2)])])
    assert await fired(pool) == [("s", "costly")]


async def test_a_session_whose_last_event_is_an_error_fails_once_it_is_idle(store: Store, pool: asyncpg.Pool) -> None:
    await decide(pool, [FAILED])
    await commit(
        store,
        request(2 * IDLE_SECONDS, session_id="idle", status=500),
        request(IDLE_SECONDS / 2, session_id="active", status=500),
        request(3 * IDLE_SECONDS, session_id="went-on", status=500),
        request(2 * IDLE_SECONDS, session_id="went-on"),
        request(3 * IDLE_SECONDS, session_id="ended", status=500),
        ended("completed", session_id="ended"),
    )
    now = datetime.now(UTC)
    await folded_up_to(pool, now - timedelta(seconds=1.5 * IDLE_SECONDS))
    await fire_idle_failures(pool)
    assert await fired(pool) == []
    await folded_up_to(pool, now)
    for _ in range(2):
        await fire_idle_failures(pool)
        assert await fired(pool) == [("idle", "failed")]
    await folded_up_to(pool, now + timedelta(seconds=IDLE_SECONDS))
    await fire_idle_failures(pool)
    assert await fired(pool) == [("active", "failed"), ("idle", "failed")]
    assert await pool.fetchval("SELECT count(*) FROM failure_watches") == 0


async def test_an_idle_session_is_judged_by_what_came_after_it_was_noted(store: Store, pool: asyncpg.Pool) -> None:
    """The note says when it was due first; a second error puts that off, and a success ends it without a note."""
    await decide(pool, [FAILED])
    await commit(store, *(request(2 * IDLE_SECONDS, session_id=name, status=500) for name in ("again", "well")))
    await pool.execute("CREATE TABLE noted AS SELECT * FROM failure_watches")
    await commit(store, request(0, session_id="again", status=500), request(0, session_id="well"))
    await pool.execute(
        "UPDATE failure_watches w SET due_at = n.due_at FROM noted n WHERE n.session_key = w.session_key"
    )
    await folded_up_to(pool, datetime.now(UTC))
    await fire_idle_failures(pool)
    assert await fired(pool) == []
    rows = await pool.fetch("SELECT session_id FROM failure_watches JOIN sessions USING (project_id, session_key)")
    assert [row["session_id"] for row in rows] == ["again"]


async def test_a_session_that_a_worker_is_changing_is_left_for_later(store: Store, pool: asyncpg.Pool) -> None:
    await decide(pool, [FAILED])
    await commit(store, request(2 * IDLE_SECONDS, status=500))
    await folded_up_to(pool, datetime.now(UTC))
    async with pool.acquire() as worker, worker.transaction():
        await worker.execute("SELECT FROM failure_watches FOR UPDATE")
        await fire_idle_failures(pool)
        assert await fired(pool) == []
    await fire_idle_failures(pool)
    assert await fired(pool) == [("s-1", "failed")]


async def test_while_a_partition_does_not_say_how_far_it_is_nobody_is_idle(store: Store, pool: asyncpg.Pool) -> None:
    await commit(store, request(2 * IDLE_SECONDS, status=500))
    await folded_up_to(pool, datetime.now(UTC))
    await store.claim(TOPIC, {1: 0}, "cluster")
    assert await pool.fetchval("SELECT count(*) FROM offsets WHERE generation = 1 AND as_of IS NULL") == 1
    await fire_idle_failures(pool)
    assert await fired(pool) == []


async def test_alerts_leave_with_their_session(store: Store, pool: asyncpg.Pool) -> None:
    await commit(
        store, request(5 * 24 * 3600, session_id="old", cost_nanousd=2_000_000), request(cost_nanousd=2_000_000)
    )
    async with pool.acquire() as connection:
        changes = {"retention_days": 1, "session_retention_days": 1}
        await change_settings(cast(asyncpg.Connection, connection), 1, changes)
    await retain(pool)
    assert await fired(pool) == [("s-1", "costly")]


async def test_the_command_lists_what_became_of_alerts(store: Store, pool: asyncpg.Pool, database: str) -> None:
    await commit(store, request(cost_nanousd=2_000_000), ended("failed"))
    await pool.execute(
        "UPDATE alerts SET state = 'failed', attempts = 32, last_error = 'answered 500' WHERE rule = 'costly'"
    )
    said = await listed(database, "--state", "failed", "--project", "one")
    assert all(word in said for word in ("costly", "s-1", "answered 500", "32"))
    assert WEBHOOK["secret"] not in said
    assert "pending" not in said


async def listed(database: str, *arguments: str) -> str:
    """What the command says, which makes an event loop of its own."""
    environment = {"PATHLINE_POSTGRES": database, "COLUMNS": "200"}
    answer = await asyncio.to_thread(CliRunner().invoke, command, ["alerts", "list", *arguments], env=environment)
    assert answer.exit_code == 0, answer.output
    return answer.output
