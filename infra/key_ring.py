"""All API keys in memory: what a key stands for is told within a request, without waiting for Postgres."""

import asyncio
import time
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import asyncpg
import structlog

from infra.key_snapshot import Picture, read_snapshot, write_snapshot
from infra.postgres import CONNECT_TIMEOUT_SECONDS, load_sql
from infra.project_settings import InvalidSettings
from infra.projects import Credential, hash_key, stored_settings

log = structlog.get_logger()

Key = TypeVar("Key")
Value = TypeVar("Value")

REFRESH_SECONDS = 2.0
"""How long a revoked key may go on working, and how old the ring's picture of the keys is at most."""

REFRESH_SPACING_SECONDS = 0.1
"""Unknown keys ask for a refresh at once; a flood of them must not become a flood of queries."""

UNKNOWN_KEY_WAIT_SECONDS = 1.0
"""How long a request with an unknown key waits for Postgres before it is answered 503."""

SNAPSHOT_SECONDS = 60.0
"""How often the picture on disk is written when nothing changed: so far its age is behind the truth."""

REMEMBERED_KEYS_MAX = 16_384
"""Texts of keys whose hash is kept, and hashes that were refused lately: bounds on memory, each far above real use."""


class KeysUnavailable(Exception):
    """Whether the key is good cannot be told: Postgres does not answer and the key is not among those already known."""


class KeyRing:
    """All keys, held in memory and refreshed in the background: no request waits for Postgres for a key it knows.

    While Postgres is away the last picture counts, of this process or, when it starts, the one in the file `snapshot`,
    which it keeps up to date. One event loop uses a ring.
    """

    def __init__(self, dsn: str, *, application_name: str = "pathline-keys", snapshot: Path | None = None) -> None:
        self._dsn = dsn
        self._application_name = application_name
        self._snapshot = snapshot
        self._saving: asyncio.Task[None] | None = None
        self._saved_at = 0.0
        self._unsaved = False
        self._rows: list[asyncpg.Record] | None = None
        self._credentials: dict[bytes, Credential] = {}
        #: Hashes of keys whose project has settings that only newer code can read, and had none that this code can.
        self._unusable: frozenset[bytes] = frozenset()
        #: Text of a key -> its hash, only of keys that were good once; the oldest goes first.
        self._hashes: dict[str, bytes] = {}
        #: Hash of a refused key -> the loop's time until which it is refused unasked.
        self._refused: dict[bytes, float] = {}
        self._waiting: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._taken_at: float | None = None
        self._away = False

    @property
    def loaded(self) -> bool:
        """Whether there is a picture of the keys, from Postgres or from the file."""
        return self._taken_at is not None

    @property
    def picture_age_seconds(self) -> float | None:
        """How long ago Postgres confirmed the picture; beyond a few REFRESH_SECONDS it is away. None: there is none."""
        return None if self._taken_at is None else max(0.0, time.time() - self._taken_at)

    async def start(self) -> None:
        """Begin to refresh. Returns once Postgres gave the keys, or after a second without it: it goes on trying."""
        if self._snapshot is not None and (picture := await asyncio.to_thread(read_snapshot, self._snapshot)):
            self._taken_at, self._credentials = picture
            log.info("keys_from_snapshot", keys=len(self._credentials), age_seconds=round(time.time() - self._taken_at))
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
        if self._saving is not None:
            await self._saving
        self._release(KeysUnavailable())

    def known(self, key: str) -> Credential | None:
        """What a key that was used before stands for, by two look-ups; None says nothing: ask `authenticate`."""
        key_hash = self._hashes.get(key)
        return None if key_hash is None else self._credentials.get(key_hash)

    async def authenticate(self, key: str) -> Credential | None:
        """What the key stands for; None when Postgres says that there is no such key.

        Raises:
            KeysUnavailable: the key is not known and Postgres did not answer within a second, or its project's
                settings cannot be read by this code.
        """
        key_hash = self._hashes.get(key) or hash_key(key)
        if key_hash not in self._credentials:
            if self._refused.get(key_hash, 0.0) > asyncio.get_running_loop().time():
                return None
            await self._refreshed()
        credential = self._credentials.get(key_hash)
        if credential is None:
            if key_hash in self._unusable:
                raise KeysUnavailable
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
        while True:
            try:
                await self._refresh_while_connected()
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as exc:
                if not self._away:
                    log.warning("keys_not_refreshed", reason=repr(exc), keys=len(self._credentials))
                self._away = True
                self._release(KeysUnavailable())
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
                self._take(rows)
                _resolve(served, None)
                await self._pause()
        finally:
            connection.terminate()

    def _take(self, rows: list[asyncpg.Record]) -> None:
        self._taken_at = time.time()
        self._away = False
        if rows != self._rows:
            self._rows = rows
            self._credentials = self._credentials_of(rows)
            self._unsaved = True
        if self._snapshot is None or (self._saving is not None and not self._saving.done()):
            return
        if self._unsaved or self._taken_at - self._saved_at > SNAPSHOT_SECONDS:
            self._unsaved = False
            self._saving = asyncio.create_task(self._save(self._snapshot), name="key-snapshot")

    def _credentials_of(self, rows: list[asyncpg.Record]) -> dict[bytes, Credential]:
        """What the rows say. A key whose settings cannot be read keeps what it stood for, or is held back: masking
        rules may be among them.
        """
        found, unusable = {}, set()
        for row in rows:
            key_hash = row["key_hash"]
            try:
                found[key_hash] = _credential(row)
            except InvalidSettings as fault:
                log.error("settings_not_readable", project=row["project_id"], reason=str(fault))
                if key_hash in self._credentials:
                    found[key_hash] = self._credentials[key_hash]
                else:
                    unusable.add(key_hash)
        self._unusable = frozenset(unusable)
        return found

    async def _save(self, file: Path) -> None:
        """Write the picture to the file, beside the refreshing: a slow disk must not make the keys old."""
        picture = Picture(self._taken_at or 0.0, self._credentials)
        try:
            await asyncio.to_thread(write_snapshot, file, picture)
        except OSError as fault:
            log.warning("key_snapshot_not_written", file=str(file), reason=str(fault))
        self._saved_at = picture.taken_at

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


def _credential(row: asyncpg.Record) -> Credential:
    return Credential(
        row["project_id"], row["can_read"], row["can_write"], row["version"], stored_settings(row["settings"])
    )
