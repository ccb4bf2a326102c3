"""Goal: session, user, name and path come from where otlp.md says. Method: each row against all below it."""

import uuid
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1 import trace_pb2

from infra.project_settings import DEFAULTS, Mapping, ProjectSettings
from ingest.decode import otlp
from ingest.event import InvalidEvent
from ingest.otlp_wire import WireSpan, read_span
from tests.unit.ingest.otlp.spans import PARENT_ID, RECEIVED_AT_US, SPAN_ID, TRACE_ID, decoded, record_of, span_of

SESSION_IDS = [
    "Helicone-Session-Id",
    "traceloop.association.properties.Helicone-Session-Id",
    "langfuse.trace.metadata.Helicone-Session-Id",
    "langfuse.session.id",
    "session.id",
    "gen_ai.conversation.id",
    "traceloop.association.properties.session_id",
    "mlflow.trace.session",
    "langsmith.metadata.session_id",
    "langsmith.metadata.thread_id",
    "langsmith.metadata.conversation_id",
    "langfuse.observation.metadata.langfuse_session_id",
    "langfuse.trace.metadata.langfuse_session_id",
    "ai.telemetry.metadata.sessionId",
]
USER_IDS = [
    "Helicone-User-Id",
    "traceloop.association.properties.Helicone-User-Id",
    "langfuse.trace.metadata.Helicone-User-Id",
    "langfuse.user.id",
    "user.id",
    "enduser.id",
    "gen_ai.user",
    "llm.user",
    "traceloop.association.properties.user_id",
    "mlflow.trace.user",
    "langsmith.metadata.user_id",
    "langfuse.observation.metadata.langfuse_user_id",
    "langfuse.trace.metadata.langfuse_user_id",
    "ai.telemetry.metadata.userId",
]
NAMES = [
    "Helicone-Session-Name",
    "traceloop.association.properties.Helicone-Session-Name",
    "langfuse.trace.metadata.Helicone-Session-Name",
    "langfuse.trace.name",
    "traceloop.workflow.name",
    "gen_ai.workflow.name",
    "mlflow.traceName",
    "gen_ai.agent.name",
    "agent.name",
]
HEADERS = {
    "helicone-session-id": "head",
    "helicone-user-id": "head",
    "helicone-session-name": "head",
    "helicone-session-path": "/head",
}


def as_sent(span: trace_pb2.Span) -> tuple[WireSpan, bytes]:
    """The span as the door meets it."""
    encoded = span.SerializeToString()
    return read_span(encoded), encoded


def facts_at_door(
    span: trace_pb2.Span,
    within: otlp.ResourceFields = otlp.resource_fields([]),  # noqa: B008 - nobody changes it
    headers: dict[str, str] | None = None,
    settings: ProjectSettings = DEFAULTS,
) -> tuple[str, otlp.Fields]:
    encoded = span.SerializeToString()
    is_helicone = b"helicone-" in encoded.lower()
    return otlp.door_facts(read_span(encoded), encoded, within, headers or {}, settings, names_helicone=is_helicone)


def fields_at_door(
    attributes: dict[str, Any],
    resource: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
    settings: ProjectSettings = DEFAULTS,
    **fields: Any,
) -> otlp.Fields:
    span = span_of(attributes, **fields)
    within = otlp.resource_fields(span_of(resource or {}).attributes)
    _, found = facts_at_door(span, within, headers or {}, settings)
    assert otlp.door_fields(span, within, headers or {}, settings) == found
    return found


@pytest.mark.parametrize(
    ("field", "names"), [("session_id", SESSION_IDS), ("user_id", USER_IDS), ("session_name", NAMES)]
)
def test_each_row_wins_over_all_below_it(field: str, names: list[str]) -> None:
    for first in range(len(names)):
        attributes = {name: f"value of {name}" for name in reversed(names[first:])} | {"z": 1}
        found = fields_at_door(attributes, resource=dict.fromkeys(names, "resource"), headers=HEADERS)
        assert getattr(found, field) == f"value of {names[first]}"
        assert getattr(decoded(attributes, headers=HEADERS), field) == f"value of {names[first]}"


@pytest.mark.parametrize(
    ("field", "names"), [("session_id", SESSION_IDS), ("user_id", USER_IDS), ("session_name", NAMES[:3])]
)
def test_a_resource_comes_after_the_headers(field: str, names: list[str]) -> None:
    for name in names:
        assert getattr(fields_at_door({}, {name: "r"}), field) == "r"
        assert getattr(decoded({}, resource={name: "r"}), field) == "r"
        assert getattr(fields_at_door({}, {name: "r"}, HEADERS), field) == "head"


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("mlflow.trace.session", "session_id"),
        ("mlflow.trace.user", "user_id"),
        ("mlflow.traceName", "session_name"),
    ],
)
@pytest.mark.parametrize(
    ("sent", "text"), [('"a b"', "a b"), ('"\\u00e9\\u0000"', "é"), ('"cut', '"cut'), ('""', None)]
)
def test_mlflow_writes_texts_as_json(name: str, field: str, sent: str, text: str | None) -> None:
    assert getattr(fields_at_door({name: sent}), field) == text
    assert getattr(decoded({name: sent}), field) == text


@pytest.mark.parametrize(
    ("parent", "flags"),
    [
        (b"", []),
        (bytes(8), []),
        (bytes(16), []),
        (b"x", ["parent_id_ignored"]),
        (bytes(range(256)) * 64, ["parent_id_ignored"]),
    ],
    ids=["none", "zero", "long zero", "short", "long"],
)
def test_a_parent_that_no_span_can_be_makes_a_root(parent: bytes, flags: list[str]) -> None:
    attributes = {"gen_ai.operation.name": "chat", "agent.name": "a"}
    assert fields_at_door(attributes, parent_span_id=parent).session_name == "a"
    span = decoded(attributes, parent_span_id=parent)
    assert (span.parent_span_id, span.session_name) == (None, "a")
    assert span.event is not None
    assert (span.event.parent_span_id, span.event.flags) == (None, flags)


def test_quotes_of_others_are_theirs() -> None:
    assert fields_at_door({"session.id": '"s"'}).session_id == '"s"'


@pytest.mark.parametrize("name", NAMES[3:])
def test_a_resource_names_a_session_by_helicones_names_only(name: str) -> None:
    assert fields_at_door({}, {name: "r"}).session_name is None


@pytest.mark.parametrize("name", ["gen_ai.agent.name", "agent.name"])
def test_an_agent_names_a_session_on_a_root_only(name: str) -> None:
    assert fields_at_door({name: "planner"}).session_name == "planner"
    assert fields_at_door({name: "planner"}, parent_span_id=PARENT_ID).session_name is None


@pytest.mark.parametrize(
    "name",
    [
        "helicone-session-path",
        "HELICONE-SESSION-PATH",
        "Traceloop.Association.Properties.helicone-Session-path",
        "LANGFUSE.trace.metadata.Helicone-Session-Path",
    ],
)
def test_helicone_names_are_compared_without_case(name: str) -> None:
    assert fields_at_door({name: "/a"}, headers=HEADERS).path == "/a"
    assert fields_at_door({}, headers=HEADERS).path == "/head"
    assert fields_at_door({}, {name: "/a"}).path is None


@pytest.mark.parametrize("name", ["langsmith.trace.session_id", "langsmith.trace.session_name", "Session.Id", "user"])
def test_other_names_name_nothing(name: str) -> None:
    assert fields_at_door({name: "x"}) == (None, None, None, None)


@pytest.mark.parametrize(
    ("value", "text"), [(7, "7"), (True, "true"), (0.5, "0.5"), (["a", 1], '["a",1]'), ({"a": 1}, '{"a":1}')]
)
def test_what_is_no_text_is_its_json(value: object, text: str) -> None:
    assert fields_at_door({"session.id": value}).session_id == text


@pytest.mark.parametrize("empty", ["", "\0", None])
def test_what_is_empty_is_absent(empty: object) -> None:
    assert fields_at_door({"langfuse.session.id": empty, "session.id": "s\0s"}).session_id == "ss"


def test_the_last_of_equal_keys_counts() -> None:
    span = span_of({"session.id": "first"})
    span.attributes.add(key="session.id").value.string_value = "last"
    _, found = facts_at_door(span)
    assert found.session_id == otlp.decode_span(record_of(span), DEFAULTS).session_id == "last"


@pytest.mark.parametrize("text", ["\n\x0asession.id\x12\x03\n\x01x", "J\x11\n\x0asession.id\x12\x03\n\x01x"])
def test_a_text_that_looks_like_an_attribute_is_none(text: str) -> None:
    assert fields_at_door({"gen_ai.input.messages": text, "map": {"session.id": "inner"}}).session_id is None


def test_a_mapping_comes_before_all_tables() -> None:
    mappings = (
        Mapping("session_id", "tenant.missing"),
        Mapping("session_id", "tenant.case", "resource"),
        Mapping("session_id", "tenant.session"),
        Mapping("user_id", "tenant.user"),
        Mapping("path", "tenant.path"),
        Mapping("session_name", "tenant.name"),
        Mapping("model", "tenant.model"),
        Mapping("provider", "tenant.provider"),
        Mapping("property:team", "tenant.team"),
    )
    settings = ProjectSettings(mappings=mappings)
    mapped = {"tenant.session": "s", "tenant.user": "u", "tenant.path": "/p", "tenant.name": "n"}
    attributes = {"Helicone-Session-Id": "h", "Helicone-User-Id": "h", "Helicone-Session-Path": "/h", **mapped}
    assert fields_at_door(attributes, settings=settings) == ("s", "n", "u", "/p")
    assert fields_at_door(attributes, {"tenant.case": "c"}, HEADERS, settings).session_id == "c"
    chat = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.system": "openai"}
    event = decoded(
        {**chat, "tenant.model": "own", "tenant.provider": "xai", "tenant.team": 7, "Helicone-Model-Override": "o"},
        settings=settings,
    ).event
    assert event is not None
    assert (event.model, event.provider, event.properties) == ("own", "X", {"team": "7"})


def test_a_mapping_reads_mlflows_texts_too() -> None:
    settings = ProjectSettings(mappings=(Mapping("session_id", "mlflow.own"),))
    assert fields_at_door({"mlflow.own": '"s"'}, settings=settings).session_id == "s"
    assert decoded({"mlflow.own": '"s"'}, settings=settings).session_id == "s"


def test_the_event_id_is_that_of_the_span_or_the_one_that_it_names() -> None:
    namespace = uuid.UUID("2f88cae1-2e69-5a3b-ad10-f25ae169315b")
    derived = str(uuid.uuid5(namespace, f"{TRACE_ID.hex()}-{SPAN_ID.hex()}"))
    sent = "3B241101-E2BB-4255-8CAF-4136C566A962"
    for attributes, event_id in [
        ({}, derived),
        ({"Helicone-Request-Id": sent}, sent.lower()),
        ({"traceloop.association.properties.Helicone-Request-Id": sent}, sent.lower()),
        ({"Helicone-Request-Id": "no uuid"}, derived),
    ]:
        span = span_of(attributes)
        found, _ = facts_at_door(span)
        assert found == event_id


@settings(deadline=None)
@given(st.binary(min_size=16, max_size=16), st.binary(min_size=8, max_size=8))
def test_the_event_id_is_a_uuid_of_version_5(trace_id: bytes, span_id: bytes) -> None:
    namespace = uuid.UUID("2f88cae1-2e69-5a3b-ad10-f25ae169315b")
    assert otlp.span_event_id(trace_id, span_id) == str(uuid.uuid5(namespace, f"{trace_id.hex()}-{span_id.hex()}"))


DAY_AND_A_MINUTE_NS = (24 * 3600 + 60) * 10**9


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"trace_id": b"short"}, "trace id is not 16 bytes"),
        ({"trace_id": bytes(16)}, "trace id is all zero"),
        ({"span_id": b"0"}, "span id is not 8 bytes"),
        ({"span_id": bytes(8)}, "span id is all zero"),
        ({"start_time_unix_nano": 0}, "start time is 0"),
        ({"start_time_unix_nano": RECEIVED_AT_US * 1_000 + DAY_AND_A_MINUTE_NS}, "start time is in the future"),
        ({"end_time_unix_nano": RECEIVED_AT_US * 1_000 + DAY_AND_A_MINUTE_NS}, "end time is in the future"),
    ],
)
def test_a_span_that_can_never_be_stored_is_refused(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidEvent, match=text):
        otlp.check_span(span_of({}, **fields), RECEIVED_AT_US)
    with pytest.raises(InvalidEvent, match=text):
        decoded({}, **fields)


@pytest.mark.parametrize("name", ["session.id", "user.id", "langfuse.trace.name", "Helicone-Session-Path"])
def test_a_field_over_its_limit_is_refused(name: str) -> None:
    decoded({name: "é" * 512})
    with pytest.raises(InvalidEvent, match="longer than 1024 bytes"):
        decoded({name: "é" * 512 + "x"})
