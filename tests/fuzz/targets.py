"""What is fuzzed: each target takes bytes as they come from outside, and says by raising that something is wrong.

A target feeds a door, and what the door publishes goes through the decoder as the processors call it. Refusing is fine.
Wrong is any other exception, a record that its own decoder refuses, and an event that the database could not hold.
"""

from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from infra.project_settings import Mapping, MaskingRule, ProjectSettings
from infra.projects import Credential
from ingest.admission import Admission
from ingest.decode import otlp
from ingest.decode.record import decode
from ingest.errors import IngestError
from ingest.event import SCHEMA_VERSION, Event, InvalidEvent, Record, decode_record, normalise_path
from ingest.inflate import pieces
from ingest.routes.door import Door
from ingest.routes.helicone import LogDoor, TypedLogDoor
from ingest.routes.native import EventsDoor, SessionEndDoor
from ingest.routes.otlp import LogsDoor, TracesDoor
from tests.unit.ingest.doors import WRITER, FakeKeys, FakePublisher

RECEIVED_AT_US = 1_795_514_400_000_000
BODY_BYTES_MAX = 10_000_000
BIGINT_MAX = 2**63 - 1
FIELDS = msgspec.structs.fields(Event)


class Broken(Exception):
    """Something was accepted that cannot be kept."""


@dataclass(frozen=True)
class Target:
    """One way in. `corpus` is the folder of its inputs; `syntax` tells the mutations what they are made of."""

    name: str
    run: Callable[[bytes], None]
    corpus: str
    syntax: str = "json"
    """`json`: a JSON text. `lines`: header lines, an empty line, a JSON text. `protobuf`: a message. Else anything."""


def _through(
    door: Door,
    publisher: FakePublisher,
    headers: list[tuple[bytes, bytes]],
    path: bytes,
    body: bytes,
    sender: Credential = WRITER,
) -> None:
    publisher.published.clear()
    publisher.topics.clear()
    scope = {"raw_path": path, "path": path.decode("latin-1"), "query_string": b"", "headers": headers}
    try:
        _finish(door.take(sender, dict(headers), body, scope, _nowhere))
    except (InvalidEvent, IngestError):
        return
    for record in publisher.records:
        try:
            event = _event_of(record, sender.settings)
        except InvalidEvent as fault:
            raise Broken(f"accepted, then refused by the decoder: {fault}") from fault
        if event is not None:
            _check_storable(event)


def _event_of(record: Record, settings: ProjectSettings) -> Event | None:
    """What the processors store of a record; None: a structural span."""
    return otlp.decode_span(record, settings).event if record.source == otlp.SOURCE else decode(record)


def _finish(work: Coroutine[Any, Any, None]) -> None:
    """Run what never waits for anything."""
    try:
        work.send(None)
    except StopIteration:
        return
    raise AssertionError("a door over a publisher in memory waits for nothing")


async def _nowhere(message: Any) -> None:
    """The answer is not looked at."""


def _check_storable(event: Event) -> None:
    for field in FIELDS:
        value = getattr(event, field.name)
        for part in value.items() if isinstance(value, dict) else [(value,)]:
            for one in part:
                _check_value(field.name, one)
    normalise_path(event.path)
    if event.started_at > event.ended_at:
        raise Broken("it ends before it starts")


def _check_value(name: str, value: Any) -> None:
    if isinstance(value, str):
        value.encode()
        if "\0" in value and name not in ("decoded_request_body", "decoded_response_body"):
            raise Broken(f"U+0000 in {name}")
    elif isinstance(value, int) and not -BIGINT_MAX <= value <= BIGINT_MAX:
        raise Broken(f"{name} is {value}")


def _door_target(name: str, make: Callable[[Admission, FakePublisher], Door], corpus: str, **scope: Any) -> Target:
    publisher = FakePublisher()
    door = make(Admission(FakeKeys(), reading_bytes_max=BODY_BYTES_MAX, body_seconds_max=1.0), publisher)
    headers, path = scope.get("headers", []), scope.get("path", b"/v1/sessions/s%2F1/end")
    sender = replace(WRITER, settings=scope.get("settings", WRITER.settings))

    def run(body: bytes) -> None:
        _through(door, publisher, headers, path, body, sender)

    def run_lines(text: bytes) -> None:
        head, _, body = text.partition(b"\n\n")
        pairs = (line.partition(b": ") for line in head.split(b"\n"))
        _through(door, publisher, [(key.lower(), value) for key, _, value in pairs], path, body)

    lines = scope.get("syntax") == "lines"
    return Target(name, run_lines if lines else run, corpus, scope.get("syntax", "json"))


def _clock() -> int:
    return RECEIVED_AT_US


def _events(admission: Admission, publisher: FakePublisher) -> Door:
    return EventsDoor(admission, publisher, body_bytes_max=BODY_BYTES_MAX, clock_us=_clock)


def _end(admission: Admission, publisher: FakePublisher) -> Door:
    return SessionEndDoor(admission, publisher, body_bytes_max=BODY_BYTES_MAX, clock_us=_clock)


def _log(admission: Admission, publisher: FakePublisher) -> Door:
    return LogDoor(admission, publisher, provider=None, body_bytes_max=BODY_BYTES_MAX, clock_us=_clock)


def _typed(admission: Admission, publisher: FakePublisher) -> Door:
    return TypedLogDoor(admission, publisher, provider=None, body_bytes_max=BODY_BYTES_MAX, clock_us=_clock)


def _traces(admission: Admission, publisher: FakePublisher) -> Door:
    limit = BODY_BYTES_MAX
    return TracesDoor(admission, publisher, body_bytes_max=limit, records_bytes_max=limit, clock_us=_clock)


def _logs(admission: Admission, publisher: FakePublisher) -> Door:
    limit = BODY_BYTES_MAX
    return LogsDoor(admission, publisher, body_bytes_max=limit, records_bytes_max=limit, clock_us=_clock)


def _record(value: bytes) -> None:
    """What lies on the topic, also what no door wrote. What the database then refuses becomes a dead letter."""
    with suppress(InvalidEvent):
        decode(decode_record(value))


def _span(message: bytes) -> None:
    """The same for the topic of spans."""
    content = msgspec.Raw(message)
    event_id = "019b76da-8bf4-7000-8000-000000000001"
    with suppress(InvalidEvent):
        otlp.decode_span(Record(SCHEMA_VERSION, "otlp", 7, 3, event_id, RECEIVED_AT_US, content), MUCH_DECIDED)


def _inflate(body: bytes) -> None:
    """Compressed bodies; the first byte chooses the encoding."""
    total = 0
    with suppress(IngestError):
        for piece in pieces(body[1:], b"zstd" if body[:1] == b"z" else b"gzip"):
            total += len(piece)
            if total > BODY_BYTES_MAX:
                return


NDJSON = [(b"content-type", b"application/x-ndjson")]
JSON = [(b"content-type", b"application/json"), (b"helicone-property-tier", b"pro")]
PROTOBUF = [(b"content-type", b"application/x-protobuf"), (b"helicone-user-id", b"bob")]
MUCH_DECIDED = ProjectSettings(
    otlp_count_span_usage=True,
    mappings=(Mapping("session_id", "service.name", "resource"), Mapping("property:tool", "gen_ai.tool.name")),
    masking=(MaskingRule(key="content"), MaskingRule(builtin="email"), MaskingRule(pattern="[0-9]{3,}")),
)

TARGETS = [
    _door_target("native", _events, "native"),
    _door_target("native-lines", _events, "native-lines", headers=NDJSON),
    _door_target("session-end", _end, "session-end"),
    _door_target("helicone", _log, "helicone"),
    _door_target("helicone-typed", _typed, "helicone"),
    _door_target("helicone-headers", _log, "helicone-headers", syntax="lines"),
    _door_target("otlp-json", _traces, "otlp-json", headers=JSON),
    _door_target("otlp-protobuf", _traces, "otlp-protobuf", headers=PROTOBUF, syntax="protobuf"),
    _door_target("otlp-masked", _traces, "otlp-protobuf", headers=PROTOBUF, syntax="protobuf", settings=MUCH_DECIDED),
    _door_target("otlp-logs", _logs, "otlp-logs", headers=JSON),
    _door_target("otlp-logs-protobuf", _logs, "otlp-logs-protobuf", headers=PROTOBUF, syntax="protobuf"),
    Target("span", _span, "otlp-protobuf", "protobuf"),
    Target("record", _record, "record"),
    Target("inflate", _inflate, "inflate", "bytes"),
]
"""A further decoder is a further line, and a folder in `corpus/`."""
