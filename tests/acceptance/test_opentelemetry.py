"""What OpenTelemetry's SDK and OpenInference's instrumentation export, unmodified, is what the read API says."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from tests.acceptance.provider import provider
from tests.acceptance.test_clients_page import example_with, own_counts
from tests.acceptance.test_readme import run
from tests.pipeline import Pipeline
from tests.services import wait_until
from tests.tidy.checkout import ROOT

FOLDER = Path(__file__).parent


async def test_a_trace_of_the_sdk_is_read_back(pipeline: Pipeline) -> None:
    await run_workflow(pipeline, "opentelemetry_workflow.py")
    paths = {"/planner/chat", "/planner/weather", "/planner/search", "/planner/book"}
    found = await requests_of(pipeline, "trip-otel", paths)

    for one in found.values():
        assert one["request_user_id"] == "alice"
        assert one["properties"]["environment"] == "prod"
        assert one["properties"]["service.name"] == "travel"
    chat, weather, search, book = (found[f"/planner/{name}"] for name in ("chat", "weather", "search", "book"))
    assert (chat["provider"], chat["model"], chat["response_status"]) == ("OPENAI", "gpt-4o-2024-08-06", 200)
    # Net of what was cached, and of what was reasoned.
    assert (chat["prompt_tokens"], chat["completion_tokens"]) == (15, 4)
    assert chat["request_body"]["messages"] == [{"role": "user", "content": "Where to?"}]
    assert chat["response_body"]["choices"][0]["message"]["content"] == "Nürnberg"
    assert (weather["model"], weather["response_status"]) == ("tool:weather", 200)
    assert weather["request_body"]["input"] == {"city": "Nürnberg"}
    assert weather["response_body"]["output"] == {"temperature": 18.5}
    assert (search["model"], search["response_status"]) == ("tool:search", -1)
    assert (book["model"], book["response_status"]) == ("tool:book", 500)

    session = await session_of(pipeline, "trip-otel")
    assert (session["name"], session["user_ids"]) == ("Trip", ["alice"])
    assert (session["request_count"], session["error_count"]) == (4, 2)
    assert (session["prompt_tokens"], session["completion_tokens"]) == (15, 4)
    assert own_counts(session) == {"/": 0, "/planner": 0, **dict.fromkeys(paths, 1)}
    rows = await pipeline.fetch(
        "SELECT error_type, error_message FROM requests "
        "WHERE session_id = 'trip-otel' AND status <> 200 ORDER BY status"
    )
    assert [row["error_type"] for row in rows] == ["TimeoutError", "ValueError"]
    assert "no answer within 30 s" in rows[0]["error_message"] and "sold out" in rows[1]["error_message"]


async def test_calls_that_openinference_instruments_are_read_back(pipeline: Pipeline) -> None:
    with provider() as base_url:
        await run_workflow(pipeline, "openinference_workflow.py", OPENAI_BASE_URL=base_url, OPENAI_API_KEY="sk-none")
    await await_requests(pipeline, "trip-oi", 2)
    found = await all_requests(pipeline, "trip-oi")

    answered, refused = sorted(found, key=lambda one: str(one["model"]))
    # The instrumentation names the model that answered, and none when nobody did.
    assert (answered["model"], refused["model"]) == ("gpt-4o-mini-2024-07-18", "unknown")
    for one in found:
        assert (one["request_user_id"], one["provider"]) == ("alice", "OPENAI")
        assert (one["properties"]["environment"], one["properties"]["tags"]) == ("production", "a,b")
        assert one["request_body"]["messages"][0]["content"] == "Where to in Nürnberg?"
        assert one["request_body"]["temperature"] == 0.5
    assert (answered["response_status"], answered["prompt_tokens"], answered["completion_tokens"]) == (200, 10, 4)
    assert answered["response_body"]["choices"][0]["message"]["content"] == "The castle."
    assert refused["response_status"] == 500
    session = await session_of(pipeline, "trip-oi")
    assert (session["user_ids"], session["request_count"], session["error_count"]) == (["alice"], 2, 1)


async def test_the_page_example_of_opentelemetry_does_what_it_says(pipeline: Pipeline, tmp_path: Path) -> None:
    await run(pipeline, tmp_path, sys.executable, example_with('"session.id": "trip-8"'))
    found = await requests_of(pipeline, "trip-8", {"/planner/weather_api"})

    assert found["/planner/weather_api"]["response_body"]["output"] == {"temperature": 18.5}


async def test_the_page_example_of_openinference_does_what_it_says(pipeline: Pipeline, tmp_path: Path) -> None:
    with provider() as base_url:
        example = example_with("OpenAIInstrumentor")
        await run(pipeline, tmp_path, sys.executable, example, OPENAI_BASE_URL=base_url, OPENAI_API_KEY="sk-none")
    await await_requests(pipeline, "trip-9", 1)
    (one,) = await all_requests(pipeline, "trip-9")

    assert (one["model"], one["request_user_id"]) == ("gpt-4o-mini-2024-07-18", "alice")
    assert one["properties"]["environment"] == "production"


async def run_workflow(pipeline: Pipeline, name: str, **extra: str) -> None:
    """Run a program of this folder whose exporter is told of the pipeline by the usual variables."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(FOLDER / name)),
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "OTEL_EXPORTER_OTLP_ENDPOINT": pipeline.ingest_url,
            "OTEL_EXPORTER_OTLP_HEADERS": f"Authorization=Bearer%20{pipeline.key}",
            **extra,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), timeout=90)
    # An exporter that is refused says so and goes on.
    assert (process.returncode, said.decode()) == (0, "")


async def all_requests(pipeline: Pipeline, session_id: str) -> list[dict[str, Any]]:
    """The session's requests so far."""
    wanted = {"properties": {"Helicone-Session-Id": {"equals": session_id}}}
    async with pipeline.clients() as (_, query):
        answer = await query.post("/v1/request/query", json={"filter": wanted, "limit": 1000})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


async def session_of(pipeline: Pipeline, session_id: str) -> dict[str, Any]:
    """The session as it is now."""
    async with pipeline.clients() as (_, query):
        answer = await query.get(f"/v1/sessions/{session_id}")
    data: dict[str, Any] = answer.json()["data"] if answer.status_code == 200 else {}
    return data


async def await_requests(pipeline: Pipeline, session_id: str, count: int) -> None:
    """Return once the session has so many requests: its traces are joined."""

    async def joined() -> bool:
        return (await session_of(pipeline, session_id)).get("request_count") == count

    await wait_until(joined, seconds=30, what=f"{count} requests in {session_id}")


async def requests_of(pipeline: Pipeline, session_id: str, paths: set[str]) -> dict[str, dict[str, Any]]:
    """The session's requests by path, once each of these paths has its one."""

    async def resolved() -> bool:
        nodes = own_counts((await session_of(pipeline, session_id)) or {"paths": []})
        return {path for path, count in nodes.items() if count == 1} == paths

    await wait_until(resolved, seconds=30, what=f"the paths {sorted(paths)} in {session_id}")
    by_path = {one["properties"].get("Helicone-Session-Path"): one for one in await all_requests(pipeline, session_id)}
    return {path: by_path[path] for path in paths}
