"""Events of an exact size from a seed, made ahead so that a new one costs one formatting. Pure.

A template is the JSON of an event with two places left: the last twelve digits of its id, and the number of its
session. Twenty events in a row share a session.
"""

import json
import random
import time
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

SEED = 20_260_727
EVENTS_PER_SESSION = 20
VARIANTS = 16
"""Different texts, kinds and paths, so that neither a compressor nor a cache sees one event for ever."""

TEXT = (
    "the agent reads a failing test and looks for its cause in the parser before it writes one small change to handle "
    "empty input then runs all tests again while the reviewer asks about time zones retries limits and error messages "
    "customer order refund policy vector index embedding score chunk document section endpoint schema token budget"
)
WORDS = TEXT.split()
PATHS = ("/plan", "/plan/search", "/code/edit", "/code/test", "/review", "/review/security", "/answer", "/")
KINDS = ("llm", "llm", "llm", "tool", "vector_db", "data")


SPANS_PER_TRACE = 10
SPAN_TEXT_CHARACTERS = 300
"""Of the messages of a span, each way: it is then about as large as an event of 1 KB."""
SPAN_RESOURCE = {
    "service.name": "travel",
    "service.version": "1.4.2",
    "deployment.environment.name": "production",
    "telemetry.sdk.language": "python",
    "telemetry.sdk.name": "opentelemetry",
}
SPAN_ATTRIBUTES: dict[str, str | int] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
    "gen_ai.request.temperature": 1,
    "gen_ai.request.max_tokens": 512,
    "gen_ai.response.id": "chatcmpl-0123456789abcdef",
    "gen_ai.response.finish_reasons": '["stop"]',
    "server.address": "api.openai.com",
    "server.port": 443,
    "traceloop.span.kind": "task",
    "traceloop.entity.name": "answer",
    "thread.id": 140_245_963,
    "thread.name": "MainThread",
}
"""Beside these each span has its own session, user, tokens and messages: twenty in all."""


class EventTemplates:
    """A run's own events: number n gives the same bytes each time, another run gives other ids and sessions."""

    def __init__(self, *, event_bytes: int, seed: int = SEED, at_us: int | None = None) -> None:
        at_us = at_us or time.time_ns() // 1000
        rng = random.Random(seed)
        # Not from the seed: ids that were sent before would be copies, which are stored nowhere.
        run = random.SystemRandom().getrandbits(24)
        milliseconds = f"{at_us // 1000:012x}"
        first = f"{milliseconds[:8]}-{milliseconds[8:]}-7{run >> 12:03x}-8{run & 0xFFF:03x}"
        self._templates = [_template(rng, first, at_us, run, event_bytes) for _ in range(VARIANTS)]

    def event(self, number: int) -> bytes:
        """The JSON of event `number`, always `event_bytes` long."""
        return self._templates[number % VARIANTS] % (number, number // EVENTS_PER_SESSION)

    def array(self, first: int, count: int) -> bytes:
        """A JSON array of `count` events from number `first` on."""
        return b"[" + b",".join([self.event(number) for number in range(first, first + count)]) + b"]"


def _template(rng: random.Random, first_of_id: str, at_us: int, run: int, event_bytes: int) -> bytes:
    kind = rng.choice(KINDS)
    event = {
        "event_id": f"{first_of_id}-@@ID@@",
        "session_id": f"bench-{run:06x}-@@SESSION@@",
        "session_name": rng.choice(["Code generation", "Pull request review", "Support"]),
        "path": rng.choice(PATHS),
        "kind": kind,
        "name": rng.choice(["run_tests", "read_file", "docs_index"]),
        "started_at": at_us / 1e6,
        "ended_at": at_us / 1e6 + rng.randrange(1, 4_000) / 1000,
        "status": rng.choice([200] * 19 + [500]),
        "user_id": f"user-{rng.randrange(40)}",
        "properties": {"environment": "production", "repository": "pathline"},
    }
    if kind == "llm":
        event |= {
            "provider": "openai",
            "model": "gpt-4o-mini",
            "usage": {"prompt_tokens": rng.randrange(900), "completion_tokens": rng.randrange(400)},
        }
    return _fill(rng, event, event_bytes)


def _fill(rng: random.Random, event: dict[str, object], event_bytes: int) -> bytes:
    """Add bodies that bring the event, its places filled in, to exactly `event_bytes`."""

    def with_bodies(request_text: str, response_text: str) -> bytes:
        event["request"] = {"messages": [{"role": "user", "content": request_text}]}
        event["response"] = {"choices": [{"message": {"role": "assistant", "content": response_text}}]}
        text = json.dumps(event, separators=(",", ":"))
        return text.replace("@@ID@@", "%012x").replace("@@SESSION@@", "%08x").encode()

    missing = event_bytes - len(with_bodies("", "") % (0, 0))
    if missing < 0:
        raise ValueError(f"an event of {event_bytes} bytes has no room for its own fields: {-missing} more are needed")
    half = missing // 2
    return with_bodies(_prose(rng, half), _prose(rng, missing - half))


def _prose(rng: random.Random, characters: int) -> str:
    """English-like text of that many characters: it compresses as people's text does, about by half."""
    words: list[str] = []
    length = 0
    while length <= characters:
        # A number now and then: word lists alone compress far too well.
        words.append(rng.choice(WORDS) if rng.random() < 0.8 else f"{rng.getrandbits(40):x}")
        length += len(words[-1]) + 1
    return " ".join(words)[:characters]


class SpanTemplates:
    """The same for OpenTelemetry: exports of spans with twenty attributes each, ten spans a trace."""

    def __init__(self, *, seed: int = SEED, at_us: int | None = None) -> None:
        self._at_ns = (at_us or time.time_ns() // 1000) * 1000
        rng = random.Random(seed)
        self._run = random.SystemRandom().getrandbits(64)
        self._spans = [self._template(rng) for _ in range(VARIANTS)]
        resource_spans = ResourceSpans()
        for name, text in SPAN_RESOURCE.items():
            _attribute(resource_spans.resource.attributes, name, text)
        self._resource = resource_spans.SerializeToString()

    def export(self, first: int, count: int) -> bytes:
        """An `ExportTraceServiceRequest` of `count` spans from number `first` on."""
        scope_spans = b"".join(_field(0x12, self.span(number)) for number in range(first, first + count))
        return _field(0x0A, self._resource + _field(0x12, scope_spans))

    def span(self, number: int) -> bytes:
        """Span `number`, encoded. Its ids stand before what all spans of its kind share."""
        trace_id = self._run.to_bytes(8, "big") + (number // SPANS_PER_TRACE + 1).to_bytes(8, "big")
        return b"\x0a\x10" + trace_id + b"\x12\x08" + (number + 1).to_bytes(8, "big") + self._spans[number % VARIANTS]

    def _template(self, rng: random.Random) -> bytes:
        end_ns = self._at_ns + rng.randrange(1, 4_000) * 1_000_000
        span = Span(name="chat gpt-4o-mini", kind=Span.SPAN_KIND_CLIENT)
        span.start_time_unix_nano, span.end_time_unix_nano = self._at_ns, end_ns
        said = {
            **SPAN_ATTRIBUTES,
            "gen_ai.conversation.id": f"bench-{rng.getrandbits(32):08x}",
            "user.id": f"user-{rng.randrange(40)}",
            "gen_ai.usage.input_tokens": rng.randrange(900),
            "gen_ai.usage.output_tokens": rng.randrange(400),
            "gen_ai.input.messages": _prose(rng, SPAN_TEXT_CHARACTERS),
            "gen_ai.output.messages": _prose(rng, SPAN_TEXT_CHARACTERS),
        }
        for name, value in said.items():
            _attribute(span.attributes, name, value)
        return span.SerializeToString()


def _attribute(attributes: Any, name: str, value: str | int) -> None:
    pair = attributes.add(key=name)
    if isinstance(value, int):
        pair.value.int_value = value
    else:
        pair.value.string_value = value


def _field(tag: int, content: bytes) -> bytes:
    """A length-delimited field of protobuf."""
    head = bytearray((tag,))
    length = len(content)
    while length >= 0x80:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return bytes(head) + content


class Requests:
    """HTTP requests with one event, an array of them, or an export of as many spans, each number used once."""

    def __init__(
        self, templates: EventTemplates | SpanTemplates, *, key: str, port: int, events_per_request: int
    ) -> None:
        self._templates = templates
        self._events_per_request = events_per_request
        self._next = 0
        is_otlp = isinstance(templates, SpanTemplates)
        head = (
            f"POST {'/v1/traces' if is_otlp else '/v1/events'} HTTP/1.1",
            f"host: 127.0.0.1:{port}",
            f"authorization: Bearer {key}",
            f"content-type: {'application/x-protobuf' if is_otlp else 'application/json'}",
            "content-length: ",
        )
        self._head = "\r\n".join(head).encode()

    def next(self) -> bytes:
        """The bytes of a request that was not sent before."""
        first = self._next
        self._next += self._events_per_request
        body = self._body(first)
        return b"%b%d\r\n\r\n%b" % (self._head, len(body), body)

    def _body(self, first: int) -> bytes:
        if isinstance(self._templates, SpanTemplates):
            return self._templates.export(first, self._events_per_request)
        if self._events_per_request == 1:
            return self._templates.event(first)
        return self._templates.array(first, self._events_per_request)
