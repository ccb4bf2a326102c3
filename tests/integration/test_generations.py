"""Two generations in one store: drops, stops, retention and second attempts hold for both. On real Postgres."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from infra.postgres import make_pool
from infra.projects import change_settings, ensure_project
from ingest.event import Record
from processors import generations
from processors.batch import EventReader, Slice
from processors.errors import GenerationStopped
from processors.requeue import LOOK_INTERVAL_SECONDS, Requeue
from processors.retention import retain
from processors.store import Store
from tests.factories import TOPIC, make_slice, native_record, now_us
from tests.recomputation import assert_rollups_exact

POISON = "ALTER TABLE generation_{0}.requests ADD CONSTRAINT no_poison CHECK (user_id <> 'poison')"
CURE = "ALTER TABLE generation_{0}.requests DROP CONSTRAINT no_poison"
DAY_SECONDS = 24 * 3600


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    pool = await make_pool(database, application_name="test-two", connections_max=4, statement_timeout_ms=20_000)
    yield pool
    await pool.close()


@pytest.fixture
async def store(pool: asyncpg.Pool) -> Store:
    store = Store(pool)
    await store.claim(TOPIC, {0: 0}, "cluster")
    return store


async def begin(pool: asyncpg.Pool) -> Store:
    """Begin generation 2; the store that builds it."""
    async with pool.acquire() as connection:
        assert await generations.begin(connection, {TOPIC: {0: 0}}, {TOPIC: "cluster"}, "test", None) == 2
    return Store(pool, building=2)


async def hand_over(building: Store, rest: Slice) -> None:
    def read_to(owner: int) -> Slice:
        assert owner == rest.next_offset
        return rest

    assert await building.hand_over(2, TOPIC, 0, read_to)


async def assert_equal(pool: asyncpg.Pool, database: str) -> None:
    """Both generations hold the same, and each is exact."""
    async with pool.acquire() as connection:
        found = await generations.compare(connection, 1, 2)
    assert found.faults == []
    assert not any(found.differences.values()), found.differences
    await assert_rollups_exact(database)
    async with pool.acquire() as connection:
        await generations.serve(connection, 2)
    await assert_rollups_exact(database)


async def states(pool: asyncpg.Pool) -> list[tuple[int, int, str]]:
    rows = await pool.fetch('SELECT generation, "offset", state FROM dead_letters ORDER BY generation, "offset"')
    return [tuple(row) for row in rows]


async def test_a_replay_passes_over_what_was_dropped(store: Store, pool: asyncpg.Pool, database: str) -> None:
    await pool.execute(POISON.format(1))
    records = [native_record(user_id=user, session_id="s") for user in ("fine", "poison", "fine", "poison")]
    await store.commit([make_slice(records)])
    await pool.execute("UPDATE dead_letters SET state = 'drop'")
    await pool.execute(CURE.format(1))
    building = await begin(pool)
    stored = await building.commit([make_slice(records[:2])])
    assert (stored.new, stored.drops, stored.dead_letters) == (1, 1, 0)
    await hand_over(building, make_slice(records[2:], expected_offset=2))
    assert await states(pool) == [(number, offset, "drop") for number in (1, 2) for offset in (1, 3)]
    assert (await store.commit([make_slice(records, expected_offset=4)])).duplicates == 2
    await assert_equal(pool, database)


async def test_letters_are_taken_back_into_every_generation(store: Store, pool: asyncpg.Pool, database: str) -> None:
    building = await begin(pool)
    await hand_over(building, make_slice([]))
    for number in (1, 2):
        await pool.execute(POISON.format(number))
    poison = native_record(user_id="poison", session_id="s")
    stored = await store.commit([make_slice([native_record(session_id="s"), poison])])
    assert (stored.new, stored.dead_letters) == (1, 1)
    for number in (1, 2):
        await pool.execute(CURE.format(number))
    await pool.execute("UPDATE dead_letters SET state = 'requeue'")
    requeue = Requeue(store, EventReader(), TOPIC)
    await requeue.take_back(await requeue.look(LOOK_INTERVAL_SECONDS, [0]), {0: 2})
    assert await states(pool) == [(1, 1, "done"), (2, 1, "done")]
    assert await pool.fetchval("SELECT count(*) FROM requests") == 2
    await assert_equal(pool, database)


async def test_only_the_served_generation_is_held_up(store: Store, pool: asyncpg.Pool) -> None:
    building = await begin(pool)
    await hand_over(building, make_slice([]))
    await pool.execute("INSERT INTO stopped_generations VALUES (2, now(), $1, 1, '{x}', '{1}')", TOPIC)
    assert (await store.commit([make_slice([native_record()])])).new == 1
    async with pool.acquire() as connection:
        await generations.serve(connection, 2)
    part = make_slice([native_record()], expected_offset=1)
    with pytest.raises(GenerationStopped):
        await store.commit([part])
    async with pool.acquire() as connection:
        await generations.serve(connection, 1)
        await generations.drop(connection, 2)
    assert (await store.commit([part])).new == 1
    assert await pool.fetchval("SELECT count(*) FROM stopped_generations") == 0


async def test_retention_holds_for_every_generation(store: Store, pool: asyncpg.Pool, database: str) -> None:
    def started(days_ago: int) -> Record:
        at_us = now_us() - days_ago * DAY_SECONDS * 1_000_000
        return native_record(received_at_us=at_us, started_at=at_us / 1e6, ended_at=at_us / 1e6, session_id="s")

    async with pool.acquire() as connection:
        # Another project keeps all, so that no day is dropped whole.
        for name in ("one", "two"):
            await ensure_project(connection, name)  # type: ignore[arg-type]
    records = [started(50), started(0)]
    await store.commit([make_slice(records)])
    building = await begin(pool)
    await hand_over(building, make_slice(records))
    async with pool.acquire() as connection:
        await change_settings(connection, 1, {"retention_days": 30})  # type: ignore[arg-type]
    await retain(pool)
    assert [await pool.fetchval(f"SELECT count(*) FROM generation_{number}.requests") for number in (1, 2)] == [1, 1]
    assert await pool.fetchval("SELECT count(*) FROM records") == 1
    stored = await store.commit([make_slice([started(49), *records], expected_offset=2)])
    assert (stored.new, stored.expired, stored.duplicates) == (0, 2, 1)
    async with pool.acquire() as connection:
        assert (await generations.compare(connection, 1, 2)).faults == []
    sums = await pool.fetch(
        "SELECT next_offset, stored_count + duplicate_count + expired_count + dead_letter_count + drop_count "
        "FROM offsets"
    )
    assert [tuple(row) for row in sums] == [(5, 5), (5, 5)]


async def test_a_hand_over_makes_the_days_that_it_needs(store: Store, pool: asyncpg.Pool) -> None:
    records = [native_record()]
    await store.commit([make_slice(records)])
    building = await begin(pool)
    name = await pool.fetchval(
        "SELECT relname FROM pg_class WHERE relname ~ '^requests_\\d{8}$' AND relname <> 'requests_00010101' "
        "AND relnamespace = 'generation_2'::regnamespace"
    )
    await pool.execute(f"DROP TABLE generation_2.{name}")
    await hand_over(building, make_slice(records))
    assert await pool.fetchval("SELECT count(*) FROM generation_2.requests") == 1
