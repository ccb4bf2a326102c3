"""What `@helicone/helpers` logs, unmodified but for its address, is what the read API says, field by field."""

import asyncio
from typing import Any

from tests.acceptance.node import PACKAGES, install, run_script
from tests.acceptance.reading import requests_by_path, session_of
from tests.pipeline import Pipeline

EXPECTED: dict[str, tuple[str, str, int, int, int]] = {
    # path: provider, model, status, prompt tokens, completion tokens
    "/plan/weather": ("CUSTOM", "tool:weather_api", 200, 0, 0),
    "/plan/archive": ("CUSTOM", "data:castles", 200, 0, 0),
    "/plan/sights": ("ANTHROPIC", "claude-sonnet-4", 200, 7, 3),
    "/stream/operation": ("CUSTOM", "gpt-4o-mini", 200, 9, 2),
    "/stream/single": ("CUSTOM", "gpt-4o-mini", 200, 9, 2),
    "/single": ("CUSTOM", "gpt-4o-mini-2024", 200, 9, 2),
    "/builder/whole": ("CUSTOM", "gpt-4o-mini", 200, 9, 2),
    "/builder/failed": ("CUSTOM", "gpt-4o-mini", 500, 0, 0),
    "/builder/cancelled": ("CUSTOM", "gpt-4o-mini", -3, 0, 0),
}


async def test_every_way_of_logging_is_read_back(pipeline: Pipeline) -> None:
    await asyncio.to_thread(install)
    said = await run_script(PACKAGES / "workflow.mjs", pipeline.key, pipeline.ingest_url)
    assert said == ""

    found = await requests_by_path(pipeline, "trip-ts")
    assert {path: summary(one) for path, one in found.items()} == EXPECTED
    for one in found.values():
        assert one["request_user_id"] == "alice@example.com"
        assert one["properties"]["environment"] == "production"
        assert one["properties"]["Helicone-Session-Name"] == "Trip"
    weather, archive = found["/plan/weather"], found["/plan/archive"]
    assert weather["request_body"]["input"] == {"location": "Nürnberg"}
    assert weather["response_body"]["temperature"] == 18.5
    assert archive["response_body"]["message"] == "no archive"
    assert found["/plan/sights"]["request_body"]["messages"][0]["content"] == "Wohin in Nürnberg?"
    for path in ("/stream/operation", "/stream/single", "/builder/whole"):
        assert found[path]["response_body"]["choices"][0]["message"]["content"] == "Hello"
        assert found[path]["time_to_first_token"] is not None
    assert found["/single"]["delay_ms"] == 1_250
    assert "connection lost" in found["/builder/failed"]["response_body"]

    session = await session_of(pipeline, "trip-ts")
    assert (session["name"], session["user_ids"]) == ("Trip", ["alice@example.com"])
    assert (session["request_count"], session["error_count"]) == (9, 3)
    assert (session["prompt_tokens"], session["completion_tokens"]) == (43, 11)
    paths = {node["path"]: (node["own"]["count"], node["own"]["error_count"]) for node in session["paths"]}
    assert paths == {
        **dict.fromkeys(("/", "/plan", "/stream", "/builder"), (0, 0)),
        **{path: (1, int(path in ("/plan/archive", "/builder/failed", "/builder/cancelled"))) for path in EXPECTED},
    }


def summary(one: dict[str, Any]) -> tuple[str, str, int, int, int]:
    """The fields that `EXPECTED` has."""
    tokens = one["prompt_tokens"] or 0, one["completion_tokens"] or 0
    return (one["provider"], one["model"], one["response_status"], *tokens)
