"""Projects, their settings and their API keys, as the database has them.

A key is shown once, when it is made. The database has only its hash, in the form that Helicone stores, so that keys
made there can be moved here.
"""

import hashlib
import re
import secrets
import string
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import asyncpg
import msgspec

from infra.postgres import load_sql
from infra.project_settings import DEFAULTS, ProjectSettings, check_together, parse_settings, settings_text

KEY_FORMAT = re.compile(r"[sp]k(-helicone|-pathline)?(-eu)?(-rl)?(-cp)?-\w{7}-\w{7}-\w{7}-\w{7}", re.ASCII)

_VERSION_MAX = 2**31 - 1
"""Of the database's `integer`. A larger id or version, from a record that no door wrote, exists nowhere."""

stored_settings = lru_cache(maxsize=4_096)(parse_settings)
"""`parse_settings` of a text that the database has: the same text again and again, for which it gives one object."""


class UnknownSettings(LookupError):
    """The database has no such version of the project's settings."""


class UnknownProject(LookupError):
    """There is no such project; the text names those that exist."""


@dataclass(frozen=True)
class Credential:
    """What a key stands for."""

    project_id: int
    can_read: bool
    can_write: bool
    settings_version: int
    """Current when the keys were last read."""
    settings: ProjectSettings = DEFAULTS


@dataclass(frozen=True)
class Project:
    """A project as an administrator sees it."""

    project_id: int
    name: str
    created_at: datetime
    key_count: int
    """Of the keys that work."""
    settings_version: int
    settings: ProjectSettings


@dataclass(frozen=True)
class KeyRecord:
    """A key as an administrator sees it."""

    key_hash: str
    name: str
    can_read: bool
    can_write: bool
    created_at: datetime
    revoked_at: datetime | None
    """When it stops or stopped; in the future for a key that was rotated."""


def well_formed(key: str) -> bool:
    """True for text that could be a key: anything else is refused without being looked up."""
    return KEY_FORMAT.fullmatch(key) is not None


def hash_key(key: str) -> bytes:
    """What the database stores of a key."""
    return hashlib.sha256(b"Bearer " + key.encode()).digest()


def make_key(*, can_read: bool) -> str:
    """A new secret key (reads and writes) or public key (writes only): 145 bits of chance."""
    alphabet = string.ascii_lowercase + string.digits
    groups = ("".join(secrets.choice(alphabet) for _ in range(7)) for _ in range(4))
    return f"{'sk' if can_read else 'pk'}-pathline-{'-'.join(groups)}"


async def ensure_project(connection: asyncpg.Connection, name: str) -> int:
    """The id of the project of that name, made if it does not exist."""
    while (project_id := await connection.fetchval(load_sql("infra", "ensure_project"), name)) is None:
        # Another process made it after our statement began: the next one sees it.
        continue
    return int(project_id)


async def list_projects(connection: asyncpg.Connection | asyncpg.pool.PoolConnectionProxy) -> list[Project]:
    """All projects, in order of the name.

    Raises:
        InvalidSettings: newer code wrote settings that this code cannot read.
    """
    rows = await connection.fetch(load_sql("infra", "list_projects"))
    return [
        Project(
            row["project_id"],
            row["name"],
            row["created_at"],
            row["key_count"],
            row["version"],
            stored_settings(row["settings"]),
        )
        for row in rows
    ]


async def find_project(connection: asyncpg.Connection, name: str) -> Project:
    """The project of that name.

    Raises:
        UnknownProject: there is none; the text names those that exist.
    """
    every = await list_projects(connection)
    for project in every:
        if project.name == name:
            return project
    names = ", ".join(project.name for project in every) or "none yet"
    raise UnknownProject(f"there is no project {name!r}; there are: {names}. Make it: projects create {name!r}")


async def change_settings(connection: asyncpg.Connection, project_id: int, changes: dict[str, Any]) -> int:
    """Lay changes over a project's current settings, as a new version; its number, the old one when nothing changes.

    Two callers at once follow one another. Processes with a key ring use the new version within REFRESH_SECONDS.

    Raises:
        InvalidSettings: an unknown field, or a value out of range; nothing was changed.
    """
    async with connection.transaction():
        row = await connection.fetchrow(load_sql("infra", "lock_project"), project_id)
        if row is None:
            raise UnknownProject(f"there is no project {project_id}")
        current = stored_settings(row["settings"])
        wanted = check_together(parse_settings(msgspec.json.encode({**msgspec.to_builtins(current), **changes})))
        if wanted == current:
            return int(row["version"])
        return int(await connection.fetchval(load_sql("infra", "add_settings"), project_id, settings_text(wanted)))


async def create_key(
    connection: asyncpg.Connection, project_id: int, name: str, *, can_read: bool, can_write: bool = True
) -> str:
    """Make and store a key; the text returned exists nowhere else."""
    key = make_key(can_read=can_read)
    await connection.execute(load_sql("infra", "create_key"), hash_key(key), project_id, name, can_read, can_write)
    return key


async def list_keys(connection: asyncpg.Connection, project_id: int) -> list[KeyRecord]:
    """All keys of a project, the revoked ones too, oldest first."""
    rows = await connection.fetch(load_sql("infra", "list_keys"), project_id)
    return [KeyRecord(**dict(row)) for row in rows]


async def revoke_key(
    connection: asyncpg.Connection, project_id: int, key_hash: bytes, *, grace_seconds: float = 0.0
) -> bool:
    """Stop a key after a time; then it is refused everywhere within REFRESH_SECONDS. False when it was not in use."""
    stopped = await connection.fetchval(load_sql("infra", "revoke_key"), project_id, key_hash, grace_seconds)
    return stopped is not None


class SettingsBook:
    """Settings by version, kept for ever once they were read: a version never changes."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._versions: dict[tuple[int, int], ProjectSettings] = {}

    async def load(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Read the versions (project, version) that are not here yet. Those that do not exist are left out.

        Raises:
            InvalidSettings: newer code wrote one that this code cannot read. Run the newer code; nothing was decoded.
            OSError, asyncpg.PostgresError, asyncpg.InterfaceError: the database is away.
        """
        wanted = [pair for pair in set(pairs) - self._versions.keys() if all(0 < part <= _VERSION_MAX for part in pair)]
        if not wanted:
            return
        projects, versions = zip(*wanted, strict=True)
        for row in await self._pool.fetch(load_sql("infra", "load_settings"), projects, versions):
            self._versions[row["project_id"], row["version"]] = stored_settings(row["settings"])

    def get(self, project_id: int, version: int) -> ProjectSettings:
        """The settings of a version that was loaded.

        Raises:
            UnknownSettings: the database had no such version when it was loaded.
        """
        settings = self._versions.get((project_id, version))
        if settings is None:
            raise UnknownSettings(f"project {project_id} has no settings of version {version}")
        return settings
