"""What LiteLLM's `helicone` callback logs, unmodified but for its address, is what the read API says."""

import asyncio
import os
import sys
from pathlib import Path

from tests.acceptance.reading import requests_by_path, session_of
from tests.pipeline import Pipeline

WORKFLOW = Path(__file__).with_name("litellm_workflow.py")
TOKENS_OF_A_MOCK = (10, 20)


async def test_calls_of_three_providers_and_a_proxys_headers_are_read_back(pipeline: Pipeline) -> None:
    environment = {**os.environ, "HELICONE_API_BASE": pipeline.ingest_url, "HELICONE_API_KEY": pipeline.key}
    environment["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(WORKFLOW)),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), timeout=90)
    assert process.returncode == 0, said.decode()

    found = await requests_by_path(pipeline, "trip-litellm")
    assert {path: (one["provider"], one["model"]) for path, one in found.items()} == {
        "/plan/sights": ("OPENAI", "gpt-4o-mini"),
        "/plan/route": ("ANTHROPIC", "claude-sonnet-4-5"),
        "/plan/hotel": ("CUSTOM", "gemini-2.5-flash"),
        "/home": ("OPENAI", "gpt-4o-mini"),
    }
    for path, one in found.items():
        assert one["response_status"] == 200
        assert (one["prompt_tokens"], one["completion_tokens"]) == TOKENS_OF_A_MOCK
        assert one["request_user_id"] == ("bob" if path == "/home" else "alice@example.com")
        assert one["properties"]["Helicone-Session-Name"] == "Trip"
        own = {"team": "travel"} if path == "/home" else {"environment": "production"}
        assert {name: text for name, text in one["properties"].items() if not name.startswith("Helicone-")} == own
        assert pipeline.key not in str(one) and "not to be stored" not in str(one)
    assert found["/plan/sights"]["request_body"]["messages"][0]["content"] == "Where to in Nürnberg?"
    answer = found["/plan/sights"]["response_body"]["choices"][0]["message"]["content"]
    assert answer == "The castle, says openai/gpt-4o-mini."
    claude = found["/plan/route"]["response_body"]["content"][0]["text"]
    assert claude == "The castle, says anthropic/claude-sonnet-4-5."

    session = await session_of(pipeline, "trip-litellm")
    assert (session["name"], session["user_ids"]) == ("Trip", ["alice@example.com", "bob"])
    assert (session["request_count"], session["error_count"]) == (4, 0)
    assert (session["prompt_tokens"], session["completion_tokens"]) == (40, 80)
    paths = {node["path"]: node["own"]["count"] for node in session["paths"]}
    assert paths == {"/": 0, "/plan": 0, **dict.fromkeys(found, 1)}
