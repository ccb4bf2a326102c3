"""Goal: whatever breaks between the log and the store, nothing is lost or doubled, and the worker recovers by itself.

Method: one worker, behind a door to Postgres that breaks on command, stores what a feed publishes all the time. One
fault after the other, in an order drawn from the printed seed. After each: no dead letter, every roll-up equal to its
recomputation, and everything that was on the topic at the end of the outage stored at most 15 s later. A disk that is
really full takes a file system of one's own and so rights that not everybody has: a trigger raises its SQLSTATE, 53100,
inside the server, in the middle of a batch.
"""

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import psutil
import pytest

from infra.local.engine import Engine
from infra.topics import Topic
from tests.faults.feed import LONG, Feed, draw_seed
from tests.faults.postgres_proxy import PostgresProxy, Trap, Where
from tests.processes import Stage
from tests.services import run_statements, wait_until
from tests.topic_worker import await_joined, worker

OUTAGE_SECONDS = 30.0 if LONG else 2.0
STATEMENT_SECONDS = 2.0 if LONG else 0.4
"""What a statement takes of a slow database; a batch has about twelve."""
IDLE_IN_TRANSACTION_SECONDS = 5.0
"""What the server lets a transaction wait for its next statement."""
TROUBLE_SEEN_SECONDS = 10 + OUTAGE_SECONDS


@dataclass(frozen=True)
class Bench:
    """What a fault can break."""

    stage: Stage
    proxy: PostgresProxy
    feed: Feed
    role: str
    """Whom the worker connects as; no superuser, whom no limit of connections binds."""
    database: str
    engines: dict[str, Engine]

    async def run(self, *statements: str) -> None:
        await run_statements(self.feed.dsn, "SET default_transaction_read_only = off", *statements)

    async def end_connections(self) -> None:
        """Of the worker: what it opens next is under the rules of now."""
        await self.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{self.role}'")

    @asynccontextmanager
    async def says(self, fault: str) -> AsyncIterator[None]:
        """The worker's log names the fault while this lasts, or the outage was none."""
        seen = len(self.stage.output)

        async def said() -> bool:
            return fault in self.stage.output[seen:]

        yield
        await wait_until(said, seconds=TROUBLE_SEEN_SECONDS, what=f"the worker says {fault}")
        await asyncio.sleep(OUTAGE_SECONDS)


async def spring(bench: Bench, statement: bytes, where: Where) -> Trap:
    trap = bench.proxy.set_trap(statement, where)
    async with asyncio.timeout(TROUBLE_SEEN_SECONDS):
        await trap.sprung.wait()
    return trap


async def hold_commit(bench: Bench) -> Trap:
    """Everything of a batch is written, and its COMMIT on its way."""
    return await spring(bench, b"COMMIT", Where.HOLD)


async def cut_in_transaction(bench: Bench) -> None:
    await spring(bench, b'COPY "records"', Where.CUT_BEFORE)


async def cut_before_commit(bench: Bench) -> None:
    await spring(bench, b"COMMIT", Where.CUT_BEFORE)


async def cut_after_commit(bench: Bench) -> None:
    await spring(bench, b"COMMIT", Where.CUT_AFTER)


async def read_only(bench: Bench) -> None:
    """As hosts of databases do it: for new sessions. Those that the worker opens meanwhile stay as they are."""
    async with bench.says("ReadOnlySQLTransactionError"):
        await bench.run(f'ALTER DATABASE "{bench.database}" SET default_transaction_read_only = on')
        await bench.end_connections()
    await bench.run(f'ALTER DATABASE "{bench.database}" RESET default_transaction_read_only')


async def disk_full(bench: Bench) -> None:
    async with bench.says("DiskFullError"):
        await bench.run(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "RAISE 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$",
            "CREATE TRIGGER full_disk BEFORE INSERT ON generation_1.session_paths EXECUTE FUNCTION refuse()",
        )
    await bench.run("DROP FUNCTION refuse CASCADE")


async def out_of_connections(bench: Bench) -> None:
    async with bench.says("TooManyConnectionsError"):
        await bench.run(f"ALTER ROLE {bench.role} CONNECTION LIMIT 0")
        await bench.end_connections()
    await bench.run(f"ALTER ROLE {bench.role} CONNECTION LIMIT -1")


async def slow(bench: Bench) -> None:
    """Also: a slow database is no reason not to get on."""
    [before] = await bench.feed.fetch("SELECT sum(next_offset) FROM offsets")

    async def gets_on() -> bool:
        [now] = await bench.feed.fetch("SELECT sum(next_offset) FROM offsets")
        return bool(now["sum"] > before["sum"])

    bench.proxy.delay_seconds = STATEMENT_SECONDS
    await asyncio.sleep(OUTAGE_SECONDS)
    await wait_until(gets_on, seconds=30 * STATEMENT_SECONDS, what="a batch is stored")
    bench.proxy.delay_seconds = 0.0


async def freeze(pids: Iterable[int], *, seconds: float = OUTAGE_SECONDS) -> None:
    stopped = list(pids)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


async def postgres_frozen(bench: Bench) -> None:
    """The server and all its sessions."""
    server = psutil.Process(bench.engines["postgres"].pid)
    await freeze(process.pid for process in [server, *server.children(recursive=True)])


async def kafka_frozen(bench: Bench) -> None:
    await freeze([bench.engines["kafka"].pid])


async def worker_frozen(bench: Bench) -> None:
    """Nobody takes over; its transaction is the server's to end."""
    await freeze([bench.stage.process.pid])


async def postgres_killed(bench: Bench) -> None:
    """In the middle of a batch."""
    trap = await hold_commit(bench)
    await kill(bench.engines["postgres"])
    trap.released.set()


async def kafka_killed(bench: Bench) -> None:
    await kill(bench.engines["kafka"])


async def kill(engine: Engine) -> None:
    await engine.kill()
    if LONG:
        await asyncio.sleep(OUTAGE_SECONDS)
    await engine.start()


async def worker_killed(bench: Bench) -> None:
    """With a COMMIT on its way, which arrives."""
    trap = await hold_commit(bench)
    bench.stage.kill()
    trap.released.set()
    bench.stage.start()


async def frozen_in_transaction(bench: Bench) -> None:
    """Longer than a transaction may be idle, so that it comes back to one that is gone."""
    trap = await hold_commit(bench)
    await freeze([bench.stage.process.pid], seconds=max(OUTAGE_SECONDS, IDLE_IN_TRANSACTION_SECONDS + 1))
    trap.released.set()


FAULTS: tuple[Callable[[Bench], Awaitable[None]], ...] = (
    *(cut_in_transaction, cut_before_commit, cut_after_commit, read_only, disk_full, out_of_connections, slow),
    *(postgres_frozen, kafka_frozen, worker_frozen, frozen_in_transaction),
    *(postgres_killed, kafka_killed, worker_killed),
)


@asynccontextmanager
async def ordinary_role(dsn: str) -> AsyncIterator[str]:
    """A role with every right of the owner that is no superuser; its password is its name."""
    role, owner = f"test_{uuid4().hex}", urlsplit(dsn).username
    await run_statements(dsn, f"CREATE ROLE {role} LOGIN PASSWORD '{role}' IN ROLE {owner}")
    try:
        yield role
    finally:
        await run_statements(dsn, f"REASSIGN OWNED BY {role} TO {owner}", f"DROP ROLE {role}")


@asynccontextmanager
async def set_up(feed: Feed, spans_topic: Topic, engines: dict[str, Engine], folder: Path) -> AsyncIterator[Bench]:
    """A worker behind a door that breaks, in its groups, and events that come all the time."""
    proxy = PostgresProxy(feed.dsn)
    async with ordinary_role(feed.dsn) as role, proxy.serve():
        broken = proxy.address(user=role)
        with worker(feed.kafka, broken, feed.topic, spans_topic, folder) as stage:
            await await_joined(feed.kafka, feed.topic, seconds=40)
            async with feed.flowing():
                await feed.await_stored(seconds=40)
                yield Bench(stage, proxy, feed, role, urlsplit(feed.dsn).path[1:], engines)
            await feed.assert_all_stored_once()
            assert stage.terminate(within_seconds=10) == 0


@pytest.mark.timeout(180 + len(FAULTS) * (30 + 2 * OUTAGE_SECONDS))
async def test_one_fault_after_the_other(
    kafka: str,
    database: str,
    events_topic: Topic,
    spans_topic: Topic,
    local_postgres: Engine,
    local_kafka: Engine,
    tmp_path: Path,
) -> None:
    seed = draw_seed()
    rng = random.Random(seed)
    feed, engines = Feed(kafka, database, events_topic, seed), {"postgres": local_postgres, "kafka": local_kafka}
    async with set_up(feed, spans_topic, engines, tmp_path) as bench:
        for fault in rng.sample(FAULTS, len(FAULTS)):
            await asyncio.sleep(rng.uniform(0.0, 0.5))
            began = time.monotonic()
            await fault(bench)
            await feed.assert_kept_up(fault.__name__, began, time.monotonic())
            assert bench.stage.process.poll() is None, "the worker itself must outlive the outage"
