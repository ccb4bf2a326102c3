"""Goal: the OTLP doors keep otlp.md sections 1 to 3 and 14. Method: calls over a publisher in memory."""

import gzip
import json
from typing import Any
from uuid import UUID, uuid5

import pytest
from google.protobuf.internal import api_implementation
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from infra.key_ring import KeysUnavailable
from infra.project_settings import DEFAULTS
from infra.topics import SPANS
from ingest.decode.otlp import decode_span
from ingest.errors import NotDurable, Overloaded, RecordTooLarge
from ingest.event import trace_key
from tests.unit.ingest.doors import KEY, READ_ONLY_KEY, Doors, make_doors
from tests.unit.ingest.otlp_exports import (
    ENCODINGS,
    JSON,
    PROTOBUF,
    START_NS,
    TRACE_ID,
    attributes,
    make_export,
    make_span,
    message_of,
    partial_success,
    send,
    status_of,
)

FAR_NS = str(START_NS * 2)
both = pytest.mark.parametrize("encoding", ENCODINGS, ids=["protobuf", "json"])


@pytest.fixture
def doors() -> Doors:
    return make_doors()


def test_protobuf_is_the_fast_implementation() -> None:
    assert api_implementation.Type() == "upb"


@both
async def test_a_span_is_published_with_its_scope_and_resource_under_its_trace(doors: Doors, encoding: str) -> None:
    span = make_span(
        1, attributes=attributes(gen_ai__conversation__id="conv-42"), flags=257, parentSpanId="0" * 15 + "1"
    )
    answer = await send(doors, make_export(span), encoding)
    assert partial_success(answer) is None
    [(key, _)], [record] = doors.publisher.published, doors.publisher.records
    assert (key, doors.publisher.topics) == (trace_key(7, TRACE_ID), [SPANS.name])
    assert (record.source, record.project_id, record.settings_version) == ("otlp", 7, 3)
    assert record.session_id == "conv-42"
    namespace = UUID("2f88cae1-2e69-5a3b-ad10-f25ae169315b")
    assert record.event_id == str(uuid5(namespace, f"{TRACE_ID}-{span['spanId']}"))
    [resource_spans] = message_of(record).resource_spans
    [scope_spans] = resource_spans.scope_spans
    [sent] = scope_spans.spans
    assert resource_spans.resource.attributes[0].value.string_value == "travel"
    assert (scope_spans.scope.name, scope_spans.scope.version) == ("demo", "1")
    assert (sent.name, sent.kind, sent.flags) == ("chat gpt-4o-mini", Span.SPAN_KIND_CLIENT, 257)
    assert (sent.trace_id.hex(), sent.span_id.hex()) == (TRACE_ID, span["spanId"])


@both
async def test_the_decoder_reads_what_the_door_publishes(doors: Doors, encoding: str) -> None:
    said = attributes(gen_ai__operation__name="chat", session__id="s")
    await send(doors, make_export(make_span(1, attributes=said)), encoding)
    [record] = doors.publisher.records
    span = decode_span(record, DEFAULTS)
    assert (span.trace_id, span.span_id, span.session_id) == (TRACE_ID, "eee19b7ec3c10001", "s")
    assert str(span.event_id) == record.event_id
    assert span.event is not None
    assert span.event.kind == "llm"


@both
async def test_structural_spans_are_published_too(doors: Doors, encoding: str) -> None:
    span = make_span(1, name="GET", attributes=attributes(http__request__method="GET"))
    assert partial_success(await send(doors, make_export(span), encoding)) is None
    assert [record.session_id for record in doors.publisher.records] == [None]


@both
async def test_no_span_is_full_success(doors: Doors, encoding: str) -> None:
    for export in ({}, make_export()):
        assert partial_success(await send(doors, export, encoding)) is None
    assert doors.publisher.published == []


@both
async def test_a_request_id_of_helicone_is_the_event_id(doors: Doors, encoding: str) -> None:
    sent = "019B76DA-AF6C-7C3E-8F7A-2F6D1C0B9E55"
    span = make_span(1, attributes=[{"key": "HELICONE-Request-Id", "value": {"stringValue": sent}}])
    await send(doors, make_export(span), encoding)
    assert doors.publisher.records[0].event_id == sent.lower()


@both
async def test_helicone_headers_of_the_export_hold_for_its_spans(doors: Doors, encoding: str) -> None:
    own = make_span(2, attributes=attributes(session__id="own"))
    await send(doors, make_export(make_span(1), own), encoding, **{"Helicone-Session-Id": "s", "Helicone-Auth": ""})
    assert [record.session_id for record in doors.publisher.records] == ["s", "own"]
    assert doors.publisher.records[0].headers == {"helicone-session-id": "s"}


@both
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"traceId": None}, "trace id is not 16 bytes"),
        ({"traceId": "0" * 32}, "trace id is all zero"),
        ({"spanId": "00"}, "span id is not 8 bytes"),
        ({"spanId": "0" * 16}, "span id is all zero"),
        ({"startTimeUnixNano": 0}, "start time is 0"),
        ({"startTimeUnixNano": FAR_NS}, "start time is in the future"),
        ({"endTimeUnixNano": FAR_NS}, "end time is in the future"),
        ({"attributes": attributes(session__id="é" * 513)}, "session id is longer than 1024 bytes"),
        ({"attributes": attributes(user__id="u" * 1025)}, "user id is longer than 1024 bytes"),
        ({"attributes": attributes(langfuse__trace__name="n" * 1025)}, "session name is longer than 1024 bytes"),
        ({"attributes": [{"key": "Helicone-Session-Path", "value": {"stringValue": "/" * 1025}}]},
         "path is longer than 1024 bytes"),
        ({"name": "x" * (15 * 1024 * 1024)}, "its record is over 15 MiB"),
    ],
)  # fmt: skip
async def test_a_span_that_breaks_a_rule_is_refused_alone(
    doors: Doors, encoding: str, changes: dict[str, Any], reason: str
) -> None:
    answer = await send(doors, make_export(make_span(1, **changes), make_span(2)), encoding)
    assert partial_success(answer) == (1, f"1 span refused: {reason}")
    assert len(doors.publisher.published) == 1


@both
async def test_reasons_are_counted_and_at_most_five_are_named(doors: Doors, encoding: str) -> None:
    bad: list[dict[str, Any]] = [{"spanId": "00"}, {"spanId": "00"}, {"traceId": "00"}, {"startTimeUnixNano": 0}]
    answer = await send(doors, make_export(*(make_span(n, **one) for n, one in enumerate(bad))), encoding)
    reasons = "span id is not 8 bytes (2); trace id is not 16 bytes (1); start time is 0 (1)"
    assert partial_success(answer) == (4, f"4 spans refused: {reasons}")
    bad += [{"spanId": "0" * 16}, {"traceId": "0" * 32}, {"endTimeUnixNano": FAR_NS}]
    said = partial_success(
        await send(doors, make_export(*(make_span(n, **one) for n, one in enumerate(bad))), encoding)
    )
    assert said is not None
    assert said[1].count(";") == 5
    assert said[1].endswith("; 1 more reasons")


@both
async def test_an_end_before_the_start_is_taken_with_a_warning(doors: Doors, encoding: str) -> None:
    spans = [make_span(1, endTimeUnixNano=None), make_span(2, endTimeUnixNano=str(START_NS - 1))]
    answer = await send(doors, make_export(*spans), encoding)
    assert partial_success(answer) == (0, "2 spans end before they began, taken with no duration")
    assert len(doors.publisher.published) == 2


@both
async def test_properties_never_refuse_a_span(doors: Doors, encoding: str) -> None:
    many = [{"key": f"Helicone-Property-{n}", "value": {"stringValue": "x" * 20_000}} for n in range(201)]
    assert partial_success(await send(doors, make_export(make_span(1, attributes=many)), encoding)) is None


@both
async def test_one_span_that_may_be_lost_makes_the_export_one_to_send_again(doors: Doors, encoding: str) -> None:
    doors.publisher.faults = [None, NotDurable()]
    answer = await send(doors, make_export(make_span(1), make_span(2)), encoding)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert status_of(answer)[0] == 14


@both
async def test_a_record_that_the_broker_finds_too_large_is_refused(doors: Doors, encoding: str) -> None:
    doors.publisher.faults = [RecordTooLarge(), None]
    answer = await send(doors, make_export(make_span(1), make_span(2)), encoding)
    assert partial_success(answer) == (1, "1 span refused: its record is over 15 MiB")


@both
async def test_overload_is_503(doors: Doors, encoding: str) -> None:
    doors.publisher.refusal = Overloaded(retry_after_seconds=2)
    answer = await send(doors, make_export(make_span(1)), encoding)
    assert (answer.status_code, answer.headers["retry-after"], status_of(answer)[0]) == (503, "2", 14)


@both
async def test_a_defect_is_500(doors: Doors, encoding: str) -> None:
    doors.publisher.refusal = RuntimeError("a bug")
    answer = await send(doors, make_export(make_span(1)), encoding)
    assert (answer.status_code, status_of(answer)) == (500, (13, "Internal error", None))


@both
@pytest.mark.parametrize(
    ("header", "status", "code"),
    [
        ("", 401, 16),
        ("Bearer sk-pathline-zzzzzzz-bbbbbbb-ccccccc-ddddddd", 401, 16),
        (f"Bearer {READ_ONLY_KEY}", 403, 7),
    ],
)
async def test_who_may_not_send(doors: Doors, encoding: str, header: str, status: int, code: int) -> None:
    answer = await send(doors, make_export(), encoding, Authorization=header)
    assert (answer.status_code, status_of(answer)[0]) == (status, code)


@both
async def test_a_key_that_cannot_be_checked_is_503(doors: Doors, encoding: str) -> None:
    doors.keys.fault = KeysUnavailable()
    answer = await send(
        doors, make_export(), encoding, Authorization="Bearer sk-pathline-zzzzzzz-bbbbbbb-ccccccc-ddddddd"
    )
    assert (answer.status_code, answer.headers["retry-after"], status_of(answer)[0]) == (503, "2", 14)


@both
async def test_the_type_may_have_parameters_and_any_letter_case(doors: Doors, encoding: str) -> None:
    body = make_export(make_span(1))
    answer = await send(doors, body, encoding, **{"Content-Type": f"{encoding.title()}; charset=utf-8"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, encoding)


@pytest.mark.parametrize("path", ["/v1/traces", "/v1/logs"])
@pytest.mark.parametrize("content_type", ["text/plain", "application/protobuf", ""])
async def test_another_type_is_415_in_json(doors: Doors, path: str, content_type: str) -> None:
    answer = await send(doors, b"{}", content_type, path)
    assert (answer.status_code, answer.headers["content-type"], status_of(answer)[0]) == (415, JSON, 3)
    assert "accept-encoding" not in answer.headers


@both
async def test_gzip_is_read_and_another_compression_is_415(doors: Doors, encoding: str) -> None:
    plain = (await send(doors, make_export(make_span(1)), encoding)).request.content
    for name, body in (("gzip", gzip.compress(plain)), ("identity", plain)):
        assert partial_success(await send(doors, body, encoding, **{"Content-Encoding": name})) is None
    other = await send(doors, plain, encoding, **{"Content-Encoding": "zstd"})
    assert (other.status_code, other.headers["accept-encoding"], status_of(other)[0]) == (415, "gzip", 3)
    for broken in (gzip.compress(plain)[:-3], b"nothing"):
        answer = await send(doors, broken, encoding, **{"Content-Encoding": "gzip"})
        assert (answer.status_code, status_of(answer)[::2]) == (400, (3, "body"))


@both
async def test_a_body_over_the_limit_is_413_as_sent_and_inflated(encoding: str) -> None:
    doors = make_doors(otlp_body_bytes_max=10_000)
    for body, headers in ((b" " * 10_001, {}), (gzip.compress(b" " * 50_000_000), {"Content-Encoding": "gzip"})):
        answer = await send(doors, body, encoding, **headers)
        assert (answer.status_code, status_of(answer)[0]) == (413, 8)


@both
async def test_the_records_of_one_body_are_bounded_together(encoding: str) -> None:
    doors = make_doors(in_flight_bytes_max=100_000)
    export = make_export(*(make_span(n) for n in range(100)))
    export["resourceSpans"][0]["resource"]["attributes"] += attributes(big="x" * 2_000)
    answer = await send(doors, export, encoding)
    assert (answer.status_code, status_of(answer)[0], doors.publisher.published) == (413, 8, [])


@both
async def test_methods_and_signals_that_are_not_offered(doors: Doors, encoding: str) -> None:
    headers = {"Content-Type": encoding}
    for path in ("/v1/traces", "/v1/logs", "/v1/trace/log"):
        wrong = await doors.client.get(path, headers=headers)
        assert (wrong.status_code, wrong.headers["allow"], status_of(wrong)[0]) == (405, "POST", 12)
    for path, signal in (("/v1/metrics", "metrics"), ("/v1development/profiles", "profiles")):
        for answer in (await send(doors, b"", encoding, path), await doors.client.get(path, headers=headers)):
            assert (answer.status_code, status_of(answer)[0]) == (404, 5)
            assert f"OTLP {signal} are not offered" in status_of(answer)[1]


async def test_browsers_may_send(doors: Doors) -> None:
    asked = {"Access-Control-Request-Headers": "helicone-session-id"}
    options = await doors.client.options("/v1/traces", headers=asked)
    allowed = {name.strip() for name in options.headers["access-control-allow-headers"].lower().split(",")}
    assert {"content-type", "content-encoding", "authorization", "helicone-session-id"} <= allowed
    assert (await send(doors, make_export())).headers["access-control-allow-origin"] == "*"
    assert (await send(doors, b"")).headers["access-control-allow-origin"] == "*"


async def test_helicones_doors_have_an_encoding_for_bodies_that_name_none(doors: Doors) -> None:
    export = make_export(make_span(1))
    body = json.dumps(export).encode()
    encoded = (await send(doors, export, PROTOBUF)).request.content
    for content_type in ("", "text/plain"):
        as_json = await send(doors, body, content_type, "/v1/trace/log")
        as_protobuf = await send(doors, encoded, content_type, "/v1/trace/log-python")
        assert (as_json.headers["content-type"], partial_success(as_json)) == (JSON, None)
        assert (as_protobuf.headers["content-type"], partial_success(as_protobuf)) == (PROTOBUF, None)
    assert partial_success(await send(doors, encoded, PROTOBUF, "/v1/trace/log")) is None
    assert partial_success(await send(doors, body, JSON, "/v1/trace/log-python")) is None
    assert (await send(doors, b"\xff", "", "/v1/trace/log-python")).headers["content-type"] == PROTOBUF
    assert len(doors.publisher.published) == 7


async def test_a_key_with_a_percent_encoded_space_is_read(doors: Doors) -> None:
    assert partial_success(await send(doors, make_export(), Authorization=f"Bearer%20{KEY}")) is None


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b"\xff", "body"),
        (b"\x0a\x7f", "body"),
        (b"\x0a\x04\x12\x02\x12\x00\x0a\x06\x12\x04\x12\x02\x2a\x7f", "resource_spans[1].scope_spans[0].spans[0]"),
        (b"\x0a\x07\x12\x05\x12\x03\x2a\x01\xff", "resource_spans[0].scope_spans[0].spans[0]"),
        (b"\x0a\x02\x0a\x00\x0a\x03\x0a\x01\xff", "resource_spans[1].resource"),
    ],
    ids=["no message", "cut off", "cut off within a span", "not UTF-8", "a broken resource"],
)
async def test_protobuf_that_cannot_be_decoded_is_400_with_its_place(doors: Doors, body: bytes, place: str) -> None:
    answer = await send(doors, body, PROTOBUF)
    assert (answer.status_code, status_of(answer)[::2]) == (400, (3, place))
    assert doors.publisher.published == []


async def test_attributes_that_protobuf_itself_cannot_nest_are_400(doors: Doors) -> None:
    value = b"\x0a\x01x"
    for _ in range(200):
        value = b"\x2a" + bytes(_varint(len(inner := b"\x0a" + bytes(_varint(len(value))) + value))) + inner
    pair = b"\x0a\x01a\x12" + bytes(_varint(len(value))) + value
    message = b"\x4a" + bytes(_varint(len(pair))) + pair
    for tag in (b"\x12", b"\x12", b"\x0a"):
        message = tag + bytes(_varint(len(message))) + message
    assert (await send(doors, message, PROTOBUF)).status_code == 400


def _varint(number: int) -> list[int]:
    digits = []
    while number >= 0x80:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    return [*digits, number]
