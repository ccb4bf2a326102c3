"""All API keys in memory: what a key stands for is told within a request, without waiting for Postgres."""

import asyncio
from contextlib import suppress
from typing import TypeVar

import asyncpg
import structlog

from infra.postgres import CONNECT_TIMEOUT_SECONDS, load_sql
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

REMEMBERED_KEYS_MAX = 16_384
"""Texts of keys whose hash is kept, and hashes that were refused lately: bounds on memory, each far above real use."""


class KeysUnavailable(Exception):
    """Whether the key is good cannot be told: Postgres does not answer and the key is not among those already known."""


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
                self._credentials = {row["key_hash"]: _credential(row) for row in rows}
                self.loaded = True
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


def _credential(row: asyncpg.Record) -> Credential:
    return Credential(
        row["project_id"], row["can_read"], row["can_write"], row["version"], stored_settings(row["settings"])
    )
