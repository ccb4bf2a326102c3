"""Each example of the clients' page does what the page says. Method: it runs as a program of its own against a pipeline
of real processes; only the address is replaced. OpenTelemetry's are in `test_opentelemetry`.
"""

import asyncio
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.node import PACKAGES, install, run_script
from tests.acceptance.reading import session_of
from tests.acceptance.test_readme import INGEST, run
from tests.docs.fences import examples
from tests.pipeline import Pipeline
from tests.tidy.checkout import ROOT

PAGE = ROOT / "docs" / "clients.md"


def test_the_page_has_an_example_for_each_client() -> None:
    languages = [example.language for example in examples(PAGE)]

    assert languages == ["python", "python", "js", "python", "python", "python", "bash"]


async def test_pathline_logs_a_trip(pipeline: Pipeline, tmp_path: Path) -> None:
    said = await run(
        *(pipeline, tmp_path, sys.executable, example_with("from pathline import")),
        PYTHONPATH=str(ROOT / "ingest/client"),
        PYTHONWARNINGS="error",
    )

    assert "sent=5, " in said
    trip = await session_of(pipeline, "trip-4")
    assert (trip["name"], trip["status"]) == ("Trip", "completed")
    assert own_counts(trip) == {"/": 0, "/plan": 1, "/plan/weather": 1, "/plan/sights": 1}


async def test_helicones_helper_logs_a_tool_call(pipeline: Pipeline, tmp_path: Path) -> None:
    await run(pipeline, tmp_path, sys.executable, example_with("from helicone_helpers import"))

    trip = await session_of(pipeline, "trip-5")
    assert (trip["name"], own_counts(trip)) == ("Trip", {"/": 0, "/plan": 0, "/plan/weather": 1})


async def test_helicones_typescript_helper_logs_a_tool_call(pipeline: Pipeline, tmp_path: Path) -> None:
    await asyncio.to_thread(install)
    (tmp_path / ".pathline").mkdir()
    (tmp_path / ".pathline" / "api-key").write_text(f"{pipeline.key}\n")
    (tmp_path / "node_modules").symlink_to(PACKAGES / "node_modules")
    script = tmp_path / "example.mjs"
    script.write_text(example_with("@helicone/helpers").replace(INGEST, pipeline.ingest_url), encoding="utf-8")
    await run_script(script, cwd=tmp_path)

    trip = await session_of(pipeline, "trip-6")
    assert (trip["name"], own_counts(trip)) == ("Trip", {"/": 0, "/plan": 0, "/plan/weather": 1})


async def test_litellm_logs_a_completion(pipeline: Pipeline, tmp_path: Path) -> None:
    await run(
        *(pipeline, tmp_path, sys.executable, example_with("import litellm")), LITELLM_LOCAL_MODEL_COST_MAP="True"
    )

    trip = await session_of(pipeline, "trip-7")
    assert (trip["name"], own_counts(trip)) == ("Trip", {"/": 0, "/plan": 0, "/plan/sights": 1})
    assert (trip["prompt_tokens"], trip["completion_tokens"]) == (10, 20)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed on this machine")
async def test_curl_logs_a_batch_and_ends_the_session(pipeline: Pipeline, tmp_path: Path) -> None:
    said = await run(pipeline, tmp_path, "sh", example_with("curl"))

    assert '"accepted":2,"rejected":0' in said
    trip = await session_of(pipeline, "trip-10")
    assert trip["status"] == "completed"
    assert own_counts(trip) == {"/": 0, "/plan": 0, "/plan/weather": 1, "/plan/sights": 1}
    assert (trip["prompt_tokens"], trip["completion_tokens"]) == (13, 4)


def example_with(words: str) -> str:
    """The one example that holds these words."""
    (text,) = [example.text for example in examples(PAGE) if words in example.text]
    return text


def own_counts(session: dict[str, Any]) -> dict[str, int]:
    """Requests of each path itself."""
    return {node["path"]: node["own"]["count"] for node in session["paths"]}
