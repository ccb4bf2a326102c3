"""Goal: a known key never waits for Postgres, an unknown one is never wrongly refused. Method: a real one, killed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from infra.key_ring import KeyRing, KeysUnavailable
from infra.key_snapshot import read_snapshot
from infra.local.engine import Engine
from infra.local.postgres import POSTGRES
from infra.migrate import migrate
from infra.project_settings import DEFAULTS
from infra.projects import (
    Credential,
    create_key,
    ensure_project,
    hash_key,
    list_keys,
    make_key,
    revoke_key,
)
from tests.services import make_local_settings, wait_until


@asynccontextmanager
async def running(dsn: str) -> AsyncIterator[KeyRing]:
    ring = KeyRing(dsn)
    await ring.start()
    try:
        yield ring
    finally:
        await ring.stop()


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:
    made = await asyncpg.connect(database)
    yield made
    await made.close()


async def test_a_key_stands_for_its_project_and_permissions(database: str, connection: asyncpg.Connection) -> None:
    project_id = await ensure_project(connection, "default")
    secret = await create_key(connection, project_id, "secret", can_read=True)
    public = await create_key(connection, project_id, "public", can_read=False)
    async with running(database) as ring:
        assert await ring.authenticate(secret) == Credential(project_id, True, True, 1, DEFAULTS)
        assert await ring.authenticate(public) == Credential(project_id, False, True, 1, DEFAULTS)
        assert await ring.authenticate(make_key(can_read=True)) is None


async def test_the_fast_path_knows_a_key_after_its_first_use(database: str, connection: asyncpg.Connection) -> None:
    key = await create_key(connection, await ensure_project(connection, "default"), "k", can_read=True)
    async with running(database) as ring:
        assert ring.known(key) is None
        credential = await ring.authenticate(key)
        assert ring.known(key) == credential is not None


async def test_a_key_made_a_moment_ago_works_at_once(database: str, connection: asyncpg.Connection) -> None:
    async with running(database) as ring:
        key = await create_key(connection, await ensure_project(connection, "default"), "k", can_read=True)
        assert await ring.authenticate(key) is not None


async def test_a_revoked_key_stops_working_within_seconds(database: str, connection: asyncpg.Connection) -> None:
    project_id = await ensure_project(connection, "default")
    key = await create_key(connection, project_id, "k", can_read=True)
    async with running(database) as ring:
        assert await ring.authenticate(key)
        assert await revoke_key(connection, project_id, hash_key(key))

        async def refused() -> bool:
            return ring.known(key) is None and await ring.authenticate(key) is None

        await wait_until(refused, seconds=5, what="the revoked key is refused")
    assert not await revoke_key(connection, project_id, hash_key(key))
    (record,) = await list_keys(connection, project_id)
    assert record.revoked_at is not None


async def test_many_unknown_keys_at_once_share_few_queries(database: str, connection: asyncpg.Connection) -> None:
    async with running(database) as ring:
        outcomes = await asyncio.gather(*(ring.authenticate(make_key(can_read=True)) for _ in range(500)))
        assert outcomes == [None] * 500


async def test_ensuring_a_project_twice_makes_one(connection: asyncpg.Connection) -> None:
    assert await ensure_project(connection, "default") == await ensure_project(connection, "default")


async def test_while_postgres_is_away_known_keys_work_and_unknown_ones_are_not_refused(own_home: Path) -> None:
    engine = Engine(POSTGRES, make_local_settings(own_home))
    await engine.start()
    dsn = engine.settings.postgres_dsn()
    await migrate(dsn)
    connection = await asyncpg.connect(dsn)
    key = await create_key(connection, await ensure_project(connection, "default"), "k", can_read=True)
    other = await create_key(connection, await ensure_project(connection, "default"), "k", can_read=True)
    await connection.close()
    async with running(dsn) as ring:
        await ring.authenticate(key)
        await engine.kill()
        assert ring.known(key) is not None
        assert await ring.authenticate(other) is not None
        with pytest.raises(KeysUnavailable):
            await ring.authenticate(make_key(can_read=True))
        # A ring that starts meanwhile knows nothing yet, says so, and learns when Postgres is back.
        async with running(dsn) as late:
            assert not late.loaded
            with pytest.raises(KeysUnavailable):
                await late.authenticate(key)
            await engine.start()

            async def knows() -> bool:
                return late.loaded

            await wait_until(knows, seconds=10, what="the late ring has loaded the keys")
            assert await late.authenticate(key) is not None
        assert await ring.authenticate(make_key(can_read=True)) is None
    await engine.stop()


async def test_settings_that_only_newer_code_reads_hold_keys_back_and_change_none_that_work(
    database: str, connection: asyncpg.Connection
) -> None:
    one, two = await ensure_project(connection, "one"), await ensure_project(connection, "two")
    key, new = [await create_key(connection, project_id, "k", can_read=True) for project_id in (one, two)]
    async with running(database) as ring:
        before = await ring.authenticate(key)
        assert before is not None
        await connection.execute("INSERT INTO project_settings SELECT project_id, 2, '{\"later\":1}' FROM projects")
        await connection.execute("UPDATE projects SET settings_version = 2")
        other = await create_key(connection, two, "other", can_read=True)
        # The first refresh that sees a key made after the change has seen the change too.
        with pytest.raises(KeysUnavailable):
            await ring.authenticate(other)
        assert await ring.authenticate(key) == before
        assert await ring.authenticate(new) is not None
        await connection.execute("UPDATE projects SET settings_version = 1")
        assert await ring.authenticate(other) is not None


async def test_many_rings_keep_one_snapshot(database: str, connection: asyncpg.Connection, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    project_id = await ensure_project(connection, "default")
    rings = [KeyRing(database, snapshot=file) for _ in range(8)]
    await asyncio.gather(*(ring.start() for ring in rings))
    keys = [await create_key(connection, project_id, "k", can_read=True) for _ in range(4)]
    for ring in rings:
        assert all([await ring.authenticate(key) for key in keys])
    await asyncio.gather(*(ring.stop() for ring in rings))
    picture = read_snapshot(file)
    assert picture is not None
    assert picture.credentials.keys() == {hash_key(key) for key in keys}
    assert names_in(tmp_path) == ["keys.json"]


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]
