"""Projects and their API keys: making them, and telling within a request what a key stands for.

A key is shown once, when it is made. The database has only its hash, in the form that Helicone stores, so that keys
made there can be moved here.
"""

import asyncio
import hashlib
import math
import re
import secrets
import string
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import asyncpg
import structlog

from infra.postgres import CONNECT_TIMEOUT_SECONDS, load_sql
from infra.project_settings import DEFAULTS, ProjectSettings

log = structlog.get_logger()

Key = TypeVar("Key")
Value = TypeVar("Value")

KEY_FORMAT = re.compile(r"[sp]k(-helicone|-pathline)?(-eu)?(-rl)?(-cp)?-\w{7}-\w{7}-\w{7}-\w{7}", re.ASCII)

REFRESH_SECONDS = 2.0
"""How long a revoked key may go on working, and how old the ring's picture of the keys is at most."""

REFRESH_SPACING_SECONDS = 0.1
"""Unknown keys ask for a refresh at once; a flood of them must not become a flood of queries."""

UNKNOWN_KEY_WAIT_SECONDS = 1.0
"""How long a request with an unknown key waits for Postgres before it is answered 503."""

REMEMBERED_KEYS_MAX = 16_384
"""Texts of keys whose hash is kept, and hashes that were refused lately: bounds on memory, each far above real use."""


class KeysUnavailable(Exception):
    """Whether the key is good cannot be told: Postgres does not answer and the key is not among those already known."""


@dataclass(frozen=True)
class Credential:
    """What a key stands for."""

    project_id: int
    can_read: bool
    can_write: bool
    settings_version: int
    idle_limit_seconds: int
    settings: ProjectSettings = DEFAULTS


@dataclass(frozen=True)
class KeyRecord:
    """A key as an administrator sees it."""

    key_hash: str
    name: str
    can_read: bool
    can_write: bool
    created_at: datetime
    revoked_at: datetime | None


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


async def create_key(connection: asyncpg.Connection, project_id: int, name: str, *, can_read: bool) -> str:
    """Make and store a key that may write, and read when asked for; the text returned exists nowhere else."""
    key = make_key(can_read=can_read)
    await connection.execute(load_sql("infra", "create_key"), hash_key(key), project_id, name, can_read, True)
    return key


async def list_keys(connection: asyncpg.Connection, project_id: int) -> list[KeyRecord]:
    """All keys of a project, the revoked ones too, oldest first."""
    rows = await connection.fetch(load_sql("infra", "list_keys"), project_id)
    return [KeyRecord(**dict(row)) for row in rows]


async def revoke_key(connection: asyncpg.Connection, project_id: int, key_hash: bytes) -> bool:
    """Stop a key; it is refused everywhere within REFRESH_SECONDS. False when it was not in use."""
    return await connection.fetchval(load_sql("infra", "revoke_key"), project_id, key_hash) is not None


class KeyRing:
    """All keys, held in memory and refreshed in the background: no request waits for Postgres for a key it knows.

    While Postgres is away the last picture counts. One event loop uses a ring.
    """

    def __init__(self, dsn: str, *, application_name: str = "pathline-keys") -> None:
        self._dsn = dsn
        self._application_name = application_name
        self._credentials: dict[bytes, Credential] = {}
        #: Text of a key -> its hash, only of keys that were good once; the oldest goes first.
        self._hashes: dict[str, bytes] = {}
        #: Hash of a refused key -> the loop's time until which it is refused unasked.
        self._refused: dict[bytes, float] = {}
        self._waiting: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.loaded = False
        self._loaded_at = -math.inf

    @property
    def age_seconds(self) -> float:
        """How old the picture of the keys is; infinite before there is one."""
        return time.monotonic() - self._loaded_at

    async def start(self) -> None:
        """Begin to refresh. Returns once the keys are there, or after a second without them: it goes on trying."""
        self._task = asyncio.create_task(self._refresh_for_ever(), name="key-ring")
        with suppress(KeysUnavailable):
            await self._refreshed()

    async def stop(self) -> None:
        """End the refreshing and close the connection; requests that wait get KeysUnavailable."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        self._release(KeysUnavailable())

    def known(self, key: str) -> Credential | None:
        """What a key that was used before stands for, by two look-ups; None says nothing: ask `authenticate`."""
        key_hash = self._hashes.get(key)
        return None if key_hash is None else self._credentials.get(key_hash)

    async def authenticate(self, key: str) -> Credential | None:
        """What the key stands for; None when Postgres says that there is no such key.

        Raises:
            KeysUnavailable: the key is not known and Postgres did not answer within a second.
        """
        key_hash = self._hashes.get(key) or hash_key(key)
        if key_hash not in self._credentials:
            if self._refused.get(key_hash, 0.0) > asyncio.get_running_loop().time():
                return None
            await self._refreshed()
        credential = self._credentials.get(key_hash)
        if credential is None:
            _put(self._refused, key_hash, asyncio.get_running_loop().time() + REFRESH_SECONDS)
        elif key not in self._hashes:
            _put(self._hashes, key, key_hash)
        return credential

    async def _refreshed(self) -> None:
        """Return after a refresh that began later than this call; many callers share one."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._wake.set()
        try:
            await asyncio.wait_for(turn, UNKNOWN_KEY_WAIT_SECONDS)
        except TimeoutError as exc:
            raise KeysUnavailable from exc

    async def _refresh_for_ever(self) -> None:
        reachable = True
        while True:
            try:
                await self._refresh_while_connected()
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as exc:
                if reachable:
                    log.warning("keys_not_refreshed", reason=repr(exc), keys=len(self._credentials))
                reachable = False
                self._release(KeysUnavailable())
            else:
                reachable = True
            await self._pause()

    async def _refresh_while_connected(self) -> None:
        connection = await asyncpg.connect(
            self._dsn,
            timeout=CONNECT_TIMEOUT_SECONDS,
            command_timeout=CONNECT_TIMEOUT_SECONDS,
            server_settings={"application_name": self._application_name},
        )
        try:
            while True:
                # Whoever begins to wait while the query runs may have a key that it does not see: the next one's.
                served, self._waiting = self._waiting, []
                try:
                    rows = await connection.fetch(load_sql("infra", "load_keys"))
                except BaseException:
                    self._waiting += served
                    raise
                self._credentials = {row["key_hash"]: Credential(*tuple(row)[1:]) for row in rows}
                self.loaded = True
                self._loaded_at = time.monotonic()
                _resolve(served, None)
                await self._pause()
        finally:
            connection.terminate()

    async def _pause(self) -> None:
        """Wait for the next refresh's time or for a request that cannot."""
        await asyncio.sleep(REFRESH_SPACING_SECONDS)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), REFRESH_SECONDS - REFRESH_SPACING_SECONDS)
        self._wake.clear()

    def _release(self, error: KeysUnavailable) -> None:
        waiting, self._waiting = self._waiting, []
        _resolve(waiting, error)


def _resolve(turns: list[asyncio.Future[None]], error: KeysUnavailable | None) -> None:
    for turn in turns:
        if turn.done():
            continue
        if error is None:
            turn.set_result(None)
        else:
            turn.set_exception(error)


def _put(table: dict[Key, Value], key: Key, value: Value) -> None:
    if len(table) >= REMEMBERED_KEYS_MAX:
        del table[next(iter(table))]
    table[key] = value
