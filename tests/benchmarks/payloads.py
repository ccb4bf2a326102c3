"""Events of an exact size from a seed, made ahead so that a new one costs one formatting. Pure.

A template is the JSON of an event with two places left: the last twelve digits of its id, and the number of its
session. Twenty events in a row share a session.
"""

import json
import random
import time

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


class Requests:
    """HTTP requests with one event, or an array of them, each number used once."""

    def __init__(self, templates: EventTemplates, *, key: str, port: int, events_per_request: int) -> None:
        self._templates = templates
        self._events_per_request = events_per_request
        self._next = 0
        body_bytes = len(self._body(0))
        head = (
            "POST /v1/events HTTP/1.1",
            f"host: 127.0.0.1:{port}",
            f"authorization: Bearer {key}",
            "content-type: application/json",
            f"content-length: {body_bytes}",
        )
        self._head = ("\r\n".join(head) + "\r\n\r\n").encode()

    def next(self) -> bytes:
        """The bytes of a request that was not sent before."""
        first = self._next
        self._next += self._events_per_request
        return self._head + self._body(first)

    def _body(self, first: int) -> bytes:
        if self._events_per_request == 1:
            return self._templates.event(first)
        return self._templates.array(first, self._events_per_request)
