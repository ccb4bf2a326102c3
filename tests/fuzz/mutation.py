"""New inputs from kept ones: most are still JSON of about the right shape, so that they come past the first check."""

import json
import random
from collections.abc import Callable
from typing import Any

WORDS = [
    "", "a", "\0", "\ud800", "é", "🎿" * 3, "x" * 1025, "x" * 300, "true", "null", "NaN", "1e400", "-1", "0",
    "4102444800",
    "1767225600", "1767225600250", "9" * 25, "9999-12-31T23:59:59-10:00", "0001-01-01T00:00:00+10:00",
    "2026-01-01",
    "2026-02-30T00:00:00Z", "1969-12-31T23:59:59.9Z", "019b76da-af6c-7c3e-8f7a-2f6d1c0b9e55", "completed",
    "failed", "session.end", "session.start", "00", "5b8efff798038103d269b633813fc60c",
    "llm", "tool", "vector_db", "data", "span",
    "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n",
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{}}\n", "{\"a\":1}\n{\"b\"",
    "models/x:y", "Bearer k",
    "/a//b/", "%2F", "error", "success", "search", "chat.completion", "cachedContent",
]  # fmt: skip
NUMBERS = [
    0, 1, -1, 0.5, -0.0, 999, 1000, -999, -1000, 2**31, 2**53, 2**63, 2**64, 2**70, -(2**63), 10**15 + 1,
    1e-320, 1.5e308,
    1767225600, 1767225600.000001, 4102444800, 253402300800, -62135596800, 10**400,
]  # fmt: skip
RAW = [
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "-0",
    "1E5",
    "0.1e-7",
    '"\\ud83c\\udfbf"',
    '"\\ude00"',
    '"\\u0000"',
    "[" * 200,
]
PLACE = "\ue000"
"""Stands in a tree for JSON text that `json` would not write."""
KEYS = [
    "event_id", "session_id", "session_name", "path", "user_id", "kind", "name", "started_at", "ended_at",
    "status", "error",
    "type", "message", "provider", "model", "usage", "cost", "cost_usd", "cost_nanousd", "properties",
    "request", "response",
    "time_to_first_token_ms", "outcome", "reason", "at", "providerRequest", "providerResponse", "url", "json",
    "meta",
    "textBody", "headers", "timing", "startTime", "endTime", "seconds", "milliseconds", "timeToFirstToken",
    "_type",
    "toolName", "operation", "streamed_data", "choices", "delta", "content", "tool_calls", "function",
    "arguments", "index",
    "prompt_tokens", "completion_tokens", "prompt_tokens_details", "cached_tokens", "input_tokens",
    "output_tokens",
    "cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation", "usageMetadata",
    "promptTokenCount",
    "promptTokensDetails", "modality", "tokenCount", "candidates", "parts", "text", "totalTokenCount", "body",
    "finish_reason",
    "Helicone-Session-Id", "helicone_property_x", "Helicone-Request-Id", "Helicone-Omit-Response",
    "Helicone-Omit-Request",
    "Helicone-Model-Override", "Helicone-Auth", "schema_version", "source", "project_id", "received_at_us",
    "taken",
]  # fmt: skip

Walk = list[tuple[Any, Any]]


def mutate(text: bytes, other: bytes, syntax: str, chance: random.Random) -> bytes:
    """One mutated input; `other` is another of the corpus, to take parts from."""
    if syntax == "lines":
        head, _, body = text.partition(b"\n\n")
        if chance.random() < 0.7:
            head = _mutate_lines(head, other.partition(b"\n\n")[0], chance)
        if chance.random() < 0.5:
            body = _mutate_json(body, other.partition(b"\n\n")[2], chance)
        return head + b"\n\n" + body
    if syntax == "json":
        text = _mutate_json(text, other, chance)
        if chance.random() < 0.85:
            return text
    return mutate_bytes(text, other, chance)


def _mutate_json(text: bytes, other: bytes, chance: random.Random) -> bytes:
    try:
        tree = [json.loads(text)]
        parts = [json.loads(other)]
    except ValueError:
        return mutate_bytes(text, other, chance)
    raws: list[str] = []
    for _ in range(chance.choice((1, 1, 2, 3, 6))):
        places = _places(tree)
        container, key = chance.choice(places)
        chance.choice(MUTATIONS)(container, key, _places(parts), raws, chance)
    spelled = json.dumps(tree[0] if tree else None, ensure_ascii=chance.random() < 0.5, allow_nan=True)
    for raw in raws:
        spelled = spelled.replace(json.dumps(PLACE), raw, 1).replace(f'"{PLACE}"', raw, 1)
    return spelled.encode("utf-8", "surrogatepass")


def _places(tree: Any) -> Walk:
    """Every (container, key) below a tree."""
    found: Walk = []
    waiting = [tree]
    while waiting:
        container = waiting.pop()
        for key in container if isinstance(container, dict) else range(len(container)):
            found.append((container, key))
            if isinstance(container[key], dict | list):
                waiting.append(container[key])
    return found or [([None], 0)]


def _put_word(container: Any, key: Any, _: Walk, __: list[str], chance: random.Random) -> None:
    container[key] = chance.choice(WORDS)


def _put_number(container: Any, key: Any, _: Walk, __: list[str], chance: random.Random) -> None:
    container[key] = chance.choice(NUMBERS)


def _put_other(container: Any, key: Any, _: Walk, __: list[str], chance: random.Random) -> None:
    container[key] = chance.choice((None, True, False, [], {}, [[]], [{}], {"": ""}, ["a", 1, None]))


def _put_raw(container: Any, key: Any, _: Walk, raws: list[str], chance: random.Random) -> None:
    container[key] = PLACE
    raws.append(chance.choice(RAW))


def _delete(container: Any, key: Any, _: Walk, __: list[str], chance: random.Random) -> None:
    del container[key]


def _rename(container: Any, key: Any, _: Walk, __: list[str], chance: random.Random) -> None:
    if isinstance(container, dict):
        container[chance.choice(KEYS)] = container.pop(key)


def _transplant(container: Any, key: Any, parts: Walk, _: list[str], chance: random.Random) -> None:
    source, name = chance.choice(parts)
    # A copy: a tree that holds itself has no text.
    part = json.loads(json.dumps(source[name]))
    if isinstance(container, dict) and isinstance(name, str):
        container[name] = part
    else:
        container[key] = part


def _wrap(container: Any, key: Any, _: Walk, __: list[str], chance: random.Random) -> None:
    container[key] = [container[key]] if chance.random() < 0.5 else {chance.choice(KEYS): container[key]}


def _repeat(container: Any, key: Any, _: Walk, __: list[str], chance: random.Random) -> None:
    if isinstance(container, list):
        container.append(container[key])
    else:
        container[chance.choice(KEYS)] = json.loads(json.dumps(container[key]))


MUTATIONS: list[Callable[[Any, Any, Walk, list[str], random.Random], None]] = [
    *(_put_word, _put_word, _put_number, _put_number, _put_other, _put_raw),
    *(_delete, _rename, _transplant, _transplant, _wrap, _repeat),
]


def _mutate_lines(head: bytes, other: bytes, chance: random.Random) -> bytes:
    lines = head.split(b"\n")
    place = chance.randrange(len(lines))
    name, _, value = lines[place].partition(b": ")
    what = chance.randrange(4)
    if what == 0:
        lines[place] = name + b": " + chance.choice(WORDS).replace("\n", " ").encode("utf-8", "surrogatepass")
    elif what == 1:
        lines[place] = chance.choice(KEYS).encode() + b": " + value
    elif what == 2:
        lines.append(chance.choice(other.split(b"\n")))
    else:
        lines[place] = name + b": " + mutate_bytes(value, other, chance).replace(b"\n", b"")
    return b"\n".join(lines)


def mutate_bytes(text: bytes, other: bytes, chance: random.Random) -> bytes:
    """Bits turned, bytes taken out, and bytes put in, some of them of `other`."""
    made = bytearray(text)
    for _ in range(chance.choice((1, 1, 2, 4))):
        at = chance.randrange(len(made) + 1)
        what = chance.randrange(5)
        if what == 0:
            made[at:at] = bytes([chance.randrange(256)])
        elif what == 1:
            del made[at : at + chance.choice((1, 2, 8, 1000))]
        elif what == 2 and at < len(made):
            made[at] ^= 1 << chance.randrange(8)
        elif what == 3:
            start = chance.randrange(len(other) + 1)
            made[at:at] = other[start : start + chance.choice((4, 16, 64))]
        else:
            made[at:at] = chance.choice((b"\\u0000", b"\\ud800", b"{", b"[", b'"', b",", b"\\", b"\xff", b"\n", b"\0"))
    return bytes(made)
