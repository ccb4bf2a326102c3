"""The whole pipeline as processes of its own: ingest, one worker and query, over a test's topic and database."""

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from infra.projects import create_key, ensure_project
from infra.topics import Topic
from tests.processes import Stage
from tests.services import free_ports, wait_until
from tests.topic_worker import await_joined, end_offsets, worker

READY_SECONDS = 30


@dataclass(frozen=True)
class Pipeline:
    """Three running stages and what a client needs to use them."""

    kafka: str
    dsn: str
    topic: Topic
    spans_topic: Topic
    key: str
    ingest: Stage
    processors: Stage
    query: Stage
    ingest_url: str
    query_url: str

    @asynccontextmanager
    async def clients(self) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
        """A client of ingest and one of query, both with the key."""
        headers = {"Authorization": f"Bearer {self.key}"}
        async with (
            httpx.AsyncClient(base_url=self.ingest_url, headers=headers, timeout=30) as ingest,
            httpx.AsyncClient(base_url=self.query_url, headers=headers, timeout=30) as query,
        ):
            yield ingest, query

    async def await_ready(self, url: str) -> None:
        """Return once a service says that it is ready."""

        async def ready() -> bool:
            async with httpx.AsyncClient(base_url=url, timeout=2) as client:
                try:
                    return (await client.get("/readyz")).status_code == 200
                except httpx.TransportError:
                    return False

        await wait_until(ready, seconds=READY_SECONDS, what=f"{url} is ready")

    async def await_drained(self, *, seconds: float = 30) -> None:
        """Return once ingest says that the broker is there and nothing is left in the spool."""

        async def drained() -> bool:
            async with httpx.AsyncClient(base_url=self.ingest_url, timeout=5) as client:
                return bool((await client.get("/readyz")).json()["checks"]["kafka"] == "ok")

        await wait_until(drained, seconds=seconds, what="the spool is drained")

    async def await_folded(self, *, seconds: float = 60) -> None:
        """Return once everything on both topics is folded."""
        ends = {
            (topic.name, partition): end
            for topic in (self.topic, self.spans_topic)
            for partition, end in (await end_offsets(self.kafka, topic)).items()
        }

        async def folded() -> bool:
            rows = await self.fetch("SELECT topic, partition, next_offset FROM offsets")
            return {(row["topic"], row["partition"]): row["next_offset"] for row in rows} == ends

        await wait_until(folded, seconds=seconds, what="the topics are folded to their ends")

    async def fetch(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        """Ask the store directly, over a connection of its own."""
        connection = await asyncpg.connect(self.dsn, timeout=5)
        try:
            return await connection.fetch(statement, *arguments)
        finally:
            await connection.close()


async def make_key(dsn: str, project: str = "default") -> str:
    """A key that may read and write, of a project that is made if there is none of that name."""
    connection = await asyncpg.connect(dsn)
    try:
        project_id = await ensure_project(connection, project)
        return await create_key(connection, project_id, "test", can_read=True)
    finally:
        await connection.close()


@asynccontextmanager
async def running(kafka: str, dsn: str, topic: Topic, spans_topic: Topic, folder: Path) -> AsyncIterator[Pipeline]:
    """A pipeline that is ready; what of it still runs is killed afterwards."""
    ingest_port, query_port = free_ports(2)
    environment = {
        "PATHLINE_KAFKA": kafka,
        "PATHLINE_POSTGRES": dsn,
        "PATHLINE_EVENTS_TOPIC": topic.name,
        "PATHLINE_SPANS_TOPIC": spans_topic.name,
        "INGEST_PORT": str(ingest_port),
        "QUERY_PORT": str(query_port),
    }
    with ExitStack() as stack:
        pipeline = Pipeline(
            kafka=kafka,
            dsn=dsn,
            topic=topic,
            spans_topic=spans_topic,
            ingest=stack.enter_context(Stage("ingest", folder, environment)),
            query=stack.enter_context(Stage("query", folder, environment)),
            processors=stack.enter_context(worker(kafka, dsn, topic, spans_topic, folder)),
            key=await make_key(dsn),
            ingest_url=f"http://127.0.0.1:{ingest_port}",
            query_url=f"http://127.0.0.1:{query_port}",
        )
        await pipeline.await_ready(pipeline.ingest_url)
        await pipeline.await_ready(pipeline.query_url)
        await await_joined(kafka, topic, seconds=READY_SECONDS)
        yield pipeline


@pytest.fixture
async def pipeline(
    kafka: str, database: str, events_topic: Topic, spans_topic: Topic, tmp_path: Path
) -> AsyncIterator[Pipeline]:
    """A pipeline of this test alone."""
    async with running(kafka, database, events_topic, spans_topic, tmp_path) as made:
        yield made
