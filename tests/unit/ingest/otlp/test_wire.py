"""The door's short ways say what the official messages and the decoder say, whatever a span holds."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData

from infra.project_settings import DEFAULTS
from infra.projects import Credential
from ingest.decode.otlp import door_facts, door_fields, resource_fields
from ingest.decode.spans.field_tables import PLACES
from ingest.otlp_export import Export
from ingest.otlp_wire import read_span, shared_bytes, traces_data
from tests.unit.ingest.otlp_exports import START_NS

SENDER = Credential(project_id=1, can_read=True, can_write=True, settings_version=1)
RECEIVED_AT_US = START_NS // 1_000
LENGTHS = (0, 1, 0x7F, 0x80, 0x3FFF, 0x4000, 0x1FFFFF, 0x200000)
"""On both sides of where a length takes one more byte."""

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.one_of(
    st.builds(AnyValue, string_value=texts),
    st.builds(AnyValue, string_value=st.sampled_from(["", "\0", "a\0b"])),
    st.builds(AnyValue, int_value=st.integers(-5, 5)),
    st.builds(AnyValue, bool_value=st.booleans()),
    st.just(AnyValue()),
)
attributes = st.lists(
    st.builds(KeyValue, key=st.one_of(st.sampled_from(sorted(PLACES)), texts), value=values), max_size=12
)


@given(attributes, attributes, st.sampled_from([b"", b"\1" * 8]))
def test_the_door_finds_the_fields_that_the_decoder_finds(
    own: list[KeyValue], of_resource: list[KeyValue], parent: bytes
) -> None:
    span = Span(trace_id=b"\1" * 16, span_id=b"\2" * 8, parent_span_id=parent, attributes=own)
    encoded, resource = span.SerializeToString(), resource_fields(of_resource)

    _, found = door_facts(read_span(encoded), encoded, resource, {}, DEFAULTS, names_helicone=False)

    assert found == door_fields(span, resource, {}, DEFAULTS)


@given(attributes, st.binary(max_size=40))
def test_a_span_can_be_read_exactly_when_the_official_message_can(own: list[KeyValue], noise: bytes) -> None:
    whole = Span(trace_id=b"\1" * 16, span_id=b"\2" * 8, attributes=own).SerializeToString() + noise

    for end in range(len(whole) + 1):
        assert _outcome(read_span, whole[:end]) == _outcome(Span.FromString, whole[:end])


def _outcome(decode: Any, encoded: bytes) -> Any:
    try:
        span = decode(encoded)
    except Exception as fault:  # noqa: BLE001 - which one it is, is what is compared
        return type(fault)
    return span.trace_id, span.span_id, span.parent_span_id, span.start_time_unix_nano, span.end_time_unix_nano


@pytest.mark.parametrize(("span_bytes", "shared"), [*itertools.product(LENGTHS, LENGTHS[:6])])
def test_a_message_of_one_span_has_the_lengths_that_protobuf_wants(span_bytes: int, shared: int) -> None:
    span = Span(name="n" * span_bytes)
    resource, scope = shared_bytes([], "r" * shared), shared_bytes([], "s" * shared)

    message = TracesData.FromString(traces_data(span.SerializeToString(), resource, scope))

    [of_resource] = message.resource_spans
    [of_scope] = of_resource.scope_spans
    assert list(of_scope.spans) == [span]
    assert (of_resource.schema_url, of_scope.schema_url) == ("r" * shared, "s" * shared)


@pytest.mark.parametrize("name", ["Helicone-Session-Id", "helicone-session-id", "HELICONE-SESSION-ID"])
@pytest.mark.parametrize("before", [0, 1, 300])
def test_a_name_of_helicones_is_seen_in_any_case_and_any_span_of_the_export(name: str, before: int) -> None:
    spans = [_good_span(number) for number in range(before + 2)]
    spans[before].attributes.add(key=name).value.string_value = "conv-42"
    message = TracesData()
    message.resource_spans.add().scope_spans.add().spans.extend(spans)
    export = Export(SENDER, {}, RECEIVED_AT_US, records_bytes_max=10**8)

    for _ in export.take_traces(message.SerializeToString()):
        pass

    named = [b'"session_id":"conv-42"' in value for _, value in export.spans]
    assert [number for number, is_named in enumerate(named) if is_named] == [before]


def _good_span(number: int) -> Span:
    return Span(
        trace_id=b"\1" * 16,
        span_id=(number + 1).to_bytes(8, "big"),
        start_time_unix_nano=START_NS,
        end_time_unix_nano=START_NS + 1,
    )
