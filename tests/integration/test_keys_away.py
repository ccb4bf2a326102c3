"""Goal: ingest goes on for hours without Postgres, and a key that it cannot know then is 503, never 401.

Method: `python -m ingest` as a process of its own, over real Kafka and a Postgres that is stopped and started again.
"""

import json
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx
import pytest

from infra.local.engine import Engine
from infra.local.postgres import POSTGRES
from infra.migrate import migrate
from infra.projects import change_settings, create_key, ensure_project, hash_key, make_key, revoke_key
from infra.topics import Topic
from tests.processes import Stage
from tests.services import free_ports, make_local_settings, wait_until

LOG = {"providerRequest": {"url": "custom-model-nopath"}, "providerResponse": {"status": 200}}


@dataclass
class Away:
    """An ingest whose Postgres can be stopped."""

    engine: Engine
    stage: Stage
    url: str
    folder: Path

    async def log(self, key: str, body: object = LOG) -> httpx.Response:
        async with httpx.AsyncClient(base_url=self.url, headers={"Authorization": f"Bearer {key}"}) as client:
            return await client.post("/custom/v1/log", json=body, timeout=10)

    async def await_ready(self) -> None:
        async def ready() -> bool:
            async with httpx.AsyncClient(base_url=self.url, timeout=2) as client:
                try:
                    return (await client.get("/readyz")).status_code == 200
                except httpx.TransportError:
                    return False

        await wait_until(ready, seconds=30, what="ingest is ready")

    async def await_status(self, key: str, status: int) -> httpx.Response:
        answers: list[httpx.Response] = []

        async def answered() -> bool:
            try:
                answers.append(await self.log(key))
            except httpx.ConnectError:
                return False
            return answers[-1].status_code == status

        await wait_until(answered, seconds=30, what=f"the key is answered {status}")
        return answers[-1]

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(self.engine.settings.postgres_dsn())
        try:
            yield connection
        finally:
            await connection.close()

    @property
    def snapshots(self) -> list[Path]:
        return list((self.folder / "home").glob("keys-*.json"))


@pytest.fixture
async def away(
    kafka: str, events_topic: Topic, spans_topic: Topic, own_home: Path, tmp_path: Path
) -> AsyncIterator[Away]:
    engine = Engine(POSTGRES, make_local_settings(own_home))
    await engine.start()
    await migrate(engine.settings.postgres_dsn())
    [port] = free_ports(1)
    environment = {
        "PATHLINE_KAFKA": kafka,
        "PATHLINE_POSTGRES": engine.settings.postgres_dsn(),
        "PATHLINE_EVENTS_TOPIC": events_topic.name,
        "PATHLINE_SPANS_TOPIC": spans_topic.name,
        "INGEST_PORT": str(port),
    }
    with Stage("ingest", tmp_path, environment) as stage:
        yield Away(engine, stage, f"http://127.0.0.1:{port}", tmp_path)
    await engine.stop()


async def test_an_ingest_that_starts_without_postgres_knows_the_keys_of_before(away: Away) -> None:
    async with away.connection() as connection:
        project_id = await ensure_project(connection, "default")
        key, revoked = [await create_key(connection, project_id, "k", can_read=True) for _ in range(2)]
        await away.await_ready()
        await away.await_status(key, 200)
        await away.await_status(revoked, 200)
        assert await revoke_key(connection, project_id, hash_key(revoked))
        await away.await_status(revoked, 401)
    assert away.stage.terminate(within_seconds=15) == 0
    (snapshot,) = away.snapshots
    assert stat.S_IMODE(snapshot.stat().st_mode) == 0o600
    assert key not in snapshot.read_text()

    await away.engine.kill()
    away.stage.start()
    await away.await_ready()
    assert (await away.log(key)).status_code == 200
    for unknown in (make_key(can_read=True), revoked):
        answer = await away.log(unknown)
        assert (answer.status_code, answer.json()["code"]) == (503, "keys_away")
        assert int(answer.headers["retry-after"]) > 0

    await away.engine.start()
    await away.await_status(make_key(can_read=True), 401)
    await away.await_status(revoked, 401)
    assert (await away.log(key)).status_code == 200


async def test_a_broken_snapshot_is_said_and_then_replaced(away: Away) -> None:
    async with away.connection() as connection:
        key = await create_key(connection, await ensure_project(connection, "default"), "k", can_read=True)
    await away.await_ready()
    await away.await_status(key, 200)
    assert away.stage.terminate(within_seconds=15) == 0
    (snapshot,) = away.snapshots
    whole = snapshot.read_bytes()
    snapshot.write_bytes(whole[: len(whole) // 2])

    await away.engine.kill()
    away.stage.start()
    await away.await_status(key, 503)
    assert "key_snapshot_ignored" in away.stage.output
    await away.engine.start()
    await away.await_status(key, 200)
    assert away.stage.terminate(within_seconds=15) == 0
    assert json.loads(snapshot.read_bytes())["content"]["keys"] == json.loads(whole)["content"]["keys"]


async def test_what_a_project_decides_reaches_a_running_ingest_within_seconds(away: Away) -> None:
    async with away.connection() as connection:
        project_id = await ensure_project(connection, "default")
        key = await create_key(connection, project_id, "k", can_read=True)
        await away.await_ready()
        await away.await_status(key, 200)
        await change_settings(connection, project_id, {"events_per_second_max": 1, "retention_days": 30})
        limited = await away.await_status(key, 429)
        assert limited.json()["code"] == "rate_limited"
        assert int(limited.headers["retry-after"]) >= 1
        # Another project's key of the same process is not held up.
        other = await create_key(connection, await ensure_project(connection, "other"), "k", can_read=True)
        assert [(await away.log(other)).status_code for _ in range(5)] == [200] * 5
        await away.await_status(key, 200)
        await change_settings(connection, project_id, {"events_per_second_max": None})
        await away.await_status(key, 200)
        moment = {"seconds": 1_600_000_000, "milliseconds": 0}
        old = await away.log(key, {**LOG, "timing": {"startTime": moment, "endTime": moment}})
        assert old.json()["error"] == "Invalid timing: 'startTime' is older than the retention"
