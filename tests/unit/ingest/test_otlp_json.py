"""Goal: OTLP's JSON is read as otlp.md section 2.1 says. Method: bodies read into protobuf messages, and refused."""

import json
import math
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from ingest.errors import InvalidBody
from ingest.otlp_json import read_traces
from tests.unit.ingest.doors import Doors, make_doors
from tests.unit.ingest.otlp_exports import make_export, make_span, partial_success, send, status_of

SPAN = "resourceSpans[0].scopeSpans[0].spans[0]"


@pytest.fixture
def doors() -> Doors:
    return make_doors()


def read(**changes: Any) -> Span:
    message = read_traces(json.dumps(make_export(make_span(1, **changes))).encode())
    return message.resource_spans[0].scope_spans[0].spans[0]


def read_value(value: Any) -> AnyValue:
    return read(attributes=[{"key": "a", "value": value}]).attributes[0].value


def test_every_member_is_read() -> None:
    span = read(
        traceState="k=v",
        parentSpanId="EEE19B7EC3C1B174",
        flags=3,
        droppedAttributesCount=1,
        droppedEventsCount="2",
        droppedLinksCount=3,
        events=[{"timeUnixNano": "5", "name": "e", "attributes": [{"key": "k", "value": {"boolValue": True}}]}],
        links=[{"traceId": "0A" * 16, "spanId": "0b" * 8, "traceState": "s", "flags": 1}],
        status={"code": 2, "message": "no"},
    )
    assert (span.parent_span_id.hex(), span.trace_state, span.flags) == ("eee19b7ec3c1b174", "k=v", 3)
    assert (span.dropped_attributes_count, span.dropped_events_count, span.dropped_links_count) == (1, 2, 3)
    assert (span.events[0].time_unix_nano, span.events[0].name) == (5, "e")
    assert span.events[0].attributes[0].value.bool_value is True
    assert (span.links[0].trace_id, span.links[0].span_id, span.links[0].trace_state) == (b"\n" * 16, b"\v" * 8, "s")
    assert (span.status.code, span.status.message) == (Status.STATUS_CODE_ERROR, "no")


@pytest.mark.parametrize("start", ["1767225600000000001", 1767225600000000001])
def test_whole_numbers_are_texts_or_numbers_and_exact(start: Any) -> None:
    assert read(startTimeUnixNano=start).start_time_unix_nano == 1767225600000000001


@pytest.mark.parametrize(
    ("kind", "number"),
    [(3, 3), ("3", 3), ("SPAN_KIND_CLIENT", 3), (99, 0), (-1, 0), ("SPAN_KIND_UNHEARD_OF", 0), (None, 0)],
)
def test_enums_are_numbers_and_names_are_tolerated(kind: Any, number: int) -> None:
    assert read(kind=kind).kind == number


@pytest.mark.parametrize(
    ("sent", "value"),
    [
        ({"stringValue": ""}, AnyValue(string_value="")),
        ({"boolValue": False}, AnyValue(bool_value=False)),
        ({"intValue": "-9223372036854775808"}, AnyValue(int_value=-(2**63))),
        ({"intValue": 5.0}, AnyValue(int_value=5)),
        ({"doubleValue": 1}, AnyValue(double_value=1)),
        ({"doubleValue": "Infinity"}, AnyValue(double_value=math.inf)),
        ({"doubleValue": "-Infinity"}, AnyValue(double_value=-math.inf)),
        ({"bytesValue": "AP8="}, AnyValue(bytes_value=b"\x00\xff")),
        ({"bytesValue": "AP8"}, AnyValue(bytes_value=b"\x00\xff")),
        ({"string_value": "unknown"}, AnyValue()),
        ({"stringValue": None, "intValue": "1"}, AnyValue(int_value=1)),
        (None, AnyValue()),
    ],
)
def test_values(sent: Any, value: AnyValue) -> None:
    assert read_value(sent) == value


def test_nan_lists_and_maps() -> None:
    assert math.isnan(read_value({"doubleValue": "NaN"}).double_value)
    assert read_value({"arrayValue": {}}).WhichOneof("value") == "array_value"
    items = read_value({"arrayValue": {"values": [{"intValue": "1"}, None, {"arrayValue": {"values": [{}]}}]}})
    assert [item.WhichOneof("value") for item in items.array_value.values] == ["int_value", None, "array_value"]
    pairs = read_value({"kvlistValue": {"values": [{"key": "k", "value": {"kvlistValue": {}}}]}}).kvlist_value.values
    assert (pairs[0].key, pairs[0].value.WhichOneof("value")) == ("k", "kvlist_value")


def test_null_is_missing_unknown_members_are_ignored_and_the_last_of_two_counts() -> None:
    assert read_traces(b'{"resourceSpans": null, "resource_spans": [1], "x": {"y": [1]}}') == (
        ExportTraceServiceRequest()
    )
    sent = b'{"name":"a","name":"b","trace_id":"00","kind":null}'
    body = b'{"resourceSpans":[{"scopeSpans":[{"scope":null,"spans":[' + sent + b"]}]}]}"
    [span] = read_traces(body).resource_spans[0].scope_spans[0].spans
    assert (span.name, span.trace_id, span.kind) == ("b", b"", 0)


def test_a_lone_surrogate_is_replaced_and_a_pair_kept() -> None:
    body = rb'{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"a\ud800b \ud83d\ude00"}]}]}]}'
    assert read_traces(body).resource_spans[0].scope_spans[0].spans[0].name == "a\ufffdb \U0001f600"


@pytest.mark.parametrize(
    ("changes", "place", "reason"),
    [
        ({"traceId": "W47/95gDgQPSabYzgT/GDA=="}, f"{SPAN}.traceId", "it is not hex"),
        ({"spanId": "0"}, f"{SPAN}.spanId", "it is not hex"),
        ({"parentSpanId": "eee 19b7ec3c1b17"}, f"{SPAN}.parentSpanId", "it is not hex"),
        ({"startTimeUnixNano": "soon"}, f"{SPAN}.startTimeUnixNano", "it is not a whole number"),
        ({"startTimeUnixNano": 1.5}, f"{SPAN}.startTimeUnixNano", "it is not a whole number"),
        ({"endTimeUnixNano": -1}, f"{SPAN}.endTimeUnixNano", "it is not between 0 and 18446744073709551615"),
        ({"name": 5}, f"{SPAN}.name", "expected string, got integer"),
        ({"kind": True}, f"{SPAN}.kind", "expected number or string, got boolean"),
        ({"attributes": [{}, {"key": "a", "value": {"intValue": "x"}}]}, f"{SPAN}.attributes[1].value.intValue",
         "it is not a whole number"),
        ({"attributes": [{"value": {"arrayValue": {"values": [{"bytesValue": "a"}]}}}]},
         f"{SPAN}.attributes[0].value.arrayValue.values[0].bytesValue", "it is not base64"),
        ({"attributes": [{"value": {"doubleValue": 10**400}}]}, f"{SPAN}.attributes[0].value.doubleValue",
         "it is not a number"),
        ({"events": [{"timeUnixNano": "x"}]}, f"{SPAN}.events[0].timeUnixNano", "it is not a whole number"),
        ({"links": [{"traceId": "x"}]}, f"{SPAN}.links[0].traceId", "it is not hex"),
    ],
)  # fmt: skip
async def test_a_value_that_its_field_cannot_hold_is_400_with_its_place(
    doors: Doors, changes: dict[str, Any], place: str, reason: str
) -> None:
    answer = await send(doors, make_export(make_span(1, **changes), make_span(2)))
    assert (answer.status_code, status_of(answer)) == (400, (3, f"Invalid {place}: {reason}", place))
    assert doors.publisher.published == []


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "Invalid JSON: input data was truncated"),
        (b"[]", "Invalid body: expected object, got array"),
        (b'{"resourceSpans": 1e999}', "Invalid resourceSpans: number out of range"),
        (b'{"resourceSpans": [\xff]}', "Invalid JSON: not UTF-8 at byte 19"),
        (b'{"x": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", "Invalid JSON: nested too deep"),
        (b'{"x": ' + b"[" * 1_000_000, "Invalid JSON: nested too deep"),
        (b'{"resourceSpans": ' + b"9" * 10_000 + b"}", "Invalid "),
    ],
)
async def test_a_body_that_is_no_json_is_400(doors: Doors, body: bytes, text: str) -> None:
    answer = await send(doors, body)
    code, message, place = status_of(answer)
    assert (answer.status_code, code) == (400, 3)
    assert message.startswith(text)
    assert place


@pytest.mark.parametrize("wrap", ["array", "map"])
async def test_what_json_nests_protobuf_can_nest_too(doors: Doors, wrap: str) -> None:
    deepest = 0
    for depth in (5, 20, 31, 32, 33, 45, 46, 47, 48, 49, 60, 400, 10_000):
        head, tail = {
            "array": (b'{"arrayValue":{"values":[', b"]}}"),
            "map": (b'{"kvlistValue":{"values":[{"key":"k","value":', b"}]}}"),
        }[wrap]
        value = head * depth + b'{"intValue":"1"}' + tail * depth
        spans = json.dumps(make_export(make_span(1, attributes=["@"]))).encode()
        answer = await send(doors, spans.replace(b'"@"', b'{"key":"a","value":' + value + b"}"))
        if answer.status_code == 200:
            assert partial_success(answer) is None
            deepest = depth
        else:
            assert (answer.status_code, status_of(answer)[0]) == (400, 3)
            assert "nested too deep" in status_of(answer)[1]
    assert deepest == {"array": 47, "map": 31}[wrap]


def test_reading_refuses_with_an_error_of_ours() -> None:
    with pytest.raises(InvalidBody, match="not hex"):
        read(traceId="zz")
