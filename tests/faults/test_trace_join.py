"""A worker that is killed joins every trace as if it had lived, and counts nothing twice.

Method: spans of many traces, built as OpenTelemetry builds them, go through a real topic in a random order, some
twice. The worker is killed with SIGKILL in the middle and started again. What it stored is compared with a look at the
whole traces in the log (tests/trace_oracle.py), roll-ups with a recomputation, and one session with the read API.
"""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from infra.projects import SettingsBook, change_settings, create_key, ensure_project
from infra.topics import Topic
from ingest.decode.otlp import encode_span_record, span_event_id
from ingest.event import EPOCH, Record, trace_key
from processors.batch import Place, Received, Slice
from processors.spans import SpanReader
from processors.traces import USAGE_COUNTED_BY
from tests.factories import now_us
from tests.integration.query_service import query_client
from tests.recomputation import assert_rollups_exact
from tests.services import wait_until
from tests.span_logs import SPANS_MAX, Shape, random_shape
from tests.topic_worker import end_offsets, publish, worker
from tests.trace_oracle import Outcome, Trace
from tests.unit.ingest.otlp.spans import record_of, span_of

TRACES = 1_500
SEED = 20_261_124
KINDS: dict[str | None, dict[str, Any]] = {
    "llm": {"gen_ai.operation.name": "chat"},
    "tool": {"gen_ai.operation.name": "execute_tool"},
    "span": {"openinference.span.kind": "CHAIN"},
    None: {"http.request.method": "GET"},
}


def span_record(trace: int, number: int, shape: Shape, *, at_us: int, settings_version: int = 1) -> Record:
    """The record that the door makes of a span."""
    trace_id, span_id = trace.to_bytes(16), (number + 1).to_bytes(8)
    attributes = {
        **KINDS[shape.kind],
        "session.id": shape.session,
        "user.id": shape.user,
        "Helicone-Session-Name": shape.name,
        "Helicone-Session-Path": shape.path,
        "gen_ai.usage.input_tokens": 10 + number if shape.has_usage else None,
        "gen_ai.usage.output_tokens": 2 if shape.has_usage else None,
    }
    start_ns = (at_us + number * 1000) * 1000
    span = span_of(
        {name: value for name, value in attributes.items() if value is not None},
        trace_id=trace_id,
        span_id=span_id,
        parent_span_id=b"" if shape.parent is None else (shape.parent + 1).to_bytes(8),
        name=f"s{number}",
        start_time_unix_nano=start_ns,
        end_time_unix_nano=start_ns + 5_000_000,
    )
    made = record_of(span)
    return Record(
        schema_version=made.schema_version,
        source=made.source,
        project_id=1,
        settings_version=settings_version,
        event_id=span_event_id(trace_id, span_id),
        received_at_us=at_us,
        content=made.content,
    )


def keyed_span(record: Record, trace: int) -> tuple[bytes, bytes]:
    return trace_key(1, f"{trace:032x}"), encode_span_record(record)


async def read_log(kafka: str, topic: Topic, reader: SpanReader) -> list[list[Received]]:
    """Everything on the topic as the worker reads it, partition by partition."""
    ends = await end_offsets(kafka, topic)
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka)
    await consumer.start()
    logs = []
    try:
        for partition, end in ends.items():
            tp = TopicPartition(topic.name, partition)
            part = Slice(topic.name, partition, 0, 1, 0, end, EPOCH)
            consumer.assign([tp])
            await consumer.seek_to_beginning(tp)
            while part.next_offset < end:
                records = (await consumer.getmany(tp, timeout_ms=1_000)).get(tp, [])
                await reader.prepare(record.value for record in records)
                for record in records:
                    place = Place(topic.name, partition, record.offset)
                    reader.take(part, place, record.key, record.value, record.timestamp)
            assert not part.dead_letters
            logs.append(part.spans)
    finally:
        await consumer.stop()
    return logs


def expected(logs: list[list[Received]]) -> dict[tuple[str | None, str], Outcome]:
    traces: dict[str, list[Received]] = {}
    for log in logs:
        for one in log:
            traces.setdefault(one.span.trace_id, []).append(one)
    return {
        (trace_id, span_id): outcome
        for trace_id, part in traces.items()
        for span_id, outcome in Trace(part).outcomes().items()
    }


@asynccontextmanager
async def project(database: str, **settings: Any) -> AsyncIterator[tuple[asyncpg.Pool, int, str]]:
    """Project 1 with these settings: a pool, the version of its settings, and a key that reads."""
    connection = await asyncpg.connect(database)
    project_id = await ensure_project(connection, "default")
    version = await change_settings(connection, project_id, settings) if settings else 1
    key = await create_key(connection, project_id, "test", can_read=True)
    await connection.close()
    assert project_id == 1
    async with asyncpg.create_pool(database, min_size=1, max_size=3) as pool:
        yield pool, version, key


async def await_folded(pool: asyncpg.Pool, kafka: str, topic: Topic) -> None:
    ends = await end_offsets(kafka, topic)

    async def at_the_end() -> bool:
        rows = await pool.fetch("SELECT partition, next_offset FROM offsets WHERE topic = $1", topic.name)
        return {row["partition"]: row["next_offset"] for row in rows} == ends

    await wait_until(at_the_end, seconds=60, what="offsets at the end of the topic")


@pytest.mark.timeout(240)
async def test_a_killed_worker_joins_every_trace_once(
    kafka: str, database: str, events_topic: Topic, spans_topic: Topic, tmp_path: Path
) -> None:
    rng = random.Random(SEED)
    at_us, sent = now_us(), []
    for trace in range(1, TRACES + 1):
        count = rng.randrange(1, SPANS_MAX + 1)
        for number in range(count):
            record = span_record(trace, number, random_shape(rng, number, count), at_us=at_us)
            sent += [keyed_span(record, trace)] * rng.choice([1, 1, 1, 1, 2])
    rng.shuffle(sent)
    await publish(kafka, spans_topic, sent)

    async with project(database) as (pool, _, key):
        logs = await read_log(kafka, spans_topic, SpanReader(SettingsBook(pool)))
        wanted = expected(logs)

        async def stored() -> int:
            return int(await pool.fetchval("SELECT count(*) FROM requests"))

        with worker(kafka, database, events_topic, spans_topic, tmp_path) as stage:

            async def under_way() -> bool:
                return await stored() >= len(wanted) // 4

            await wait_until(under_way, seconds=60, what="a quarter is stored")
            stage.kill()
            assert await stored() < len(wanted), "the worker was done before it could be killed"
            stage.start()
            await await_folded(pool, kafka, spans_topic)
            assert stage.terminate(within_seconds=10) == 0

        rows = await pool.fetch(
            "SELECT trace_id, span_id, session_id, session_name, user_id, session_path, properties ->> $1"
            " FROM requests",
            USAGE_COUNTED_BY,
        )
        assert {(row[0], row[1]): Outcome(*row[2:]) for row in rows} == wanted
        assert len(rows) == len(wanted)
        assert await pool.fetchval("SELECT count(*) FROM dead_letters") == 0
        await assert_rollups_exact(database)
        await assert_read_api_agrees(pool, database, key)


async def assert_read_api_agrees(pool: asyncpg.Pool, database: str, key: str) -> None:
    """One session: its figures, and its tree, whose nodes hold every event with a decided path once."""
    rows = await pool.fetch("SELECT kind, path_key FROM requests WHERE session_id = 's-1'")
    requests = [row for row in rows if row["kind"] != "span"]
    async with query_client(database, key) as client:
        session = (await client.get("/v1/sessions/s-1")).json()["data"]
    assert (session["event_count"], session["request_count"]) == (len(rows), len(requests))
    own = [node["own"]["count"] for node in session["paths"]]
    assert sum(own) == sum(row["path_key"] is not None for row in requests) > 0
    assert session["paths"][0]["subtree"]["count"] == sum(own)


@pytest.mark.timeout(120)
async def test_a_window_closes_though_nothing_more_comes(
    kafka: str, database: str, events_topic: Topic, spans_topic: Topic, tmp_path: Path
) -> None:
    """An orphan of a session is in no path until its window of a second has passed at the end of the log."""
    async with project(database, join_window_seconds=1) as (pool, version, _):
        with worker(kafka, database, events_topic, spans_topic, tmp_path):
            orphan = Shape(7, "llm", session="s-1")
            record = span_record(1, 0, orphan, at_us=now_us(), settings_version=version)
            await publish(kafka, spans_topic, [keyed_span(record, 1)])

            async def counted() -> bool:
                return bool(await pool.fetchval("SELECT count(*) = 1 FROM session_paths WHERE path = '/s0'"))

            await wait_until(counted, seconds=30, what="the provisional path is counted")
        assert await pool.fetchval("SELECT count(*) FROM trace_spans WHERE is_open") == 0
        await assert_rollups_exact(database)


@pytest.mark.timeout(120)
async def test_a_span_under_unknown_settings_is_a_dead_letter(
    kafka: str, database: str, events_topic: Topic, spans_topic: Topic, tmp_path: Path
) -> None:
    async with project(database) as (pool, version, _):
        records = [
            keyed_span(span_record(1, number, Shape(None, "llm"), at_us=now_us(), settings_version=wanted), 1)
            for number, wanted in enumerate((version, version + 1, version))
        ]
        await publish(kafka, spans_topic, records)
        with worker(kafka, database, events_topic, spans_topic, tmp_path):
            await await_folded(pool, kafka, spans_topic)
        rows = await pool.fetch("SELECT topic, step, reason FROM dead_letters")
        assert [tuple(row) for row in rows] == [(spans_topic.name, "decode", "unknown_settings")]
        assert await pool.fetchval("SELECT count(*) FROM requests") == 2
