"""A project is told of its sessions: what is logged over HTTP breaks rules, and the worker posts to the webhook."""

import json
from collections import Counter
from typing import Any

import asyncpg

from infra.projects import change_settings
from tests.factories import now_us
from tests.pipeline import Pipeline
from tests.services import wait_until
from tests.webhooks import Receiver, listening


async def test_a_costly_session_and_one_that_goes_idle_after_an_error_are_told_once(pipeline: Pipeline) -> None:
    async with listening(Receiver()) as receiver, pipeline.clients() as (ingest, _):
        await decide(
            pipeline,
            idle_limit_seconds=1,
            alerts=[{"name": "costly", "kind": "cost_above", "usd": 1}, {"name": "failed", "kind": "session_failed"}],
            webhook={"url": f"http://127.0.0.1:{receiver.port}/?token=t0ken", "secret": "0123456789abcdef"},
        )

        async def send(session_id: str, **fields: Any) -> None:
            at = now_us() / 1e6
            event = {"session_id": session_id, "path": "/a", "started_at": at - 1, "ended_at": at, **fields}
            assert (await ingest.post("/v1/events", json=[event, event])).status_code == 200

        async def heard() -> bool:
            """Workers know a new rule within seconds; until then nothing fires."""
            await send("costly", cost_nanousd=2 * 10**9)
            return bool(receiver.posts)

        async def told() -> bool:
            return len(receiver.posts) >= 2

        await wait_until(heard, seconds=40, what="the alert of the costly session has come")
        await send("broken", status=500)
        await wait_until(told, seconds=40, what="the alert of the session that failed has come")
    posts = Counter((content["session_id"], content["rule"]) for content in map(json.loads, bodies_of(receiver)))
    assert posts == {("costly", "costly"): 1, ("broken", "failed"): 1}
    assert "alert_attempted" in pipeline.processors.output
    assert "t0ken" not in pipeline.processors.output
    assert "0123456789abcdef" not in pipeline.processors.output


def bodies_of(receiver: Receiver) -> list[bytes]:
    return [body for _, body in receiver.posts]


async def decide(pipeline: Pipeline, **changes: Any) -> None:
    """Change the settings of this test's project, which is the newest."""
    connection = await asyncpg.connect(pipeline.dsn)
    try:
        await change_settings(connection, await connection.fetchval("SELECT max(project_id) FROM projects"), changes)
    finally:
        await connection.close()
