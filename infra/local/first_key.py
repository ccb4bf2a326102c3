"""The API key of this home: made on the first run, kept in a file that only we can read."""

from pathlib import Path

import asyncpg

from infra.postgres import load_sql
from infra.projects import create_key, ensure_project, hash_key


async def first_key(dsn: str, file: Path) -> tuple[str, bool]:
    """The key in the file, and whether the store is empty.

    A key that this database does not know, because it is the first run or another database, is replaced by a new one.
    """
    connection = await asyncpg.connect(dsn)
    try:
        key = _read(file)
        if key is None or not await connection.fetchval(load_sql("infra", "key_exists"), hash_key(key)):
            project_id = await ensure_project(connection, "default")
            key = await create_key(connection, project_id, "first run", can_read=True)
            _write(file, key)
        return key, await connection.fetchval(load_sql("infra", "store_is_empty"))
    finally:
        await connection.close()


def _read(file: Path) -> str | None:
    return file.read_text().strip() if file.exists() else None


def _write(file: Path, key: str) -> None:
    staging = file.with_name(file.name + ".new")
    staging.touch(mode=0o600)
    staging.write_text(key + "\n")
    staging.replace(file)
