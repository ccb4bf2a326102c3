"""Logs as Helicone's clients send them, and records and events made of them by hand."""

import copy
import json
from typing import Any

import msgspec

from ingest.decode.record import decode
from ingest.event import Event, Record
from tests.unit.ingest.doors import Doors

SMALLEST = {"providerRequest": {"url": "custom-model-nopath"}, "providerResponse": {"status": 200}}
EXAMPLE: dict[str, Any] = {
    "providerRequest": {
        "url": "custom-model-nopath",
        "json": {"_type": "tool", "toolName": "weather_api", "input": {"location": "Nürnberg"}},
        "meta": {"Helicone-Property-Team": "travel"},
    },
    "providerResponse": {
        "json": {"_type": "tool", "toolName": "weather_api", "temperature": 18.5},
        "status": 200,
        "headers": {"content-type": "application/json"},
    },
    "timing": {
        "startTime": {"seconds": 1767225600, "milliseconds": 500},
        "endTime": {"seconds": 1767225601, "milliseconds": 750},
    },
}

ID = "3b241101-e2bb-4255-8caf-4136c566a962"
RECEIVED_AT_US = 1_795_514_400_000_000


def record(source: str, content: Any, **fields: Any) -> Record:
    """A record of source `source`; `request` and `response` are given as values."""
    for side in {"request", "response"} & fields.keys():
        fields[side] = msgspec.Raw(json.dumps(fields[side]).encode())
    built = Record(1, source, 1, 1, ID, RECEIVED_AT_US, msgspec.Raw(json.dumps(content).encode()))
    return msgspec.structs.replace(built, **fields)


def log(request: Any = None, response: Any = None, *, provider: str = "CUSTOM", **content: Any) -> Event:
    sent = {
        "providerRequest": {"url": content.pop("url", "u")},
        "providerResponse": {"status": content.pop("status", 200)},
    }
    return decode(record(f"helicone.{provider}", sent | content, request=request or {}, response=response))


def stream(text: str, *, provider: str = "OPENAI", status: int = 200) -> Event:
    return log({}, text, provider=provider, status=status, responseIsText=True)


def body_of(event: Event) -> Any:
    assert event.decoded_response_body is not None
    return json.loads(event.decoded_response_body)


async def post(doors: Doors, body: Any, path: str = "/custom/v1/log", headers: Any = None) -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await doors.client.post(path, content=content, headers=headers)


def changed(path: str, value: Any, log: dict[str, Any] = EXAMPLE) -> dict[str, Any]:
    """The log with one member set, or removed when the value is `...`."""
    body = copy.deepcopy(log)
    *parents, last = path.split(".")
    target = body
    for parent in parents:
        target = target[parent]
    if value is ...:
        del target[last]
    else:
        target[last] = value
    return body
