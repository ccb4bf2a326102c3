"""Goal: OpenTelemetry's own exporter needs nothing but an endpoint and a header.

Method: the unmodified SDK and its OTLP/HTTP exporter against `python -m ingest`; the spans are read back from Kafka.
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Tracer

from infra.topics import Topic
from ingest.decode.otlp import decode_span_record
from ingest.event import partition_of, trace_key
from tests.integration.ingest_service import Ingest
from tests.unit.ingest.otlp_exports import JSON, make_export, make_span, message_of

SPANS_SENT = 40


@contextmanager
def tracer_to(running: Ingest, compression: Compression) -> Iterator[Tracer]:
    """A tracer whose spans are sent when the block ends, set up by the environment alone."""
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": running.url,
        "OTEL_EXPORTER_OTLP_HEADERS": f"Authorization=Bearer%20{running.key},Helicone-User-Id=alice",
        "OTEL_EXPORTER_OTLP_COMPRESSION": compression.value,
    }
    with patch.dict(os.environ, environment):
        exporter = OTLPSpanExporter()
    provider = TracerProvider(resource=Resource({"service.name": "travel"}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    try:
        yield provider.get_tracer("demo", "1")
        assert provider.force_flush()
    finally:
        provider.shutdown()


def record_a_session(running: Ingest, compression: Compression) -> None:
    with (
        tracer_to(running, compression) as tracer,
        tracer.start_as_current_span("invoke_agent planner", attributes={"gen_ai.conversation.id": "conv-42"}) as root,
    ):
        root.add_event("session.end", {"session.id": "conv-42"})
        for number in range(SPANS_SENT - 1):
            with tracer.start_as_current_span("chat", kind=trace.SpanKind.CLIENT) as span:
                span.set_attributes({"number": number, "tags": ["a", "b"], "gen_ai.request.model": "gpt-4o"})


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
async def test_spans_of_the_sdk_come_back_whole(
    ingest: Ingest, events_topic: Topic, spans_topic: Topic, compression: Compression
) -> None:
    await asyncio.to_thread(record_a_session, ingest, compression)

    [(_, _, end)] = await ingest.records()
    assert (end.source, end.session_id) == ("otlp.end", "conv-42")
    ingest.topic, ingest.read = spans_topic, decode_span_record
    records = await ingest.records()
    assert len({record.event_id for _, _, record in records}) == SPANS_SENT
    numbers, trace_ids = set(), set()
    for partition, key, record in records:
        [resource_spans] = message_of(record).resource_spans
        [scope_spans] = resource_spans.scope_spans
        [span] = scope_spans.spans
        trace_ids.add(span.trace_id)
        assert key == trace_key(record.project_id, span.trace_id.hex())
        assert partition == partition_of(key, spans_topic.partitions)
        assert record.headers == {"helicone-user-id": "alice"}
        assert {pair.key: pair.value.string_value for pair in resource_spans.resource.attributes} == {
            "service.name": "travel"
        }
        assert (scope_spans.scope.name, scope_spans.scope.version) == ("demo", "1")
        found = {pair.key: pair.value for pair in span.attributes}
        if span.parent_span_id:
            numbers.add(found["number"].int_value)
            assert [item.string_value for item in found["tags"].array_value.values] == ["a", "b"]
        else:
            assert record.session_id == "conv-42"
    assert len(trace_ids) == 1
    assert numbers == set(range(SPANS_SENT - 1))


async def test_both_encodings_give_the_same_record(ingest: Ingest, spans_topic: Topic) -> None:
    async with ingest.client() as client:
        answer = await client.post("/v1/traces", json=make_export(make_span(1)))
        assert (answer.status_code, answer.headers["content-type"], answer.json()) == (200, JSON, {})
        ingest.topic, ingest.read = spans_topic, decode_span_record
        [(_, _, first)] = await ingest.records()
        again = await client.post(
            "/v1/trace/log-python",
            content=message_of(first).SerializeToString(),
            headers={"Content-Type": "application/x-protobuf"},
        )
        assert (again.status_code, again.content) == (200, b"")
    one, other = [record for _, _, record in await ingest.records()]
    assert one.event_id == other.event_id
    assert message_of(one) == message_of(other)


async def test_a_bad_key_is_401_for_the_sdk_and_nothing_is_taken(ingest: Ingest) -> None:
    async with httpx.AsyncClient(base_url=ingest.url) as client:
        answer = await client.post("/v1/traces", json=make_export(make_span(1)))
    assert (answer.status_code, answer.json()["code"]) == (401, 16)
