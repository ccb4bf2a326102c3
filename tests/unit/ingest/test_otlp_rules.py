"""Goal: what a project decides holds for OTLP as for every other door: masking, retention, rate; and no key is kept.

Method: exports in both encodings over a publisher in memory; what was published is searched as bytes.
"""

import json
import time
from typing import Any

import pytest

from infra.project_settings import DEFAULTS, parse_settings
from ingest.decode.otlp import decode_span
from tests.unit.ingest.doors import Doors, make_doors
from tests.unit.ingest.otlp_exports import (
    ENCODINGS,
    START_NS,
    attributes,
    make_export,
    make_logs,
    make_span,
    message_of,
    partial_success,
    send,
    status_of,
)

MARKER = "MARKER-5f3a"
KEY = "sk-helicone-abcdefg-abcdefg-abcdefg-abcdefg"
both = pytest.mark.parametrize("encoding", ENCODINGS, ids=["protobuf", "json"])


@pytest.fixture
def doors() -> Doors:
    return make_doors()


def decide(doors: Doors, **settings: Any) -> None:
    doors.decide(parse_settings(json.dumps(settings)))


def published_texts(doors: Doors) -> str:
    """All that was published, the spans' messages spelled out."""
    records = doors.publisher.records
    spans = [str(message_of(record)) for record in records if record.source == "otlp"]
    published = zip(doors.publisher.published, records, strict=True)
    # Of a span's value what stands before the message, which is spelled out already.
    rest = [value.removesuffix(bytes(record.content)).decode("latin-1") for (_, value), record in published]
    return "".join([*spans, *rest])


@both
async def test_masking_reaches_every_part_of_an_export(doors: Doors, encoding: str) -> None:
    decide(doors, masking=[{"pattern": "MARKER-[0-9a-f]+"}])
    said = attributes(session__id=MARKER, user__id=MARKER, input__value=json.dumps({"a": [MARKER]}))
    event = {"name": MARKER, "timeUnixNano": str(START_NS), "attributes": attributes(a=MARKER)}
    end = {"name": "session.end", "timeUnixNano": str(START_NS), "attributes": attributes(session__id=MARKER)}
    export = make_export(make_span(1, name=f"read {MARKER}", attributes=said, events=[event, end]))
    [resource_spans] = export["resourceSpans"]
    resource_spans["resource"]["attributes"] += attributes(host=MARKER)
    resource_spans["schemaUrl"] = resource_spans["scopeSpans"][0]["scope"]["version"] = MARKER
    headers = {"Helicone-Session-Name": f"trip {MARKER}"}
    assert partial_success(await send(doors, export, encoding, **headers)) is None
    assert MARKER not in published_texts(doors)

    span_record, end_record = doors.publisher.records
    [span_id, end_id] = [span_record.session_id, end_record.session_id]
    assert span_id == end_id
    assert decode_span(span_record, DEFAULTS).session_id == span_id


@both
async def test_a_masked_span_has_the_id_of_the_one_that_was_sent(doors: Doors, encoding: str) -> None:
    export = make_export(make_span(1, name=MARKER))
    await send(doors, export, encoding)
    decide(doors, masking=[{"pattern": "MARKER-[0-9a-f]+"}])
    await send(doors, export, encoding)
    plain, masked = doors.publisher.records
    assert plain.event_id == masked.event_id
    assert plain.content != masked.content


@both
async def test_the_end_of_a_session_in_a_log_is_masked(doors: Doors, encoding: str) -> None:
    decide(doors, masking=[{"pattern": "MARKER-[0-9a-f]+"}])
    said = attributes(session__id=MARKER, error__type=MARKER)
    log = {"eventName": "session.end", "timeUnixNano": str(START_NS), "attributes": said}
    assert partial_success(await send(doors, make_logs(log), encoding, "/v1/logs")) is None
    assert len(doors.publisher.records) == 1
    assert MARKER not in published_texts(doors)


@both
@pytest.mark.parametrize("spelling", ["Helicone-Auth", "traceloop.association.properties.helicone-auth"])
async def test_a_key_among_the_attributes_is_not_published(doors: Doors, encoding: str, spelling: str) -> None:
    said = [*attributes(a="kept", **{spelling.replace(".", "__"): f"Bearer {KEY}"})]
    event = {"name": "e", "timeUnixNano": str(START_NS), "attributes": said}
    export = make_export(make_span(1, attributes=said, events=[event], links=[{"attributes": said}]))
    [resource_spans] = export["resourceSpans"]
    resource_spans["resource"]["attributes"] += said
    resource_spans["scopeSpans"][0]["scope"]["attributes"] = said
    assert partial_success(await send(doors, export, encoding)) is None
    texts = published_texts(doors)
    assert KEY not in texts
    assert texts.count("kept") == 5


@both
async def test_of_a_key_of_posthog_only_that_there_was_one_is_published(doors: Doors, encoding: str) -> None:
    export = make_export(make_span(1, attributes=attributes(**{"Helicone-Posthog-Key": "phc_secret"})))
    await send(doors, export, encoding)
    assert "phc_secret" not in published_texts(doors)
    [record] = doors.publisher.records
    assert "true" in str(message_of(record))


@both
async def test_a_span_older_than_the_retention_is_refused_alone(doors: Doors, encoding: str) -> None:
    decide(doors, retention_days=30)
    fresh_ns = str(time.time_ns() - 3600 * 10**9)
    new = make_span(2, startTimeUnixNano=fresh_ns, endTimeUnixNano=fresh_ns)
    answer = await send(
        doors, make_export(make_span(1, startTimeUnixNano="1000", endTimeUnixNano="1000"), new), encoding
    )
    refused, said = partial_success(answer) or (0, "")
    assert refused == 1
    assert "older than the retention" in said
    assert len(doors.publisher.records) == 1


@both
async def test_a_project_over_its_rate_is_told_when_to_come_again(doors: Doors, encoding: str) -> None:
    decide(doors, events_per_second_max=2)
    export = make_export(*(make_span(number) for number in range(1, 11)))
    assert partial_success(await send(doors, export, encoding)) is None
    answer = await send(doors, export, encoding)
    assert (answer.status_code, status_of(answer)[0]) == (429, 8)
    assert int(answer.headers["retry-after"]) >= 1
    assert len(doors.publisher.records) == 10


@both
async def test_spans_are_counted_taken_and_refused_by_reason(doors: Doors, encoding: str) -> None:
    await send(doors, make_export(make_span(1), make_span(2), make_span(3, spanId="00")), encoding)
    lines = (await doors.client.get("/metrics")).text.splitlines()
    [accepted] = [line for line in lines if line.startswith('pathline_ingest_events_accepted_total{door="otlp"')]
    [refused] = [line for line in lines if line.startswith('pathline_ingest_events_refused_total{door="otlp"')]
    assert accepted.endswith(" 2.0")
    assert "invalid_id" in refused
    assert refused.endswith(" 1.0")
