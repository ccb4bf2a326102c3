"""The schema of the native event is what ingest reads, and the examples of the pages are such events."""

import json
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from ingest.decode.native import NativeEvent
from tests.docs.event_schema import PAGE, RULES, schema, text
from tests.docs.fences import examples
from tests.tidy.checkout import ROOT
from tests.unit.ingest.doors import make_doors

FULL = ROOT / "tests/fuzz/corpus/native/full.json"


def samples() -> list[Any]:
    """Every JSON event of the page, and one with every field."""
    found = [json.loads(one.text) for one in examples(ROOT / "docs/ingest-api.md") if one.language == "json"]
    return [*found, json.loads(FULL.read_text(encoding="utf-8"))]


def test_the_file_is_what_the_struct_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == text(), "run `python -m tests.docs.event_schema`"
    Draft202012Validator.check_schema(schema())
    assert list(RULES) == [field.name for field in msgspec.structs.fields(NativeEvent)]


@pytest.mark.parametrize("event", samples(), ids=lambda event: event.get("name"))
async def test_the_examples_are_events_of_the_schema_and_are_taken(event: dict[str, Any]) -> None:
    Draft202012Validator(schema()).validate(event)
    assert (await make_doors().client.post("/v1/events", json=event)).status_code == 200


@pytest.mark.parametrize(
    "event",
    [
        {"sesion_id": "s"},
        {"event_id": "0"},
        {"kind": "session_end"},
        {"status": 1000},
        {"status": 200.5},
        {"session_id": "x" * 1025},
        {"session_id": 5},
        {"error": "text"},
        {"error": {"kind": "x"}},
        {"cost_usd": -1},
        {"properties": {"a": {}}},
        {"properties": [1]},
        {"time_to_first_token_ms": -1},
    ],
    ids=str,
)
async def test_what_the_schema_refuses_the_door_refuses(event: dict[str, Any]) -> None:
    assert not Draft202012Validator(schema()).is_valid(event)
    assert (await make_doors().client.post("/v1/events", json=event)).status_code == 400
