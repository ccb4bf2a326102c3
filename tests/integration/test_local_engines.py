"""Goal: the local engines start, stop, crash and come back by themselves. Method: real ones, each in its own home."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import aiokafka
import asyncpg
import psutil
import pytest

from infra.kafka import make_consumer, make_producer
from infra.local.engine import Engine, EngineKind
from infra.local.errors import DiskFullError, LocalEngineError, PortTakenError
from infra.local.kafka import KAFKA
from infra.local.postgres import POSTGRES
from infra.topics import BATCH_BYTES_MAX, EVENTS
from tests.services import make_local_settings, make_topic

BACK_WITHIN_SECONDS = 20.0
"""Generous for a loaded machine; on an idle one Postgres takes 0.2 s and Kafka 4 s after a SIGKILL."""


@pytest.fixture(params=[POSTGRES, KAFKA], ids=lambda kind: kind.name)
async def engine(request: pytest.FixtureRequest, own_home: Path) -> AsyncIterator[Engine]:
    kind: EngineKind = request.param
    made = Engine(kind, make_local_settings(own_home))
    yield made
    await made.stop()


def listening_addresses(pid: int) -> set[str]:
    connections = psutil.Process(pid).net_connections(kind="inet")
    return {connection.laddr.ip for connection in connections if connection.status == psutil.CONN_LISTEN}


def tree(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


async def test_an_engine_starts_listens_on_loopback_only_and_stops_without_leaving_a_process(engine: Engine) -> None:
    await engine.start()
    assert listening_addresses(engine.pid) <= {"127.0.0.1", "::ffff:127.0.0.1"}
    processes = tree(engine.pid)
    await engine.stop()
    _, alive = psutil.wait_procs(processes, timeout=5)
    assert alive == []


async def test_a_killed_engine_is_back_within_seconds(engine: Engine) -> None:
    await engine.start()
    await engine.kill()
    began = time.monotonic()
    await engine.start()
    assert time.monotonic() - began < BACK_WITHIN_SECONDS


async def test_an_engine_that_a_dead_supervisor_left_behind_is_replaced(engine: Engine) -> None:
    await engine.start()
    left_behind = psutil.Process(engine.pid)
    successor = Engine(engine.kind, engine.settings)
    await successor.start()
    engine.process.wait(timeout=5)
    assert not left_behind.is_running()
    await successor.stop()


async def test_a_port_in_use_is_named_with_its_owner_and_the_setting(engine: Engine) -> None:
    (setting, port), *_ = engine.kind.ports(engine.settings).items()
    with socket.create_server(("127.0.0.1", port)), pytest.raises(PortTakenError) as caught:
        await engine.start()
    message = str(caught.value)
    assert f"port {port}" in message
    assert f"(pid {os.getpid()})" in message
    assert setting in message


async def test_a_full_disk_is_a_message_and_not_a_broken_start(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.local.preflight.FREE_BYTES_MIN", 1 << 60)
    with pytest.raises(DiskFullError, match="free some space"):
        await engine.start()


async def test_an_engine_that_ends_while_starting_says_why(engine: Engine) -> None:
    await engine.start()
    await engine.stop()
    data = engine.settings.home / engine.kind.name / "data"
    (data / ("meta.properties" if engine.kind is KAFKA else "PG_VERSION")).write_text("nonsense")
    with pytest.raises(LocalEngineError, match=str(engine.settings.home)):
        await engine.start()


@pytest.fixture
async def own_postgres(own_home: Path) -> AsyncIterator[Engine]:
    made = Engine(POSTGRES, make_local_settings(own_home))
    yield made
    await made.stop()


@pytest.fixture
async def own_kafka(own_home: Path) -> AsyncIterator[Engine]:
    made = Engine(KAFKA, make_local_settings(own_home))
    yield made
    await made.stop()


async def test_a_stale_pid_file_of_postgres_does_not_keep_it_down(own_postgres: Engine, own_home: Path) -> None:
    engine = own_postgres
    await engine.start()
    await engine.stop()
    (own_home / "postgres" / "data" / "postmaster.pid").write_text(f"{os.getpid()}\n{own_home}/postgres/data\n0\n0\n\n")
    await engine.start()
    await engine.stop()


async def test_what_was_committed_survives_the_kill_of_postgres(own_postgres: Engine) -> None:
    engine = own_postgres
    await engine.start()
    connection = await asyncpg.connect(engine.settings.postgres_dsn())
    await connection.execute("CREATE TABLE kept (n int); INSERT INTO kept SELECT generate_series(1, 1000)")
    await engine.kill()
    connection.terminate()
    await engine.start()
    connection = await asyncpg.connect(engine.settings.postgres_dsn())
    assert await connection.fetchval("SELECT count(*) FROM kept") == 1000
    await connection.close()
    await engine.stop()


async def test_a_16_mib_batch_passes_the_broker_and_survives_its_kill(own_kafka: Engine) -> None:
    engine = own_kafka
    await engine.start()
    servers = engine.settings.kafka_servers
    topic = await make_topic(servers, like=replace(EVENTS, partitions=1))
    record = os.urandom(15 * 1024 * 1024)
    producer = make_producer(servers, batch_bytes_max=BATCH_BYTES_MAX)
    await producer.start()
    await producer.send_and_wait(topic.name, record)
    await producer.stop()
    await engine.kill()
    await engine.start()
    consumer = make_consumer(servers, group_id="test", instance_id=None)
    await consumer.start()
    partition = aiokafka.TopicPartition(topic.name, 0)
    consumer.assign([partition])
    consumer.seek(partition, 0)
    received = await asyncio.wait_for(consumer.getone(), 20)
    assert received.value == record
    await consumer.stop()
    await engine.stop()
