"""What an administrator does with keys that exist: find, replace and import them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg

from infra.postgres import load_sql
from infra.projects import KeyRecord, create_key, hash_key, list_keys, revoke_key, well_formed

HASH_DIGITS_SHOWN = 12
"""Of a key's hash in lists: enough to name a key by."""
HASH_DIGITS_MIN = 6


class KeyRefused(Exception):
    """What was asked for cannot be done; nothing was changed, and the text says what to do instead."""


@dataclass(frozen=True)
class Permissions:
    """What a key may do."""

    can_read: bool
    can_write: bool


async def find_key(connection: asyncpg.Connection, project_id: int, wanted: str) -> KeyRecord:
    """The one key of the project that works and has this name, or a hash that begins so.

    Raises:
        KeyRefused: there is none, or more than one.
    """
    now = datetime.now(UTC)
    working = [key for key in await list_keys(connection, project_id) if key.revoked_at is None or key.revoked_at > now]
    found = [key for key in working if key.name == wanted]
    if not found and len(wanted) >= HASH_DIGITS_MIN:
        found = [key for key in working if key.key_hash.startswith(wanted.lower())]
    if not found:
        raise KeyRefused(f"no key that works has the name or the hash {wanted!r}: `keys list` shows them")
    if len(found) > 1:
        hashes = ", ".join(key.key_hash[:HASH_DIGITS_SHOWN] for key in found)
        raise KeyRefused(f"{len(found)} keys are called {wanted!r}: name one by its hash, {hashes}")
    return found[0]


async def rotate_key(connection: asyncpg.Connection, project_id: int, old: KeyRecord, *, grace_seconds: float) -> str:
    """Make a key with the name and permissions of an old one, which stops after the grace period.

    Raises:
        KeyRefused: the old key was stopped meanwhile, or stops sooner than that.
    """
    async with connection.transaction():
        key = await create_key(connection, project_id, old.name, can_read=old.can_read, can_write=old.can_write)
        if not await revoke_key(connection, project_id, bytes.fromhex(old.key_hash), grace_seconds=grace_seconds):
            raise KeyRefused(f"{old.name!r} stops sooner already: make a new key with `keys create`")
        return key


async def import_keys(
    connection: asyncpg.Connection,
    project_id: int,
    name: str,
    keys: Sequence[str],
    permissions: Permissions | None = None,
) -> int:
    """Store the hashes of keys that were issued elsewhere, all or none; the number of those that were new here.

    Without `permissions` the form decides: `sk` reads and writes, `pk` writes (ingest.md section 2).

    Raises:
        KeyRefused: one is no key, belongs to another project, or was revoked here. The text never holds a key.
    """
    bad = [place for place, key in enumerate(keys, 1) if not well_formed(key)]
    if bad:
        places = ", ".join(map(str, bad))
        raise KeyRefused(f"not of the form sk-helicone-xxxxxxx-xxxxxxx-xxxxxxx-xxxxxxx: key number {places}")
    imported = 0
    async with connection.transaction():
        for place, key in enumerate(keys, 1):
            state = await connection.fetchrow(load_sql("infra", "key_state"), hash_key(key))
            if state is None:
                may = permissions or Permissions(can_read=key.startswith("sk"), can_write=True)
                arguments = (hash_key(key), project_id, name, may.can_read, may.can_write)
                await connection.execute(load_sql("infra", "create_key"), *arguments)
                imported += 1
            elif state["project_id"] != project_id:
                raise KeyRefused(f"key number {place} belongs to another project")
            elif not state["works"]:
                raise KeyRefused(f"key number {place} was revoked here and stays so: leave it out")
    return imported
