"""Jobs that one worker does for all: each on its interval, while this worker leads.

A leader of Faust is not a lock: it believes in its leadership through an outage of the broker, while another worker has
taken over. So the leader also holds an advisory lock in Postgres, on a session of its own that it keeps awake. The
server ends that session when the worker is frozen for SESSION_IDLE_MAX_MS, and the lock is free for the next.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import asyncpg
import structlog

from infra.postgres import load_sql, make_pool

log = structlog.get_logger()

Connection = asyncpg.pool.PoolConnectionProxy

CHECK_SECONDS = 1.0
"""Between two looks at both leaderships; also how soon a lost lock stops the jobs."""
SESSION_IDLE_MAX_MS = 5_000
STATEMENT_TIMEOUT_MS = 25_000
JOB_CONNECTIONS_MAX = 3
NAMED_INTERVAL_SECONDS_MIN = 60.0
"""Runs of jobs with shorter intervals are not in the log, unless they fail."""


@dataclass(frozen=True)
class Job:
    """Work that may be repeated at any time and given up in the middle: what it left undone the next run does."""

    name: str
    interval_seconds: float
    """From the end of a run to the next. The first one is at once when a worker begins to lead."""
    run: Callable[[asyncpg.Pool], Awaitable[None]]


class Leader:
    """Runs the jobs while this worker leads. `run` returns after `stop`; it survives outages of Postgres."""

    def __init__(self, dsn: str, jobs: Sequence[Job], is_leader: Callable[[], bool], *, instance: str) -> None:
        self._dsn = dsn
        self._jobs = jobs
        self._is_leader = is_leader
        self._instance = instance
        self._log = log.bind(instance=instance)
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Give up what is being done, let the lock go, then let `run` return."""
        self._stopping.set()

    async def run(self) -> None:
        """Lead whenever both leaderships are to be had, until `stop`."""
        while not self._stopping.is_set():
            if self._is_leader():
                try:
                    await self._hold_lock()
                # Whatever it is, the next look may find it gone; a leader that ends would go unnoticed.
                except Exception as fault:  # noqa: BLE001
                    self._log.warning("leader_waits", fault=f"{type(fault).__name__}: {fault}")
            await self._pause_for(CHECK_SECONDS)

    async def _hold_lock(self) -> None:
        """Lead for as long as the lock is held; return at once when another worker has it.

        Raises:
            OSError, asyncpg.PostgresError, asyncpg.InterfaceError: the session is lost, and the lock with it.
        """
        async with self._pool(1, idle_session_timeout=str(SESSION_IDLE_MAX_MS)) as sessions:
            # Never given back to its pool, which would let the lock go.
            session = await sessions.acquire()
            if await session.fetchval(load_sql("processors", "lock_leader")):
                self._log.info("leading")
                async with self._pool(JOB_CONNECTIONS_MAX) as pool:
                    await self._work(session, pool)

    async def _work(self, session: Connection, pool: asyncpg.Pool) -> None:
        tasks = [asyncio.create_task(self._repeat(job, pool)) for job in self._jobs]
        try:
            while self._is_leader() and not self._stopping.is_set():
                await session.execute(load_sql("processors", "keep_session"), timeout=SESSION_IDLE_MAX_MS / 1000)
                await self._pause_for(CHECK_SECONDS)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _repeat(self, job: Job, pool: asyncpg.Pool) -> None:
        while True:
            await self._run_once(job, pool)
            await asyncio.sleep(job.interval_seconds)

    async def _run_once(self, job: Job, pool: asyncpg.Pool) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            await job.run(pool)
        # A job that fails, for whatever reason, is tried again at its next time and holds no other one up.
        except Exception as fault:  # noqa: BLE001
            self._log.error(
                "job_failed", job=job.name, seconds=round(clock() - began, 3), fault=f"{type(fault).__name__}: {fault}"
            )
            # A session stays read-only when the server is not any more.
            await pool.expire_connections()
        else:
            # One that runs every few seconds would say so all day; it says itself what it did.
            say = self._log.info if job.interval_seconds >= NAMED_INTERVAL_SECONDS_MIN else self._log.debug
            say("job_done", job=job.name, seconds=round(clock() - began, 3))

    @asynccontextmanager
    async def _pool(self, connections_max: int, **options: str) -> AsyncIterator[asyncpg.Pool]:
        pool = await make_pool(
            self._dsn,
            application_name=f"pathline-leader-{self._instance}",
            connections_max=connections_max,
            statement_timeout_ms=STATEMENT_TIMEOUT_MS,
            options=options,
        )
        try:
            yield pool
        finally:
            # Not `close`, which waits for a server that may not answer. The lock ends with its session.
            pool.terminate()

    async def _pause_for(self, seconds: float) -> None:
        """Wait, but not beyond `stop`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
