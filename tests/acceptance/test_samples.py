"""Goal: the samples go all the way. Method: the command of `make run`, against a pipeline of real processes."""

import asyncio
import sys

from infra.projects import hash_key
from ingest.samples.sessions import make_sessions
from tests.pipeline import Pipeline
from tests.recomputation import assert_rollups_exact
from tests.unit.ingest.samples.test_sessions import NOW


async def log_samples(pipeline: Pipeline, key: str) -> tuple[int, str, str]:
    """Exit code, output and errors of the command."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ingest.samples", "--key", key),
        *("--ingest", pipeline.ingest_url, "--query", pipeline.query_url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await asyncio.wait_for(process.communicate(), timeout=60)
    return process.returncode or 0, said.decode(), complained.decode()


async def test_the_samples_are_logged_and_shown(pipeline: Pipeline) -> None:
    planned = make_sessions(NOW)
    code, said, complained = await log_samples(pipeline, pipeline.key)

    assert (code, complained) == (0, "")
    for session in planned:
        assert session.name in said
        assert session.user_id in said
    assert said.count("completed") == sum(session.outcome == "completed" for session in planned)
    assert said.count("failed") == sum(session.outcome == "failed" for session in planned)

    rows = await pipeline.fetch(
        "SELECT session_name, count(*) FROM requests JOIN api_keys USING (project_id) "
        "WHERE kind <> 'session_end' AND key_hash = $1 GROUP BY 1",
        hash_key(pipeline.key),
    )
    counted = {row["session_name"]: row["count"] for row in rows}
    assert counted == {
        name: sum(len(session.calls) for session in planned if session.name == name)
        for name in {session.name for session in planned}
    }
    await assert_rollups_exact(pipeline.dsn)
