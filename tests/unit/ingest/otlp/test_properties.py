"""Goal: properties are those of otlp.md section 11. Method: all sources in one span, then the limits."""

from typing import Any

import pytest

from tests.unit.ingest.otlp.spans import event_of, request_of

LLM = {"langfuse.observation.type": "generation"}


def test_properties() -> None:
    attributes = {
        "Helicone-Property-Team": "travel",
        "traceloop.association.properties.helicone-property-Tier": 1,
        "langfuse.trace.metadata.Helicone-Property-Flag": True,
        "Helicone-Prompt-Id": "p1",
        "Helicone-Posthog-Key": "secret",
        "Helicone-Auth": "Bearer secret",
        "Helicone-User-Id": "u",
        "Helicone-Request-Id": "no uuid",
        "traceloop.association.properties.a": "1",
        "langfuse.trace.metadata.b": {"x": 1},
        "langfuse.observation.metadata.c": "3",
        "langsmith.metadata.d": "4",
        "langsmith.metadata.session_id": "s",
        "ai.telemetry.metadata.e": "x\0y",
        "metadata": '{"f": "6", "g": [1]}',
        "langfuse.trace.tags": '["t1", "t2"]',
        "gen_ai.agent.name": "planner",
        "gen_ai.agent.id": "ag",
        "gen_ai.tool.call.id": "tc",
        "session.previous_id": "before",
        "langfuse.environment": "prod",
    }
    headers = {"helicone-property-team": "other", "helicone-property-region": "eu", "helicone-user-id": "head"}
    event = event_of(LLM | attributes, headers=headers, resource={"service.name": "svc", "deployment.environment": "r"})
    assert event.properties == {
        "Team": "travel",
        "Tier": "1",
        "Flag": "true",
        "Helicone-Prompt-Id": "p1",
        "Helicone-Sent-To-Posthog": "true",
        "Helicone-Request-Id": "no uuid",
        "a": "1",
        "b": '{"x":1}',
        "c": "3",
        "d": "4",
        "e": "xy",
        "f": "6",
        "g": "[1]",
        "tags": "t1,t2",
        "gen_ai.agent.name": "planner",
        "gen_ai.agent.id": "ag",
        "gen_ai.tool.call.id": "tc",
        "session.previous_id": "before",
        "service.name": "svc",
        "environment": "prod",
        "region": "eu",
    }
    assert (event.session_id, event.user_id) == ("s", "u")
    assert request_of(event)["otel"]["attributes"] == LLM
    assert "secret" not in str(event)


@pytest.mark.parametrize("name", ["tag.tags", "langfuse.trace.tags", "langsmith.span.tags"])
@pytest.mark.parametrize(("value", "tags"), [(["a", "b"], "a,b"), ('["a", "b"]', "a,b"), ("a, b", "a, b")])
def test_tags(name: str, value: Any, tags: str) -> None:
    assert event_of(LLM | {name: value}).properties == {"tags": tags}


@pytest.mark.parametrize("name", ["deployment.environment.name", "langfuse.environment", "deployment.environment"])
def test_the_environment_of_a_span_or_its_resource(name: str) -> None:
    assert event_of(LLM | {name: "e"}).properties == {"environment": "e"}
    assert event_of(LLM, resource={name: "e"}).properties == {"environment": "e"}


def test_properties_over_a_limit_stay_in_the_body_and_are_flagged() -> None:
    many = {f"Helicone-Property-{number}": "x" for number in range(205)}
    event = event_of(LLM | many, headers={"helicone-property-more": "y"})
    assert len(event.properties) == 200
    assert event.flags == ["properties_over_limit"]
    left = request_of(event)["otel"]["attributes"]
    assert [name for name in left if name not in LLM] == [*list(many)[200:], "more"]
    for long in ({"Helicone-Property-a": "é" * 8_193}, {f"Helicone-Property-{'n' * 257}": "x"}):
        event = event_of(LLM | long)
        assert (event.properties, event.flags) == ({}, ["properties_over_limit"])
        assert request_of(event)["otel"]["attributes"] == LLM | long
    assert event_of(LLM | {"Helicone-Property-a": "é" * 8_192}).flags == []
