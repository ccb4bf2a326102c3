"""The store's one transaction on real Postgres: counted once, all or nothing, bad rows set apart, trouble raised.

Method: slices are made as the loop makes them, committed, and the tables compared with a recomputation.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import msgspec
import pytest

from infra.postgres import load_sql, make_pool
from ingest.event import FAR_DAY, Record, new_event_id
from processors.batch import Place, take
from processors.errors import Fenced, StoreAway
from processors.prices import VERSION
from processors.store import Store
from tests.factories import TOPIC, UNDECODABLE, keyed, make_slice, native_record, now_us, random_records
from tests.recomputation import assert_rollups_exact
from tests.services import run_statements, wait_until

DAY_US = 24 * 3600 * 1_000_000


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    pool = await make_pool(
        database,
        application_name="test-store",
        connections_max=3,
        statement_timeout_ms=20_000,
        # Tests change tables, not the views.
        options={"search_path": "generation_1, public"},
    )
    yield pool
    await pool.close()


@pytest.fixture
async def store(pool: asyncpg.Pool) -> Store:
    store = Store(pool)
    await store.claim(TOPIC, {partition: 0 for partition in range(3)}, "cluster")
    return store


async def table(pool: asyncpg.Pool, name: str) -> list[dict[str, Any]]:
    return [dict(row) for row in await pool.fetch(f"SELECT * FROM {name} ORDER BY 1, 2, 3")]


async def test_events_are_stored_and_rolled_up(store: Store, pool: asyncpg.Pool, database: str) -> None:
    records = list(random_records(1, count=300, sessions=20))
    stored = await store.commit([make_slice(records)])
    assert (stored.new, stored.duplicates, stored.dead_letters) == (300, 0, 0)
    assert await pool.fetchval("SELECT count(*) FROM requests") == 300
    assert await pool.fetchval("SELECT count(*) FROM records") == 300
    assert await store.next_offsets(TOPIC, [0]) == {0: 300}
    await assert_rollups_exact(database)


async def test_a_session_that_began_read_only_is_not_kept(store: Store, database: str) -> None:
    name = urlsplit(database).path[1:]
    await run_statements(database, f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    pool = await make_pool(database, application_name="test-store", connections_max=1, statement_timeout_ms=20_000)
    store = Store(pool)
    with pytest.raises(StoreAway, match="ReadOnlySQLTransactionError"):
        await store.commit([make_slice([native_record()])])
    writing = "SET default_transaction_read_only = off"
    await run_statements(database, writing, f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
    assert (await store.commit([make_slice([native_record()])])).new == 1
    await pool.close()


async def test_bodies_come_back_byte_for_byte(store: Store, pool: asyncpg.Pool) -> None:
    request = b'{ "n" : 12345678901234567890123.50, "t":"a\\u0000\\ud83d\\ude00\xc3\xa9", "a": 1, "a": 2 }'
    await store.commit([make_slice([native_record(request=request)])])
    assert (await pool.fetchval("SELECT request_body FROM records")).encode() == request


@pytest.mark.parametrize("seed", range(8))
async def test_order_copies_and_batching_do_not_matter(store: Store, pool: asyncpg.Pool, seed: int) -> None:
    """Any order, duplication, batching and partition give the same roll-ups."""
    rng = random.Random(seed)
    records = list(random_records(seed, count=200, sessions=8))
    await store.commit([make_slice(records)])
    expected = [await table(pool, name) for name in ("sessions", "session_paths")]
    await pool.execute("TRUNCATE requests, records, sessions, session_paths, path_hours, catalogue")
    copies = records + rng.sample(records, 60)
    rng.shuffle(copies)
    positions = {1: 0, 2: 0}
    while copies:
        count = rng.randrange(1, 80)
        part, copies = copies[:count], copies[count:]
        partition = rng.choice([1, 2])
        await store.commit([make_slice(part, partition=partition, expected_offset=positions[partition])])
        positions[partition] += len(part)
    assert [await table(pool, name) for name in ("sessions", "session_paths")] == expected


async def test_a_copy_with_other_content_is_a_conflict(store: Store, pool: asyncpg.Pool, database: str) -> None:
    at = now_us()
    first = native_record(event_id=new_event_id(at), received_at_us=at, request=b"1")
    same = msgspec.structs.replace(first, received_at_us=at + 5)
    other = msgspec.structs.replace(first, request=msgspec.Raw(b"2"))
    stored = await store.commit([make_slice([first, same, other])])
    assert (stored.new, stored.duplicates, stored.conflicts) == (1, 2, 1)
    stored = await store.commit([make_slice([same, other], expected_offset=3)])
    assert (stored.new, stored.duplicates, stored.conflicts) == (0, 2, 1)
    assert await pool.fetchval("SELECT request_body FROM records") == "1"
    await assert_rollups_exact(database)


async def test_a_slice_that_does_not_continue_is_fenced(store: Store, pool: asyncpg.Pool) -> None:
    """The second of two workers that believe they own a partition changes nothing, not even elsewhere."""
    records = list(random_records(2, count=20, sessions=2))
    await store.commit([make_slice(records[:10])])
    with pytest.raises(Fenced) as fenced:
        await store.commit([make_slice(records[5:15], expected_offset=5), make_slice(records[15:], partition=1)])
    assert fenced.value.partitions == {0}
    assert await pool.fetchval("SELECT count(*) FROM requests") == 10
    assert await store.next_offsets(TOPIC, [0, 1]) == {0: 10, 1: 0}


async def test_rows_that_the_database_refuses_become_dead_letters(
    store: Store, pool: asyncpg.Pool, database: str
) -> None:
    await pool.execute("ALTER TABLE requests ADD CONSTRAINT no_poison CHECK (user_id <> 'poison')")
    records = list(random_records(3, count=100, sessions=5))
    for place in (17, 18, 70):
        records[place] = native_record(session_id="s-1", user_id="poison")
    stored = await store.commit([make_slice(records)])
    assert (stored.new, stored.dead_letters) == (97, 3)
    letters = await pool.fetch('SELECT "offset", step, reason, state, attempts FROM dead_letters ORDER BY "offset"')
    assert [tuple(row) for row in letters] == [(n, "store", "no_poison", "open", 1) for n in (17, 18, 70)]
    assert await store.next_offsets(TOPIC, [0]) == {0: 100}
    await assert_rollups_exact(database)


async def test_a_sum_beyond_its_column_is_set_apart(store: Store, pool: asyncpg.Pool, database: str) -> None:
    """An overflow belongs to the data: the event that causes it is a dead letter, what was summed stays."""
    await pool.execute("ALTER TABLE sessions ADD CONSTRAINT cost_has_an_end CHECK (cost_nanousd <= 3)")
    records = [native_record(session_id="s", cost_nanousd=1) for _ in range(5)]
    stored = await store.commit([make_slice(records)])
    assert (stored.new, stored.dead_letters) == (3, 2)
    await assert_rollups_exact(database)


async def _make_read_only(pool: asyncpg.Pool) -> None:
    await pool.execute(
        "ALTER DATABASE "
        + await pool.fetchval("SELECT quote_ident(current_database())")
        + " SET default_transaction_read_only = on"
    )
    await pool.expire_connections()


async def _break_the_table(pool: asyncpg.Pool) -> None:
    await pool.execute("ALTER TABLE sessions RENAME TO sessions_away")


@pytest.mark.parametrize("trouble", [_make_read_only, _break_the_table])
async def test_trouble_of_the_database_makes_no_dead_letters(store: Store, pool: asyncpg.Pool, trouble: Any) -> None:
    part = make_slice(list(random_records(4, count=10, sessions=2)))
    await store.commit([make_slice([native_record()], partition=1)])
    await trouble(pool)
    with pytest.raises(StoreAway):
        await store.commit([part])
    assert await pool.fetchval("SELECT count(*) FROM requests") == 1
    assert await pool.fetchval("SELECT count(*) FROM dead_letters") == 0
    assert await store.next_offsets(TOPIC, [0]) == {0: 0}


async def test_an_event_that_another_worker_stores_at_the_same_moment(store: Store, pool: asyncpg.Pool) -> None:
    """The same event in two partitions: the loser of the race is told of trouble, and its next attempt sees a copy."""
    part = make_slice([native_record()])
    await store.commit([part])
    await pool.execute(
        "CREATE TABLE winner AS SELECT * FROM requests; TRUNCATE requests, records, sessions, path_hours, catalogue"
    )
    part.expected_offset, part.next_offset = 1, 2
    async with pool.acquire() as other:
        async with other.transaction():
            await other.execute("INSERT INTO requests SELECT * FROM winner")
            losing = asyncio.create_task(store.commit([part]))

            async def is_blocked() -> bool:
                waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = "
                return bool(await pool.fetchval(waiting + "current_database()") == 1)

            await wait_until(is_blocked, seconds=10, what="the second worker meets the first one's row")
        with pytest.raises(StoreAway):
            await losing
    stored = await store.commit([part])
    assert (stored.new, stored.duplicates, stored.dead_letters) == (0, 1, 0)


def _at(start_us: int, **content: Any) -> Record:
    return native_record(started_at=start_us / 1e6, ended_at=start_us / 1e6, **content)


async def test_requests_lie_in_the_partition_of_their_start_day(store: Store, pool: asyncpg.Pool) -> None:
    at = now_us()
    records = [_at(at), _at(at - 399 * DAY_US), _at(at - 401 * DAY_US), _at(0)]
    await store.commit([make_slice(records)])
    days = [row["day"] for row in await pool.fetch("SELECT day::text FROM requests ORDER BY started_at DESC")]
    assert days[2:] == [str(FAR_DAY)] * 2 == ["0001-01-01"] * 2
    assert all(day > str(FAR_DAY) for day in days[:2])
    flags = [row["flags"] for row in await pool.fetch("SELECT flags FROM requests ORDER BY started_at DESC")]
    assert flags == [[], [], ["clock_far_off"], ["clock_far_off"]]


@pytest.mark.parametrize("name", UNDECODABLE)
async def test_what_cannot_be_decoded_is_kept_with_its_bytes(store: Store, pool: asyncpg.Pool, name: str) -> None:
    part = make_slice([native_record()])
    take(part, Place(TOPIC, 0, 1), b"key", UNDECODABLE[name])
    take(part, Place(TOPIC, 0, 2), *keyed(native_record()))
    stored = await store.commit([part])
    assert (stored.new, stored.dead_letters) == (2, 1)
    (letter,) = await pool.fetch("SELECT * FROM dead_letters")
    assert (letter["offset"], letter["record_key"], letter["record"], letter["step"]) == (
        1,
        b"key",
        UNDECODABLE[name],
        "decode",
    )
    assert letter["reason"] and letter["detail"]


async def test_a_token_count_beyond_its_range_is_clamped_and_flagged(store: Store, pool: asyncpg.Pool) -> None:
    await store.commit([make_slice([native_record(usage={"prompt_tokens": 2**70, "completion_tokens": 7})])])
    (row,) = await pool.fetch("SELECT prompt_tokens, completion_tokens, flags FROM requests")
    assert tuple(row) == (2**40, 7, ["tokens_clamped"])


async def test_events_are_priced_and_what_has_no_price_is_listed(store: Store, pool: asyncpg.Pool) -> None:
    def used(model: str, **fields: Any) -> Record:
        return native_record(session_id="s", kind="llm", provider="OPENAI", model=model, **fields)

    usage = {"usage": {"prompt_tokens": 1_000, "completion_tokens": 100}}
    priced = [used("gpt-4o", **usage), used("gpt-4o", cost_nanousd=5, **usage)]
    unpriced = [used("own", **usage), used("own", **usage), used("other", **usage), used("silent")]
    await store.commit([make_slice(priced + unpriced)])
    rows = await pool.fetch("SELECT cost_nanousd, price_version FROM requests WHERE model = 'gpt-4o' ORDER BY 1")
    assert [tuple(row) for row in rows] == [(5, None), (3_500_000, VERSION)]
    assert await pool.fetchval("SELECT cost_nanousd FROM sessions") == 3_500_005
    listed = await pool.fetch(load_sql("processors", "list_unpriced"), 10)
    assert [(row["model"], row["request_count"]) for row in listed] == [("own", 2), ("other", 1)]
