"""Benchmark events: exactly as long as promised, each with an id of its own, and accepted by the native door."""

import json

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from infra.projects import Credential
from ingest.envelope import native_envelope
from ingest.otlp_export import Export
from tests.benchmarks.payloads import (
    EVENTS_PER_SESSION,
    SPANS_PER_TRACE,
    VARIANTS,
    EventTemplates,
    Requests,
    SpanTemplates,
)

NOW_US = 1_770_000_000_000_000
SENDER = Credential(project_id=1, can_read=True, can_write=True, settings_version=1)


def test_every_event_has_the_same_length_and_its_own_id() -> None:
    templates = EventTemplates(event_bytes=1024, at_us=NOW_US)
    events = [templates.event(number) for number in (*range(3 * VARIANTS), 10_000_000)]

    assert {len(event) for event in events} == {1024}
    assert len({json.loads(event)["event_id"] for event in events}) == len(events)


def test_twenty_events_in_a_row_share_a_session() -> None:
    templates = EventTemplates(event_bytes=1024, at_us=NOW_US)
    sessions = [json.loads(templates.event(number))["session_id"] for number in range(3 * EVENTS_PER_SESSION)]

    assert len(set(sessions)) == 3
    assert all(sessions.count(session) == EVENTS_PER_SESSION for session in sessions)


def test_another_run_sends_other_ids() -> None:
    first, second = (EventTemplates(event_bytes=1024, at_us=NOW_US) for _ in range(2))

    assert json.loads(first.event(0))["event_id"] != json.loads(second.event(0))["event_id"]


def test_the_native_door_accepts_every_variant() -> None:
    templates = EventTemplates(event_bytes=4096, at_us=NOW_US)

    for number in range(VARIANTS):
        sent = json.loads(templates.event(number))
        assert native_envelope(templates.event(number), SENDER, NOW_US).event_id == sent["event_id"]


def test_a_request_announces_the_length_that_follows() -> None:
    templates = EventTemplates(event_bytes=1024, at_us=NOW_US)
    requests = Requests(templates, key="sk-pathline-test", port=80, events_per_request=100)

    bodies = []
    for _ in range(3):
        head, body = requests.next().split(b"\r\n\r\n", 1)
        assert f"content-length: {len(body)}".encode() in head.split(b"\r\n")
        bodies += [event["event_id"] for event in json.loads(body)]
    assert len(set(bodies)) == 300


def test_the_otlp_door_accepts_every_span_whole() -> None:
    templates = SpanTemplates(at_us=NOW_US)
    export = Export(SENDER, {}, NOW_US, records_bytes_max=10**8)

    for _ in export.take_traces(templates.export(0, 2 * VARIANTS)):
        pass
    assert len({value for _, value in export.spans}) == 2 * VARIANTS
    assert not export.refused
    assert all(len(Span.FromString(templates.span(number)).attributes) == 20 for number in range(VARIANTS))
    assert len({key for key, _ in export.spans}) == -(-2 * VARIANTS // SPANS_PER_TRACE)
