"""Goal: a record's settings are those of the version it names, for ever. Method: a real database and a pool."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from infra.postgres import make_pool
from infra.project_settings import DEFAULTS, ProjectSettings
from infra.projects import SettingsBook, UnknownSettings, ensure_project
from tests.services import run_statements


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    made = await make_pool(database, application_name="test-book", connections_max=2, statement_timeout_ms=5_000)
    yield made
    await made.close()


@pytest.fixture
async def project_id(database: str) -> int:
    connection = await asyncpg.connect(database)
    try:
        return await ensure_project(connection, "default")
    finally:
        await connection.close()


async def test_each_version_is_read_once_and_kept(pool: asyncpg.Pool, project_id: int, database: str) -> None:
    second = """INSERT INTO project_settings VALUES (%d, 2, '{"join_window_seconds":7}')"""
    await run_statements(database, second % project_id)
    book = SettingsBook(pool)
    await book.load([(project_id, 1), (project_id, 2), (project_id, 1)])
    assert book.get(project_id, 1) == DEFAULTS
    assert book.get(project_id, 2) == ProjectSettings(join_window_seconds=7)
    await run_statements(database, "DELETE FROM project_settings WHERE version = 2")
    await book.load([(project_id, 2)])
    assert book.get(project_id, 2) == ProjectSettings(join_window_seconds=7)


async def test_a_version_that_does_not_exist_is_unknown(pool: asyncpg.Pool, project_id: int) -> None:
    book = SettingsBook(pool)
    unknown = [(project_id, 2), (project_id + 1, 1), (2**40, 1), (project_id, 2**40), (-1, 0)]
    await book.load(unknown)
    for pair in unknown:
        with pytest.raises(UnknownSettings, match=f"project {pair[0]} has no settings of version {pair[1]}"):
            book.get(*pair)


async def test_a_version_made_later_is_found_then(pool: asyncpg.Pool, project_id: int, database: str) -> None:
    book = SettingsBook(pool)
    await book.load([(project_id, 2)])
    await run_statements(database, f"INSERT INTO project_settings VALUES ({project_id}, 2, '{{}}')")
    await book.load([(project_id, 2)])
    assert book.get(project_id, 2) == DEFAULTS
