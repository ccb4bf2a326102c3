"""What the Python client logs is what the read API says. Method: it logs to a pipeline of real processes."""

import asyncio
from typing import Any

import pytest

from pathline import Client
from tests.pipeline import Pipeline


async def test_sessions_steps_and_errors_are_read_back(pipeline: Pipeline) -> None:
    client = Client(pipeline.ingest_url, pipeline.key)
    async with client.session(name="Trip", id="trip/1", user_id="alice", properties={"tier": "pro"}) as session:
        async with session.step("/plan"):
            async with session.step("weather", kind="tool", name="weather_api") as step:
                step.request, step.response = {"city": "Nürnberg"}, {"temperature": 18.5}
            with pytest.raises(TimeoutError):
                async with session.step("answer", model="gpt-4o", provider="openai") as step:
                    step.usage = {"prompt_tokens": 9, "completion_tokens": 4}
                    raise TimeoutError("no answer within 30 s")
        session.end("failed", "gave up")
    for number in range(1_000):
        client.log(session_id="many", path="/load", name=f"n-{number}")
    client.log(session_id="many", **misspelt())
    assert await asyncio.to_thread(client.close, 30)

    stats = client.stats()
    assert (stats.sent, stats.dropped, stats.rejections) == (1_004, {"rejected": 1}, {"unknown_field": 1})
    await pipeline.await_folded()
    async with pipeline.clients() as (_, query):
        trip = (await query.get("/v1/sessions/trip%2F1")).json()["data"]
        assert (trip["name"], trip["status"]) == ("Trip", "failed")
        own = {node["path"]: (node["own"]["count"], node["own"]["error_count"]) for node in trip["paths"]}
        assert own == {"/": (0, 0), "/plan": (1, 0), "/plan/weather": (1, 0), "/plan/answer": (1, 1)}
        many = (await query.get("/v1/sessions/many")).json()["data"]
        assert {node["path"]: node["own"]["count"] for node in many["paths"]} == {"/": 0, "/load": 1_000}
        wanted = {"filter": {"properties": {"Helicone-Session-Id": {"equals": "trip/1"}}}}
        found = (await query.post("/v1/request/query", json=wanted)).json()["data"]
        events = {one["properties"]["Helicone-Session-Path"]: one for one in found}
        weather, answer = events["/plan/weather"], events["/plan/answer"]
        assert (weather["model"], weather["request_body"]["city"]) == ("tool:weather_api", "Nürnberg")
        assert (weather["request_user_id"], weather["properties"]["tier"]) == ("alice", "pro")
        assert weather["response_body"]["temperature"] == 18.5
        assert (answer["response_status"], answer["model"], answer["prompt_tokens"]) == (500, "gpt-4o", 9)


def misspelt() -> Any:
    """A field that no event has."""
    return {"sesion_name": "Trip"}
