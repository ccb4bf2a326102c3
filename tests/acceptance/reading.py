"""What was logged, as the read API says it."""

from typing import Any

from tests.pipeline import Pipeline


async def session_of(pipeline: Pipeline, session_id: str) -> dict[str, Any]:
    """The session, once everything logged is folded."""
    await pipeline.await_folded()
    async with pipeline.clients() as (_, query):
        answer = await query.get(f"/v1/sessions/{session_id}")
    assert answer.status_code == 200, answer.text
    data: dict[str, Any] = answer.json()["data"]
    return data


async def requests_by_path(pipeline: Pipeline, session_id: str) -> dict[str, dict[str, Any]]:
    """The session's requests by path, once everything logged is folded; each path has one."""
    await pipeline.await_folded()
    wanted = {"properties": {"Helicone-Session-Id": {"equals": session_id}}}
    async with pipeline.clients() as (_, query):
        answer = await query.post("/v1/request/query", json={"filter": wanted, "limit": 1000})
    assert answer.status_code == 200, answer.text
    found = answer.json()["data"]
    by_path = {one["properties"]["Helicone-Session-Path"]: one for one in found}
    assert len(by_path) == len(found)
    return by_path
