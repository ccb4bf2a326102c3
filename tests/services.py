"""Real Kafka and Postgres for the tests, and what a test needs of its own in them.

One broker and one Postgres serve the whole session: they are started when the first test asks, on free ports in a
temporary home, and stopped at the end. Of several worker processes of pytest each has a session and engines of its own.
PATHLINE_TEST_KAFKA and PATHLINE_TEST_POSTGRES (a superuser's DSN) point at engines that run already; then none is
started. Each test gets an empty, migrated database and topics of its own.
"""

import asyncio
import os
import random
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count, islice
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from infra.local.class_archive import ensure_class_archive
from infra.local.command import Command
from infra.local.engine import Engine, EngineKind
from infra.local.kafka import KAFKA
from infra.local.postgres import POSTGRES
from infra.migrate import migrate
from infra.settings import KafkaSettings, LocalSettings
from infra.topics import EVENTS, SPANS, Topic, ensure_topics

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
"""Which of pytest's worker processes this is; the first, when there is no other."""

TEMPLATE = f"pathline_template_{WORKER}"
PORTS_FIRST, PORTS_PER_WORKER, PORTS_LAST = 12_000, 2_000, 32_000
"""Below the ports that Linux gives to outgoing connections: while a killed engine is away, nobody gets its port."""


def _worker_ports() -> Iterator[int]:
    """Ports of this worker process alone, round and round, from one that other runs of the tests hardly begin at."""
    place = int(WORKER.removeprefix("gw")) * PORTS_PER_WORKER % (PORTS_LAST - PORTS_FIRST)
    start = random.randrange(PORTS_PER_WORKER)
    return (PORTS_FIRST + place + (start + step) % PORTS_PER_WORKER for step in count())


_ports = _worker_ports()


def free_ports(number: int) -> list[int]:
    """Loopback ports that nobody listens on now, all different, and that no other worker process is given."""
    return list(islice(filter(_is_free, _ports), number))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: a port whose last connections are just being forgotten is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def make_local_settings(home: Path) -> LocalSettings:
    """Settings of engines in `home` on free ports."""
    kafka, controller, postgres = free_ports(3)
    return LocalSettings(home=home, kafka_port=kafka, kafka_controller_port=controller, postgres_port=postgres)


def make_home() -> Path:
    """A new folder for engines. Not below pytest's own, which every pytest closes to the user that Postgres runs as."""
    home = Path(tempfile.mkdtemp(prefix="pathline-test-"))
    home.chmod(0o755)
    return home


async def wait_until(condition: Callable[[], Awaitable[bool]], *, seconds: float, what: str) -> None:
    """Return once the condition holds; fail the test at the deadline, naming `what` was waited for."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not await condition():
        if asyncio.get_running_loop().time() > deadline:
            pytest.fail(f"not within {seconds} s: {what}")
        await asyncio.sleep(0.02)


def _engine(kind: EngineKind, settings: LocalSettings) -> Iterator[Engine]:
    engine = Engine(kind, settings)
    # Not the test's own loop: the engine outlives it.
    asyncio.run(engine.start())
    try:
        yield engine
    finally:
        asyncio.run(engine.stop())


def _prepare_kafka(settings: LocalSettings) -> Command:
    """The broker without the JVM's slower compiler: of a run's few minutes it takes more than it gives back."""
    java, *arguments = (command := KAFKA.prepare(settings)).argv
    return replace(command, argv=(java, "-XX:TieredStopAtLevel=1", *arguments))


@pytest.fixture(scope="session")
def engine_home() -> Iterator[Path]:
    """The session's home of engines."""
    home = make_home()
    yield home
    shutil.rmtree(home)


@pytest.fixture
def own_home() -> Iterator[Path]:
    """A home of this test alone, for engines that it starts, kills and breaks itself."""
    home = make_home()
    yield home
    shutil.rmtree(home)


@pytest.fixture(scope="session")
def local_settings(engine_home: Path) -> LocalSettings:
    """Where the session's engines are, when they are started."""
    return make_local_settings(engine_home)


@pytest.fixture(scope="session")
def local_kafka(local_settings: LocalSettings) -> Iterator[Engine]:
    """The session's own broker. A test that stops or kills it must start it again."""
    ensure_class_archive()
    yield from _engine(replace(KAFKA, prepare=_prepare_kafka), local_settings)


@pytest.fixture(scope="session")
def local_postgres(local_settings: LocalSettings) -> Iterator[Engine]:
    """The session's own Postgres. A test that stops or kills it must start it again."""
    yield from _engine(POSTGRES, local_settings)


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> str:
    """Bootstrap address of a broker that serves."""
    if address := os.environ.get("PATHLINE_TEST_KAFKA"):
        return address
    engine: Engine = request.getfixturevalue("local_kafka")
    return engine.settings.kafka_servers


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> str:
    """DSN of a Postgres that serves; its database is not for tests to change."""
    if dsn := os.environ.get("PATHLINE_TEST_POSTGRES"):
        return dsn
    engine: Engine = request.getfixturevalue("local_postgres")
    return engine.settings.postgres_dsn()


@pytest.fixture(scope="session")
def template_database(postgres: str) -> str:
    """Name of a database with every migration applied, which `database` copies."""
    asyncio.run(_make_template(postgres))
    return TEMPLATE


@pytest.fixture
async def database(postgres: str, template_database: str) -> AsyncIterator[str]:
    """DSN of an empty, migrated database of this test alone."""
    async with copied_database(postgres, template_database) as dsn:
        yield dsn


@pytest.fixture
async def blank_database(postgres: str) -> AsyncIterator[str]:
    """DSN of a database without any table; dropped afterwards."""
    name = f"blank_{uuid4().hex}"
    await run_statements(postgres, f'CREATE DATABASE "{name}" TEMPLATE template0')
    yield database_of(postgres, name)
    await run_statements(postgres, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
async def events_topic(kafka: str) -> AsyncIterator[Topic]:
    """A topic like `infra.topics.EVENTS` under a name of this test alone."""
    async with own_topic(kafka) as topic:
        yield topic


@pytest.fixture
async def spans_topic(kafka: str) -> AsyncIterator[Topic]:
    """The same for `infra.topics.SPANS`."""
    async with own_topic(kafka, like=SPANS) as topic:
        yield topic


@asynccontextmanager
async def copied_database(dsn: str, template: str) -> AsyncIterator[str]:
    """DSN of a new copy of a database; dropped afterwards, whoever is still connected."""
    name = f"test_{uuid4().hex}"
    await run_statements(dsn, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    yield database_of(dsn, name)
    await run_statements(dsn, f'DROP DATABASE "{name}" WITH (FORCE)')


@asynccontextmanager
async def own_topic(servers: str, *, like: Topic = EVENTS) -> AsyncIterator[Topic]:
    """A topic as `make_topic` makes it; deleted afterwards, or every later restart of the broker would recover it."""
    topic = await make_topic(servers, like=like)
    yield topic
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        await admin.delete_topics([topic.name])
    finally:
        await admin.close()


async def make_topic(servers: str, *, like: Topic = EVENTS) -> Topic:
    """Create a topic with a fresh name that is like another one in everything else."""
    topic = replace(like, name=f"test.{uuid4().hex[:12]}")
    await ensure_topics(servers, KafkaSettings(), [topic])
    return topic


async def run_statements(dsn: str, *statements: str) -> None:
    """Run statements, each outside any transaction."""
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def database_of(dsn: str, name: str) -> str:
    """The DSN of another database on the same server."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))


async def _make_template(dsn: str) -> None:
    await run_statements(
        dsn, f"DROP DATABASE IF EXISTS {TEMPLATE} WITH (FORCE)", f"CREATE DATABASE {TEMPLATE} TEMPLATE template0"
    )
    await migrate(database_of(dsn, TEMPLATE))
