"""The README's examples do what the README says. Method: each is cut out and run as a program of its own against a
pipeline of real processes; only the two addresses are replaced. A server on this machine plays the provider.
"""

import asyncio
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.provider import provider
from tests.docs.fences import Example, examples
from tests.pipeline import Pipeline
from tests.tidy.checkout import ROOT

README = ROOT / "README.md"
INGEST, QUERY = "http://127.0.0.1:8100", "http://127.0.0.1:8200"


def test_the_readme_has_these_examples() -> None:
    assert [example.language for example in examples(README)] == ["sh", "", "bash", "", "python", "python"]


def test_the_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    commands = [line.split("#")[0].split() for line in example("sh").text.splitlines()]

    assert [command for command in commands if command[0] != "make" or f"\n{command[1]}:" not in makefile] == []


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed on this machine")
async def test_an_event_is_logged_and_read_with_curl(pipeline: Pipeline, tmp_path: Path) -> None:
    log, ask = "curl http://127.0.0.1:8100", "curl http://127.0.0.1:8200"
    shell = example("bash").text
    assert (shell.count(log), shell.count(ask)) == (1, 1)
    before, _, after = shell.partition(ask)

    said = await run(pipeline, tmp_path, "sh", before)
    assert '"accepted":1,"rejected":0' in said
    await pipeline.await_folded()
    said = await run(pipeline, tmp_path, "sh", before.splitlines()[0] + "\n" + ask + after)

    assert '"name":"Trip"' in said
    assert '"duration_ms":1250' in said


async def test_helicones_helper_logs_tool_calls_answers_and_failures(pipeline: Pipeline, tmp_path: Path) -> None:
    helper, gateway = example("python", 0).text, example("python", 1).text
    refusal = "Rate limit reached for gpt-4o-mini"
    await run(pipeline, tmp_path, sys.executable, helper)
    with provider() as base_url:
        await run(*(pipeline, tmp_path, sys.executable, gateway), OPENAI_BASE_URL=base_url, OPENAI_API_KEY="sk-none")
    with provider("gpt-4o-mini", 429, refusal) as base_url:
        said = await run(
            *(pipeline, tmp_path, sys.executable, gateway),
            exit_code=1,
            OPENAI_BASE_URL=base_url,
            OPENAI_API_KEY="sk-none",
        )
    assert refusal in said

    tool, chat = await session_of(pipeline, "trip-2"), await session_of(pipeline, "trip-3")
    (path,) = [node for node in tool["paths"] if node["path"] == "/plan/weather"]
    assert (tool["name"], tool["user_ids"], tool["request_count"], tool["error_count"]) == ("Trip", ["alice"], 1, 0)
    assert path["own"]["count"] == 1
    assert (chat["name"], chat["user_ids"], chat["request_count"], chat["error_count"]) == ("Trip", ["alice"], 2, 1)
    assert (chat["prompt_tokens"], chat["completion_tokens"]) == (10, 4)

    rows = await pipeline.fetch(
        "SELECT status, model, session_path, properties ->> 'environment' AS place, error_message FROM requests "
        "WHERE session_id = 'trip-3' ORDER BY status"
    )
    assert refusal in rows[1]["error_message"]
    assert [tuple(row)[:4] for row in rows] == [
        (200, "gpt-4o-mini-2024-07-18", "/plan/sights", "production"),
        (429, "gpt-4o-mini", "/plan/sights", "production"),
    ]


def example(language: str, place: int = 0) -> Example:
    """One example of the README, counted among those of its language."""
    return [found for found in examples(README) if found.language == language][place]


async def run(pipeline: Pipeline, folder: Path, program: str, text: str, *, exit_code: int = 0, **extra: str) -> str:
    """Run an example in a folder that looks like the checkout beside `make run`, and give what it printed."""
    (folder / ".pathline").mkdir(exist_ok=True)
    (folder / ".pathline" / "api-key").write_text(f"{pipeline.key}\n")
    script = folder / "example"
    script.write_text(text.replace(INGEST, pipeline.ingest_url).replace(QUERY, pipeline.query_url), encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        program,
        str(script),
        cwd=folder,
        env={**os.environ, **extra},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), timeout=90)
    assert process.returncode == exit_code, said.decode()
    return said.decode()


async def session_of(pipeline: Pipeline, session_id: str) -> dict[str, Any]:
    """The session as a reader sees it once everything logged is folded."""
    await pipeline.await_folded()
    async with pipeline.clients() as (_, query):
        answer = await query.get(f"/v1/sessions/{session_id}")
    assert answer.status_code == 200, answer.text
    data: dict[str, Any] = answer.json()["data"]
    return data
