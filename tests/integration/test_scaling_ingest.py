"""Goal: the number of ingest processes changes under load without a request that fails or an event that is lost.

Method: the supervisor of `make run` with real ingest processes on one socket, kept-alive and new connections meanwhile.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
import pytest

from infra.local.command import Command
from infra.local.record import read_record
from infra.local.supervisor import Service, Supervisor, listen, on_socket
from infra.topics import Topic
from tests.integration.ingest_service import Ingest
from tests.pipeline import make_key
from tests.processes import ROOT, Stage
from tests.services import wait_until

LOADS = 8


@dataclass
class Load:
    """Calls one after the other until it is told to stop, and what came of them."""

    url: str
    key: str
    accepted: set[str] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)
    stopping: bool = False

    async def run(self, *, keep_alive: bool) -> None:
        headers = {"Authorization": f"Bearer {self.key}"} | ({} if keep_alive else {"Connection": "close"})
        async with httpx.AsyncClient(base_url=self.url, headers=headers, timeout=15) as client:
            while not self.stopping:
                event_id = str(uuid4())
                try:
                    answer = await client.post("/v1/events", json={"event_id": event_id, "session_id": "s"})
                except httpx.TransportError as fault:
                    self.failures.append(f"keep_alive={keep_alive}: {fault!r}")
                    continue
                if answer.status_code == 200:
                    self.accepted.add(event_id)
                else:
                    self.failures.append(answer.text)


@pytest.fixture
async def supervisor(own_home: Path) -> AsyncIterator[Supervisor]:
    made = Supervisor(own_home, own_home / "logs", engines=[])
    made.begin()
    yield made
    await made.stop()


def running(home: Path) -> list[int]:
    record = read_record(home)
    return [child.pid for child in record.children if child.process()] if record else []


def serving(home: Path, port: int) -> int:
    """How many processes of the home have a client's connection on the port."""
    return sum(
        any(one.laddr.port == port for one in psutil.Process(pid).net_connections() if one.status == "ESTABLISHED")
        for pid in running(home)
    )


async def test_one_to_three_to_one_under_load(
    supervisor: Supervisor, own_home: Path, kafka: str, database: str, events_topic: Topic, spans_topic: Topic
) -> None:
    key = await make_key(database)
    environment = {
        "PATHLINE_HOME": str(own_home),
        "PATHLINE_KAFKA": kafka,
        "PATHLINE_POSTGRES": database,
        "PATHLINE_EVENTS_TOPIC": events_topic.name,
        "PATHLINE_SPANS_TOPIC": spans_topic.name,
    }
    with listen(0) as listening:
        port = listening.getsockname()[1]

        def command(slot: int) -> Command:
            log = own_home / "logs" / f"ingest-{slot}.log"
            argv = (sys.executable, "-m", "ingest")
            return on_socket(Command("ingest", argv, log, env=os.environ | environment, cwd=ROOT), listening)

        await supervisor.scale(Service("ingest", command), 1)
        load = Load(f"http://127.0.0.1:{port}", key)
        async with httpx.AsyncClient(base_url=load.url, timeout=15) as client:

            async def ready() -> bool:
                return (await client.get("/readyz")).status_code == 200

            await wait_until(ready, seconds=30, what="ingest is ready")
        calls = [asyncio.create_task(load.run(keep_alive=number % 2 == 0)) for number in range(LOADS)]
        await supervisor.scale_by_name("ingest", 3)

        async def all_serve() -> bool:
            return serving(own_home, port) == 3

        await wait_until(all_serve, seconds=40, what="all three have connections")
        await supervisor.scale_by_name("ingest", 1)
        assert len(running(own_home)) == 1
        before = len(load.accepted)

        async def goes_on() -> bool:
            return len(load.accepted) > before + 50

        await wait_until(goes_on, seconds=20, what="the one that is left serves all")
        load.stopping = True
        await asyncio.gather(*calls)
    assert load.failures == []
    stage = Stage("ingest", own_home, {})
    published = {record.event_id for _, _, record in await Ingest(stage, "", key, kafka, events_topic).records()}
    assert load.accepted <= published
