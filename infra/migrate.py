"""Bring a database to the schema of this code: forward only, one file = one transaction, one runner at a time.

`NNNN_{pre|post}_what.sql` changes what generations share; `NNNN_{pre|post}_what.generation.sql` changes derived tables,
and is run once in each generation.
"""

import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files

import asyncpg

from infra.generations import migrate_each
from infra.postgres import CONNECT_TIMEOUT_SECONDS, load_sql

FILE_NAME = re.compile(r"(?P<number>\d{4})_(?P<phase>pre|post)_[a-z0-9_]+(\.generation)?\.sql")
"""`pre` is safe before the new code runs, `post` only after the old code is gone."""

ADVISORY_LOCK = 0x5061_7468_6C69_6E65 >> 1
"""Any constant will do, as long as every runner takes the same."""

LOCK_TIMEOUT_MS = 5_000
"""A migration that waits for a table holds up everybody behind it: it fails instead, and can be run again."""

STATEMENT_TIMEOUT_MS = 600_000
"""Longer than any index build that should happen in a migration; what takes longer needs another way."""


class MigrationError(Exception):
    """The database cannot be migrated by this code; the message says why. Nothing was changed by the refused file."""


@dataclass(frozen=True)
class Migration:
    """One file of `infra/schema/migrations`."""

    name: str
    statements: str

    @property
    def checksum(self) -> str:
        """Of the file as it is; compared with what was applied."""
        return hashlib.sha256(self.statements.encode()).hexdigest()

    async def apply(self, connection: asyncpg.Connection) -> None:
        """Run it, in every generation when it is about those."""
        if self.name.endswith(".generation.sql"):
            await migrate_each(connection, self.statements)
        else:
            await connection.execute(self.statements)


def migrations() -> list[Migration]:
    """All migrations of this code in the order in which they are applied.

    Raises:
        MigrationError: a file's name is not `NNNN_{pre|post}_what[.generation].sql`, or two have one number.
    """
    folder = files("infra").joinpath("schema", "migrations")
    found = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    numbers: set[str] = set()
    for file in found:
        match = FILE_NAME.fullmatch(file.name)
        if match is None or match["number"] in numbers:
            raise MigrationError(
                f"{file.name}: a migration is named NNNN_{{pre|post}}_what[.generation].sql, each number once"
            )
        numbers.add(match["number"])
    return [Migration(file.name, file.read_text(encoding="utf-8")) for file in found]


def pending(known: list[Migration], applied: dict[str, str]) -> list[Migration]:
    """What is still to be applied to a database that had `applied` (name -> checksum).

    Raises:
        MigrationError: the database had a migration that this code lacks, or one whose file has changed since.
    """
    newer = sorted(set(applied) - {migration.name for migration in known})
    if newer:
        raise MigrationError(
            f"the database is newer than this code, which lacks {', '.join(newer)}: run the newer code"
        )
    for migration in known:
        if applied.get(migration.name, migration.checksum) != migration.checksum:
            raise MigrationError(f"{migration.name} was changed after it was applied: restore it, and add a new file")
    return [migration for migration in known if migration.name not in applied]


async def migrate(dsn: str) -> list[str]:
    """Apply what is pending, in order; return the names that were applied.

    Safe to run by many processes at once: one applies, the others wait and then find nothing to do. When a file fails,
    those before it stay applied and it leaves no trace.

    Raises:
        MigrationError: see `pending`.
        asyncpg.PostgresError: a statement failed, or waited for a lock too long.
        OSError: the database is away.
    """
    connection = await asyncpg.connect(
        dsn,
        timeout=CONNECT_TIMEOUT_SECONDS,
        server_settings={
            "application_name": "pathline-migrate",
            "statement_timeout": str(STATEMENT_TIMEOUT_MS),
            "timezone": "UTC",
        },
    )
    try:
        await connection.execute(load_sql("infra", "lock_migrations"), ADVISORY_LOCK)
        # From here on only: waiting for the other runner may take as long as its work does.
        await connection.execute(f"SET lock_timeout = {LOCK_TIMEOUT_MS}")
        await connection.execute(load_sql("infra", "create_schema_migrations"))
        rows = await connection.fetch(load_sql("infra", "applied_migrations"))
        todo = pending(migrations(), {row["name"]: row["checksum"] for row in rows})
        for migration in todo:
            async with connection.transaction():
                await migration.apply(connection)
                await connection.execute(load_sql("infra", "record_migration"), migration.name, migration.checksum)
        return [migration.name for migration in todo]
    finally:
        await connection.close()
