"""Dead letters on real Postgres: tried again exactly once, dropped for good, and a share that stops the generation.

Method: the stores and readers of both topics are driven as the loop drives them; a constraint or a missing version of
settings makes a record fail, and taking away the one or adding the other mends it. What people type is the commands.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import asyncpg
import msgspec
import pytest
from typer.testing import CliRunner, Result

from infra.postgres import make_pool
from infra.projects import SettingsBook, change_settings, ensure_project
from ingest.decode.otlp import encode_span_record
from ingest.event import encode_record, from_us, new_event_id
from processors.__main__ import command
from processors.batch import EventReader, Place, Reader, Slice
from processors.errors import GenerationStopped
from processors.requeue import LOOK_INTERVAL_SECONDS, Requeue
from processors.span_store import SpanStore
from processors.spans import SpanReader
from processors.store import Store
from tests.factories import TOPIC, UNDECODABLE, make_slice, native_record
from tests.recomputation import assert_rollups_exact
from tests.unit.ingest.otlp.spans import record_of, span_of

Processors = Callable[..., Result]
SPANS = "test.spans"
APPENDED_MS = 1_767_225_660_000


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    pool = await make_pool(
        database,
        application_name="test-letters",
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
    await store.claim(TOPIC, {0: 0, 1: 0}, "cluster")
    return store


@pytest.fixture
def processors(database: str) -> Processors:
    """`python -m processors` with arguments; fails unless it ends with `code`."""

    def run(*arguments: str, code: int = 0) -> Result:
        answer = CliRunner().invoke(command, arguments, env={"PATHLINE_POSTGRES": database, "COLUMNS": "250"})
        assert answer.exit_code == code, answer.output
        return answer

    return run


async def typed(processors: Processors, *arguments: str, code: int = 0) -> str:
    """What a command prints; it makes an event loop of its own."""
    return (await asyncio.to_thread(processors, *arguments, code=code)).output


async def try_again(store: Store, reader: Reader, topic: str, positions: dict[int, int]) -> None:
    """What the loop does between two batches."""
    requeue = Requeue(store, reader, topic)
    await requeue.take_back(await requeue.look(LOOK_INTERVAL_SECONDS, sorted(positions)), positions)


async def letters(pool: asyncpg.Pool) -> list[tuple[object, ...]]:
    rows = await pool.fetch('SELECT "offset", state, attempts, reason FROM dead_letters ORDER BY generation, "offset"')
    return [tuple(row) for row in rows]


async def test_refused_events_are_tried_again_once_and_those_that_fail_again_are_open(
    store: Store, pool: asyncpg.Pool, database: str, processors: Processors
) -> None:
    await pool.execute("ALTER TABLE requests ADD CONSTRAINT no_poison CHECK (user_id NOT IN ('poison', 'worse'))")
    users = ["poison", "fine", "worse", "poison", "fine"]
    records = [native_record(user_id=user) for user in users]
    await store.commit([make_slice(records)])
    # The copy of a letter may have been stored meanwhile.
    await pool.execute("ALTER TABLE requests DROP CONSTRAINT no_poison")
    await pool.execute("ALTER TABLE requests ADD CONSTRAINT no_worse CHECK (user_id <> 'worse')")
    await store.commit([make_slice([records[3]], partition=1)])

    said = await typed(processors, "dead-letters", "requeue", "--reason", "no_poison", "--limit", "2")
    assert "3 matched, 2 set to requeue" in said
    await typed(processors, "dead-letters", "requeue", "--all")
    await try_again(store, EventReader(), TOPIC, {0: 5, 1: 1})
    done = [(0, "done", 2, "no_poison"), (2, "open", 2, "no_worse"), (3, "done", 2, "no_poison")]
    assert await letters(pool) == done
    assert await pool.fetchval("SELECT count(*) FROM requests") == 4
    # Done is done, and an open one is not tried by itself.
    assert "1 matched, 1 set" in await typed(processors, "dead-letters", "requeue", "--all")
    await pool.execute("UPDATE dead_letters SET state = 'open' WHERE state = 'requeue'")
    await try_again(store, EventReader(), TOPIC, {0: 5, 1: 1})
    assert await letters(pool) == done
    assert await store.next_offsets(TOPIC, [0, 1]) == {0: 5, 1: 1}
    await assert_rollups_exact(database)


async def test_a_worker_without_the_partition_and_one_that_dies_change_nothing(
    store: Store, pool: asyncpg.Pool, database: str
) -> None:
    part = make_slice([native_record()])
    await pool.execute("ALTER TABLE requests ADD CONSTRAINT none CHECK (user_id <> '')")
    await store.commit([part])
    await pool.execute("ALTER TABLE requests DROP CONSTRAINT none")
    await pool.execute("UPDATE dead_letters SET state = 'requeue'")
    await try_again(store, EventReader(), TOPIC, {0: 7})
    # Trouble after everything but the last statement is written.
    await pool.execute("ALTER TABLE dead_letters RENAME COLUMN attempts TO tries")
    await try_again(store, EventReader(), TOPIC, {0: 1})
    await pool.execute("ALTER TABLE dead_letters RENAME COLUMN tries TO attempts")
    assert await letters(pool) == [(0, "requeue", 1, "none")]
    assert await pool.fetchval("SELECT count(*) FROM requests") == 0
    await try_again(store, EventReader(), TOPIC, {0: 1})
    assert await letters(pool) == [(0, "done", 2, "none")]
    await assert_rollups_exact(database)


async def test_a_span_joins_its_trace_at_the_time_at_which_the_broker_had_it(pool: asyncpg.Pool, database: str) -> None:
    """Its settings come later than it did; it inherits from its parent, and its window begins where it lies."""
    store, reader = SpanStore(pool), SpanReader(SettingsBook(pool))
    await store.claim(SPANS, {0: 0}, "cluster")
    connection = await asyncpg.connect(database)
    project_id = await ensure_project(connection, "default")
    chat = {"gen_ai.operation.name": "chat"}
    child = span_of(chat, span_id=b"\0" * 7 + b"\2", parent_span_id=b"\0" * 7 + b"\1")
    root = span_of({**chat, "session.id": "s-1"}, span_id=b"\0" * 7 + b"\1")
    early = encode_span_record(msgspec.structs.replace(record_of(child), event_id=new_event_id(0), settings_version=2))
    values = [early, encode_span_record(record_of(root))]
    part = Slice(SPANS, 0, 0, 1, 0, 2, from_us((APPENDED_MS + 60_000) * 1000))
    await reader.prepare(values)
    for offset, value in enumerate(values):
        at = APPENDED_MS + offset * 60_000
        reader.take(part, Place(SPANS, 0, offset, at), b"key", value, at)
    await store.commit([part])
    assert await letters(pool) == [(0, "open", 1, "unknown_settings")]

    await change_settings(connection, project_id, {"join_window_seconds": 600})
    await connection.close()
    await pool.execute("UPDATE dead_letters SET state = 'requeue'")
    await try_again(store, reader, SPANS, {0: 2})
    assert await letters(pool) == [(0, "done", 2, "unknown_settings")]
    assert [row[0] for row in await pool.fetch("SELECT session_id FROM requests")] == ["s-1", "s-1"]
    appended = from_us(APPENDED_MS * 1000)
    (row,) = await pool.fetch("SELECT log_time, closes_at FROM trace_spans WHERE parent_span_id IS NOT NULL")
    assert tuple(row) == (appended, appended + timedelta(seconds=600))
    await assert_rollups_exact(database)


async def test_a_dropped_record_becomes_an_event_in_no_generation(
    store: Store, pool: asyncpg.Pool, database: str, processors: Processors
) -> None:
    """Another generation reads the log again, and would decode the record now."""
    await pool.execute("ALTER TABLE requests ADD CONSTRAINT no_poison CHECK (user_id <> 'poison')")
    records = [native_record(user_id=user) for user in ("fine", "poison", "fine")]
    await store.commit([make_slice(records)])
    await pool.execute("ALTER TABLE requests DROP CONSTRAINT no_poison")
    assert "1 matched, 1 set to drop" in await typed(processors, "dead-letters", "drop", "--offsets", "1")
    await pool.execute("UPDATE dead_letters SET generation = 7")
    await pool.execute("TRUNCATE requests, records, sessions, session_paths, path_hours, catalogue, offsets")
    await store.claim(TOPIC, {0: 0}, "cluster")
    stored = await store.commit([make_slice(records)])
    assert (stored.new, stored.drops, stored.dead_letters) == (2, 1, 0)
    # So the drop outlives the generation that it was made in, with the bytes.
    rows = await pool.fetch("SELECT generation, state, reason, record FROM dead_letters ORDER BY generation")
    assert [tuple(row) for row in rows] == [
        (generation, "drop", "no_poison", encode_record(records[1])) for generation in (1, 7)
    ]
    await assert_rollups_exact(database)
    await typed(processors, "dead-letters", "requeue", "--state", "drop")
    await try_again(store, EventReader(), TOPIC, {0: 3})
    assert await letters(pool) == [(1, "done", 2, "no_poison"), (1, "requeue", 1, "no_poison")]


async def test_too_many_dead_letters_stop_every_worker_until_resumed(
    store: Store, pool: asyncpg.Pool, database: str, processors: Processors
) -> None:
    await pool.execute("ALTER TABLE requests ADD CONSTRAINT no_poison CHECK (user_id <> 'poison')")
    some = [native_record(user_id="poison" if n % 10 == 0 else "fine") for n in range(200)]
    stored = await store.commit([make_slice(some)])
    assert (stored.new, stored.dead_letters) == (180, 20)
    many = make_slice([native_record(user_id="poison" if n % 2 else "fine") for n in range(100)], expected_offset=200)
    with pytest.raises(GenerationStopped, match="no_poison"):
        await store.commit([many])
    restarted, other = Store(pool), make_slice([native_record()], partition=1)
    for _ in range(2):
        with pytest.raises(GenerationStopped):
            await restarted.commit([other])
    assert await store.next_offsets(TOPIC, [0, 1]) == {0: 200, 1: 0}
    assert await pool.fetchval("SELECT count(*) FROM dead_letters") == 20

    said = await typed(processors, "resume")
    assert "generation 1 goes on" in said
    assert "no_poison" in said
    assert await typed(processors, "resume") == "no generation is stopped\n"
    assert (await restarted.commit([other])).new == 1
    assert (await store.commit([many])).dead_letters == 50
    await assert_rollups_exact(database)


async def test_commands_list_and_show_what_matches(
    store: Store, pool: asyncpg.Pool, database: str, processors: Processors
) -> None:
    await pool.execute("ALTER TABLE requests ADD CONSTRAINT no_poison CHECK (user_id <> 'poison')")
    connection = await asyncpg.connect(database)
    await ensure_project(connection, "default")
    await connection.close()
    part = make_slice([native_record(user_id="poison"), native_record(user_id="poison", project_id=12)])
    garbage = UNDECODABLE["garbage"]
    EventReader().take(part, Place(TOPIC, 0, 2, APPENDED_MS), b"key", garbage, APPENDED_MS)
    await store.commit([part])

    async def listed(*arguments: str) -> list[str]:
        lines = (await typed(processors, "dead-letters", "list", *arguments)).splitlines()
        return [word for line in lines for word in line.split() if word.startswith(f"{TOPIC}/")]

    every = [f"{TOPIC}/0/{offset}" for offset in range(3)]
    assert await listed() == every
    assert await listed("--limit", "1") == every[:1]
    assert await listed("--project", "default") == every[:1]
    assert await listed("--step", "decode", "--offsets", "0-9", "--topic", TOPIC) == every[2:]
    assert await listed("--until", "2020-01-01") == await listed("--state", "done") == []
    shown = await typed(processors, "dead-letters", "show", every[2])
    assert garbage.hex(" ", 4) in shown
    assert "2026-01-01 00:01:00" in shown
    raw = await asyncio.to_thread(processors, "dead-letters", "show", every[0], "--raw")
    assert raw.stdout_bytes == await pool.fetchval('SELECT record FROM dead_letters WHERE "offset" = 0')


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        (1, ["show", f"{TOPIC}/0/9"]),
        (2, ["show", "x"]),
        (2, ["list", "--offsets", "a"]),
        (2, ["requeue", "--state", "done"]),
        (2, ["drop", "--project", "nobody"]),
    ],
)
async def test_what_cannot_be_done_is_one_line(processors: Processors, code: int, arguments: list[str]) -> None:
    assert "\n" not in (await typed(processors, "dead-letters", *arguments, code=code)).strip()
