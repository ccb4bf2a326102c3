"""A 2xx means that the event is stored in the end, whichever process dies.

Method: eight clients log single events as fast as they are answered, each id once; in the middle of it one process is
killed with SIGKILL and started again. Every event that was answered 200 must be in the store afterwards, and no id
twice. What was cut off may be there or not.
"""

import asyncio
import random

import httpx
import pytest

from infra.local.engine import Engine
from tests.factories import make_event_id, now_us
from tests.pipeline import Pipeline
from tests.recomputation import assert_rollups_exact
from tests.services import wait_until

CLIENTS = 8
BEFORE, AFTER = 400, 400
"""Accepted events to wait for before the kill, and after the restart."""


class Load:
    """Clients that log until told to stop; remembers which ids were answered 200."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._stopping = False
        self.accepted: set[str] = set()
        self.cut_off = 0

    async def run(self) -> None:
        await asyncio.gather(*(self._log(number) for number in range(CLIENTS)))

    def stop(self) -> None:
        self._stopping = True

    async def _log(self, number: int) -> None:
        rng = random.Random(number)
        while not self._stopping:
            event_id = make_event_id(rng, now_us())
            event = {"event_id": event_id, "session_id": f"s-{number}", "path": "/load", "request": {"n": number}}
            try:
                answer = await self._client.post("/v1/events", json=event)
            except httpx.TransportError:
                self.cut_off += 1
                await asyncio.sleep(0.05)
                continue
            assert answer.status_code == 200, answer.text
            self.accepted.add(event_id)

    async def await_accepted(self, more: int) -> None:
        target = len(self.accepted) + more

        async def reached() -> bool:
            return len(self.accepted) >= target

        await wait_until(reached, seconds=60, what=f"{target} events are accepted")


@pytest.mark.parametrize("victim", ["ingest", "kafka", "postgres"])
async def test_no_accepted_event_is_missing(victim: str, request: pytest.FixtureRequest, pipeline: Pipeline) -> None:
    async with pipeline.clients() as (client, _):
        load = Load(client)
        running = asyncio.create_task(load.run())
        await load.await_accepted(BEFORE)
        if victim == "ingest":
            pipeline.ingest.kill()
            pipeline.ingest.start()
        else:
            engine: Engine = request.getfixturevalue(f"local_{victim}")
            await engine.kill()
            await engine.start()
        await load.await_accepted(AFTER)
        load.stop()
        await running
    await pipeline.await_drained()
    await pipeline.await_folded()
    stored = [str(row["event_id"]) for row in await pipeline.fetch("SELECT event_id FROM requests")]
    assert len(stored) == len(set(stored))
    assert load.accepted - set(stored) == set()
    assert await pipeline.fetch("SELECT * FROM dead_letters") == []
    if victim != "ingest":
        assert load.cut_off == 0, f"no client may notice that {victim} is away"
    await assert_rollups_exact(pipeline.dsn)
