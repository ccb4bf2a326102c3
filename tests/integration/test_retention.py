"""Requests leave by age with their records, and everything that was counted stays: on real Postgres.

Method: a store of sessions over old and new days, the job run over it, and the tables compared with what they were.
"""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

import asyncpg
import pytest

from infra.postgres import make_pool
from infra.project_settings import InvalidSettings
from infra.projects import change_settings, create_key, ensure_project
from ingest.event import Record
from processors.retention import retain
from processors.store import Store
from tests.factories import TOPIC, make_slice, native_record, now_us
from tests.integration.query_service import query_client

DAY_US = 24 * 3600 * 1_000_000


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    pool = await make_pool(
        database,
        application_name="test-retention",
        connections_max=4,
        statement_timeout_ms=20_000,
        # Tests change tables, not the views.
        options={"search_path": "generation_1, public"},
    )
    yield pool
    await pool.close()


@pytest.fixture
async def store(pool: asyncpg.Pool) -> Store:
    async with pool.acquire() as connection:
        assert [await ensure_project(cast(asyncpg.Connection, connection), name) for name in ("one", "two")] == [1, 2]
    store = Store(pool)
    await store.claim(TOPIC, {partition: 0 for partition in range(3)}, "cluster")
    return store


async def decide(pool: asyncpg.Pool, project_id: int, **changes: Any) -> None:
    async with pool.acquire() as connection:
        await change_settings(cast(asyncpg.Connection, connection), project_id, changes)


def started(days_ago: int, *, received_days_ago: int | None = None, **fields: Any) -> Record:
    """An event that started so long ago and was received then, unless another time is given."""
    at = now_us() - days_ago * DAY_US
    received = at if received_days_ago is None else now_us() - received_days_ago * DAY_US
    return native_record(received_at_us=received, started_at=at / 1e6, ended_at=at / 1e6, **fields)


async def rollups(pool: asyncpg.Pool) -> list[list[tuple[object, ...]]]:
    return [
        [tuple(row) for row in await pool.fetch(f"SELECT * FROM {name} ORDER BY 1, 2, 3")]
        for name in ("sessions", "session_paths")
    ]


async def left(pool: asyncpg.Pool) -> list[tuple[int, int]]:
    """How many requests and records each project has."""
    rows = await pool.fetch(
        "SELECT project_id, (SELECT count(*) FROM records c WHERE c.project_id = r.project_id), count(*) "
        "FROM requests r GROUP BY 1 ORDER BY 1"
    )
    assert all(row[1] == row[2] for row in rows)
    return [(row[0], row[2]) for row in rows]


async def days(pool: asyncpg.Pool) -> list[str]:
    return [row[0] for row in await pool.fetch("SELECT relname FROM pg_class WHERE relname ~ '^requests_\\d{8}$'")]


async def test_a_day_that_nobody_keeps_is_dropped_and_the_totals_stay(store: Store, pool: asyncpg.Pool) -> None:
    old, new = started(50, session_id="s"), started(0, session_id="s")
    await store.commit([make_slice([old, new])])
    before, partitions = await rollups(pool), await days(pool)
    await decide(pool, 1, retention_days=30)
    await decide(pool, 2, retention_days=10)
    await retain(pool)
    assert await left(pool) == [(1, 1)]
    assert len(await days(pool)) == len(partitions) - 1
    assert await rollups(pool) == before
    # A copy cannot be told from a new event: it is not counted again, and makes no dead letter.
    stored = await store.commit([make_slice([old, new], expected_offset=2)])
    assert (stored.new, stored.duplicates, stored.expired, stored.dead_letters) == (0, 1, 1, 0)
    assert await rollups(pool) == before


async def test_a_day_that_is_kept_again_is_made_again(store: Store, pool: asyncpg.Pool) -> None:
    """The worker remembers which days it made; one was dropped since, and a project that keeps it has events."""
    await store.commit([make_slice([started(50)])])
    await decide(pool, 1, retention_days=30)
    await decide(pool, 2, retention_days=30)
    await retain(pool)
    await pool.execute("DELETE FROM requests_since")
    batch = make_slice([started(50)], expected_offset=1)
    with pytest.raises(Exception, match="no partition of relation"):
        await store.commit([batch])
    assert (await store.commit([batch])).new == 1
    assert await pool.fetchval("SELECT count(*) FROM dead_letters") == 0


async def test_a_shorter_retention_deletes_in_batches(
    store: Store, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processors.retention.ROWS_PER_STATEMENT_MAX", 2)
    monkeypatch.setattr("processors.retention.STATEMENTS_PER_RUN_MAX", 3)
    # The last four lie in the ordinary partition.
    ages = [*[(50, None)] * 5, *[(500, 0)] * 4, (0, None)]
    records = [started(ago, received_days_ago=received) for ago, received in ages]
    await store.commit([make_slice(records)])
    await decide(pool, 1, retention_days=30)
    await retain(pool)
    assert await left(pool) == [(1, 4)]
    await retain(pool)
    assert await left(pool) == [(1, 1)]
    since = await pool.fetch("SELECT project_id, day FROM requests_since")
    today: date = datetime.now(UTC).date()
    assert [tuple(row) for row in since] == [(1, today - timedelta(days=31))]


async def test_a_drop_gives_way_to_readers(store: Store, pool: asyncpg.Pool) -> None:
    await store.commit([make_slice([started(50)])])
    await decide(pool, 1, retention_days=30)
    await decide(pool, 2, retention_days=30)
    partitions = await days(pool)
    async with pool.acquire() as reader, reader.transaction():
        await reader.fetchval("SELECT count(*) FROM requests")
        await retain(pool)
        assert await days(pool) == partitions
        # Others write meanwhile.
        assert (await store.commit([make_slice([started(0)], expected_offset=1)])).new == 1
    await retain(pool)
    assert len(await days(pool)) == len(partitions)


async def test_sessions_leave_by_their_own_retention(store: Store, pool: asyncpg.Pool) -> None:
    await store.commit([make_slice([started(50, session_id="old"), started(0, session_id="new")])])
    await decide(pool, 1, retention_days=10, session_retention_days=60)
    await retain(pool)
    assert await pool.fetchval("SELECT count(*) FROM sessions") == 2
    await decide(pool, 1, session_retention_days=40)
    await retain(pool)
    assert [row[0] for row in await pool.fetch("SELECT session_id FROM sessions")] == ["new"]
    assert await pool.fetchval("SELECT count(*) FROM session_paths") == 1


async def test_hours_and_uses_leave_with_the_sessions(
    store: Store, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processors.retention.ROWS_PER_STATEMENT_MAX", 2)
    old = [started(50, session_id="old", user_id=f"u{number}", path=f"/{number}") for number in range(5)]
    again = [started(ago, session_id="old", user_id="again", path="/again") for ago in (50, 0)]
    other = started(50, session_id="other", user_id="other", project_id=2)
    await store.commit([make_slice([*old, *again, other])])
    await decide(pool, 1, retention_days=10, session_retention_days=40)
    await retain(pool)
    assert [tuple(row) for row in await pool.fetch("SELECT project_id, path FROM path_hours ORDER BY 1")] == [
        (1, "/again"),
        (2, "/"),
    ]
    uses = await pool.fetch("SELECT project_id, value, use_count FROM catalogue ORDER BY 1")
    assert [tuple(row) for row in uses] == [(1, "again", 2), (2, "other", 1)]


async def test_sessions_do_not_leave_before_their_requests(store: Store, pool: asyncpg.Pool) -> None:
    with pytest.raises(InvalidSettings, match="may not be shorter"):
        await decide(pool, 1, retention_days=10, session_retention_days=9)


async def test_answers_say_since_when_requests_are_stored(store: Store, pool: asyncpg.Pool, database: str) -> None:
    async with pool.acquire() as connection:
        key = await create_key(cast(asyncpg.Connection, connection), 1, "reader", can_read=True)
    await store.commit([make_slice([started(50, session_id="s"), started(20, session_id="s")])])
    async with query_client(database, key) as client:
        before = (await client.post("/v1/session/query", json={})).json()
        assert "requests_since" not in before
        await decide(pool, 1, retention_days=30)
        await retain(pool)
        since = f"{datetime.now(UTC).date() - timedelta(days=31)}T00:00:00.000Z"
        after = (await client.post("/v1/session/query", json={})).json()
        assert (after["data"], after["requests_since"]) == (before["data"], since)
        # Its first request cannot be looked at any more, so the session that straddles the edge is answered whole.
        edge = (now_us() - 40 * DAY_US) / 1000
        straddled = (await client.post("/v1/session/query", json={"timeFilter": {"startTimeUnixMs": edge}})).json()
        assert (straddled["data"], straddled["requests_since"]) == (before["data"], since)
        # A window of stored requests is counted exactly.
        edge = (now_us() - 30 * DAY_US) / 1000
        stored = (await client.post("/v1/session/query", json={"timeFilter": {"startTimeUnixMs": edge}})).json()
        assert stored["data"][0]["total_requests"] == 1
        assert "requests_since" not in stored
        listed = (await client.post("/v1/request/query", json={})).json()
        assert (len(listed["data"]), listed["requests_since"]) == (1, since)
        session = (await client.get("/v1/sessions/s")).json()
        assert (session["data"]["request_count"], session["requests_since"]) == (2, since)


async def test_a_run_that_is_cut_off_leaves_nothing_half_done(store: Store, pool: asyncpg.Pool) -> None:
    """The connections break between deleting records and deleting requests; `left` compares the two tables."""
    await store.commit([make_slice([started(50) for _ in range(6)])])
    await decide(pool, 1, retention_days=30)
    await pool.execute(
        "CREATE FUNCTION break_off() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN OLD; END $$"
    )
    await pool.execute("CREATE TRIGGER break_off BEFORE DELETE ON requests FOR EACH ROW EXECUTE FUNCTION break_off()")
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await retain(pool)
    assert await left(pool) == [(1, 6)]
    await pool.execute("DROP TRIGGER break_off ON requests")
    await retain(pool)
    assert await left(pool) == []
