"""Goal: schema.sql is the truth. Method: one database from it, one from all migrations; their catalogs are compared."""

import asyncio
from importlib.resources import files

import asyncpg
import pytest

from infra.generations import make_tables
from infra.migrate import FILE_NAME, Migration, MigrationError, migrate, migrations, pending
from infra.project_settings import parse_settings
from tests.services import run_statements

CATALOG = {
    "columns": """
        SELECT c.relname, row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum), a.attname,
               format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
               pg_get_expr(d.adbin, d.adrelid), a.attstorage, a.attcompression
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
        WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0
              AND NOT a.attisdropped
        ORDER BY 1, 2""",
    "relations": """
        SELECT relname, relkind, relpersistence, reloptions, pg_get_partkeydef(oid), pg_get_expr(relpartbound, oid)
        FROM pg_class WHERE relnamespace = current_schema()::regnamespace ORDER BY 1""",
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace = current_schema()::regnamespace ORDER BY 1, 2""",
    "indexes": """
        SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema() ORDER BY 1, 2""",
    "functions": """
        SELECT proname, pg_get_functiondef(oid) FROM pg_proc
        WHERE pronamespace = current_schema()::regnamespace ORDER BY 1, 2""",
    "triggers": """
        SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(t.oid)
        FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid
        WHERE NOT tgisinternal AND c.relnamespace = current_schema()::regnamespace ORDER BY 1, 2""",
    "views": "SELECT viewname, definition FROM pg_views WHERE schemaname = current_schema() ORDER BY 1",
    "types": """
        SELECT typname, typtype FROM pg_type
        WHERE typnamespace = current_schema()::regnamespace AND typtype IN ('e', 'd') ORDER BY 1""",
}
"""Everything that a migration can make, described in words of Postgres itself."""


async def catalog(dsn: str, schema: str) -> dict[str, list[tuple[object, ...]]]:
    """What one schema holds, in words that do not say which schema it is."""
    connection = await asyncpg.connect(dsn, server_settings={"search_path": f"{schema}, public"})
    try:
        return {
            what: [
                tuple(value.replace(f"{schema}.", "") if isinstance(value, str) else value for value in row)
                for row in await connection.fetch(query)
                # The runner's own table, which no schema file makes.
                if not str(row[0]).startswith("schema_migrations")
            ]
            for what, query in CATALOG.items()
        }
    finally:
        await connection.close()


async def make_second_generation(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    async with connection.transaction():
        await connection.execute("INSERT INTO generations (number, state) VALUES (2, 'building')")
        await make_tables(connection, 2)
    await connection.close()


async def test_schema_sql_equals_the_sum_of_the_migrations(database: str, blank_database: str) -> None:
    schema = files("infra").joinpath("schema", "schema.sql").read_text()
    generation = files("infra").joinpath("schema", "generation.sql").read_text()
    enter = "CREATE SCHEMA generation_1; SET search_path = generation_1, public;"
    await run_statements(
        blank_database, f"{schema}; {enter} {generation}; SELECT ensure_day('0001-01-01'), show_generation()"
    )
    for name in ("public", "generation_1"):
        from_schema, from_migrations = await catalog(blank_database, name), await catalog(database, name)
        for what, expected in from_schema.items():
            assert from_migrations[what] == expected, what
        assert from_schema["columns"]


async def test_a_new_generation_is_like_a_migrated_one(database: str) -> None:
    await run_statements(database, "SELECT ensure_day('2026-11-01')")
    await make_second_generation(database)
    await run_statements(database, "SELECT ensure_day('2026-11-02')")
    migrated = await catalog(database, "generation_1")
    assert await catalog(database, "generation_2") == migrated
    assert {"requests_00010101", "requests_20261101", "requests_20261102"} <= {row[0] for row in migrated["relations"]}


async def test_a_migration_of_derived_tables_runs_in_every_generation(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_second_generation(database)
    every = migrations()
    statements = "ALTER TABLE sessions ADD COLUMN mood text; ALTER TABLE session_paths DROP COLUMN path"
    later = Migration("9999_post_mood.generation.sql", statements)
    monkeypatch.setattr("infra.migrate.migrations", lambda: [*every, later])
    assert await migrate(database) == [later.name]
    connection = await asyncpg.connect(database)
    assert await connection.fetch("SELECT mood FROM sessions UNION ALL SELECT mood FROM generation_2.sessions") == []
    with pytest.raises(asyncpg.UndefinedColumnError):
        await connection.fetch("SELECT path FROM session_paths")
    await connection.close()


async def test_migrating_twice_applies_everything_once(blank_database: str) -> None:
    assert await migrate(blank_database) == [migration.name for migration in migrations()]
    assert await migrate(blank_database) == []


async def test_an_applied_file_that_was_changed_is_refused(blank_database: str) -> None:
    await migrate(blank_database)
    await run_statements(blank_database, "UPDATE schema_migrations SET checksum = 'another'")
    with pytest.raises(MigrationError, match="was changed after it was applied"):
        await migrate(blank_database)


async def test_a_database_newer_than_the_code_is_refused(blank_database: str) -> None:
    await migrate(blank_database)
    await run_statements(blank_database, "INSERT INTO schema_migrations VALUES ('9999_pre_future.sql', 'x')")
    with pytest.raises(MigrationError, match=r"newer than this code, which lacks 9999_pre_future.sql"):
        await migrate(blank_database)


async def test_a_failed_file_leaves_no_trace(blank_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    good = Migration("0001_pre_good.sql", "CREATE TABLE good (n int)")
    bad = Migration("0002_pre_bad.sql", "CREATE TABLE bad (n int); SELECT 1 / 0")
    monkeypatch.setattr("infra.migrate.migrations", lambda: [good, bad])
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(blank_database)
    monkeypatch.setattr("infra.migrate.migrations", lambda: [good])
    assert await migrate(blank_database) == []
    connection = await asyncpg.connect(blank_database)
    assert await connection.fetchval("SELECT to_regclass('good') IS NOT NULL AND to_regclass('bad') IS NULL")
    await connection.close()


def test_every_file_is_named_by_the_rule_and_numbered_without_gaps() -> None:
    folder = files("infra").joinpath("schema", "migrations")
    numbers = []
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        match = FILE_NAME.fullmatch(file.name)
        assert match, file.name
        numbers.append(int(match["number"]))
    assert numbers == list(range(1, len(numbers) + 1))


def test_pending_keeps_the_order_of_the_files() -> None:
    first, second, third = (Migration(f"000{n}_pre_x.sql", str(n)) for n in (1, 2, 3))
    assert pending([first, second, third], {first.name: first.checksum}) == [second, third]


async def test_two_runners_at_once_apply_each_file_once(blank_database: str) -> None:
    outcomes = await asyncio.gather(migrate(blank_database), migrate(blank_database))
    assert sorted(outcomes, key=len) == [[], [migration.name for migration in migrations()]]


async def test_idle_limits_move_into_versions_of_settings(blank_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    every = migrations()
    monkeypatch.setattr("infra.migrate.migrations", lambda: every[:1])
    await migrate(blank_database)
    await run_statements(
        blank_database,
        "INSERT INTO projects (name, settings_version, idle_limit_seconds) "
        "VALUES ('plain', 1, 300), ('slow', 2, 900), ('endless', 1, 2000000000)",
    )
    monkeypatch.setattr("infra.migrate.migrations", lambda: every)
    await migrate(blank_database)
    connection = await asyncpg.connect(blank_database)
    rows = await connection.fetch(
        "SELECT name, version, settings FROM projects JOIN project_settings USING (project_id) ORDER BY 1, 2"
    )
    await connection.close()
    assert [(name, version, parse_settings(text).idle_limit_seconds) for name, version, text in map(tuple, rows)] == [
        ("endless", 1, 604_800),
        ("plain", 1, 300),
        ("slow", 1, 900),
        ("slow", 2, 900),
    ]
