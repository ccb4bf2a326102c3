"""Goal: unmodified clients log through ingest, and 2xx means that Kafka has it.

Method: `python -m ingest` against real Kafka and Postgres, driven with `helicone-helpers` in its three ways and with
plain HTTP; the records are read back from the topic.
"""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from helicone_helpers import HeliconeManualLogger

from ingest.event import partition_of
from tests.integration.ingest_service import Ingest
from tests.services import wait_until

SESSION = {
    "Helicone-Session-Id": "trip-1",
    "Helicone-Session-Name": "Trip",
    "Helicone-Session-Path": "/plan",
    "Helicone-User-Id": "alice",
    "Helicone-Property-Team": "travel",
}


async def test_log_request_of_the_helicone_package(ingest: Ingest, capsys: pytest.CaptureFixture[str]) -> None:
    logger = HeliconeManualLogger(api_key=ingest.key, logging_endpoint=ingest.url)
    request = {"_type": "tool", "toolName": "weather", "input": {"city": "Nürnberg"}}

    def operation(recorder: Any) -> str:
        recorder.append_results({"temperature": 18.5})
        return "done"

    assert await asyncio.to_thread(logger.log_request, request, operation, SESSION) == "done"
    assert capsys.readouterr().out == "", "the package prints what it could not log"
    [event] = await ingest.events()
    assert (event.kind, event.model, event.provider, event.status) == ("tool", "tool:weather", "CUSTOM", 200)
    assert (event.session_id, event.session_name, event.path) == ("trip-1", "Trip", "/plan")
    assert (event.user_id, event.properties) == ("alice", {"team": "travel"})
    assert event.ended_at >= event.started_at


async def test_log_builder_of_the_helicone_package(ingest: Ingest, capsys: pytest.CaptureFixture[str]) -> None:
    logger = HeliconeManualLogger(api_key=ingest.key, logging_endpoint=ingest.url)
    builder = logger.log_builder({"model": "gpt-4o", "messages": []}, additional_headers=SESSION)
    for content in ("Hel", "lo 🎿"):
        builder.add_chunk({"model": "gpt-4o-2024", "choices": [{"index": 0, "delta": {"content": content}}]})
    builder.add_chunk({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}})
    await builder.send_log()
    assert capsys.readouterr().out == ""
    [event] = await ingest.events()
    assert (event.kind, event.model, event.request_model) == ("llm", "gpt-4o-2024", "gpt-4o")
    assert (event.prompt_tokens, event.completion_tokens) == (9, 2)
    assert event.time_to_first_token_us is not None
    assert event.decoded_response_body is not None
    assert json.loads(event.decoded_response_body)["choices"][0]["message"]["content"] == "Hello 🎿"


async def test_send_log_of_the_helicone_package(ingest: Ingest, capsys: pytest.CaptureFixture[str]) -> None:
    logger = HeliconeManualLogger(api_key=ingest.key, headers=SESSION, logging_endpoint=f"{ingest.url}/")
    times = {"start_time": 1767225600.25, "end_time": 1767225601.75}
    answer = {"model": "claude-x", "usage": {"input_tokens": 5, "output_tokens": 7, "cache_read_input_tokens": 3}}
    await asyncio.to_thread(logger.send_log, "anthropic", {"model": "claude"}, answer, times)
    later = {name: seconds + 10 for name, seconds in times.items()}
    await asyncio.to_thread(logger.send_log, "openai", {"model": "gpt-4o"}, "plain text", later)
    assert capsys.readouterr().out == ""
    claude, plain = await ingest.events()
    assert (claude.provider, claude.model, claude.session_id) == ("ANTHROPIC", "claude-x", "trip-1")
    assert (claude.prompt_tokens, claude.completion_tokens, claude.cache_read_tokens) == (5, 7, 3)
    assert (claude.ended_at - claude.started_at).total_seconds() == 1.5
    assert (plain.provider, plain.model, plain.response_model) == ("OPENAI", "gpt-4o", None)


async def test_a_session_lies_in_one_partition_in_order(ingest: Ingest) -> None:
    async with ingest.client() as client:
        batch = [{"session_id": f"s{n % 7}", "name": str(n)} for n in range(700)]
        answer = await client.post("/v1/events", json=batch)
        assert answer.json()["accepted"] == 700
    records = await ingest.records()
    assert len(records) == 700
    for partition, key, _ in records:
        assert partition == partition_of(key, ingest.topic.partitions)
    names: dict[str, list[int]] = {}
    for _, _, record in records:
        assert record.session_id is not None
        names.setdefault(record.session_id, []).append(int(json.loads(bytes(record.content))["name"]))
    assert len(names) == 7
    assert all(order == sorted(order) for order in names.values())


async def test_a_large_body_comes_back_byte_for_byte_and_one_too_large_harms_nobody(ingest: Ingest) -> None:
    body = ('"' + "é\\u0000" * (1024 * 1024) + '"').encode()
    async with ingest.client() as client:
        event = b'{"session_id":"s","response":' + body + b"}"
        assert (await client.post("/v1/events", content=event)).status_code == 200
        too_large = b'{"session_id":"s","response":"' + b"x" * (15 * 1024 * 1024) + b'"}'
        refused = await client.post("/v1/events", content=too_large)
        assert (refused.status_code, refused.json()["code"]) == (413, "event_too_large")
        assert (await client.post("/v1/events", json={"session_id": "s"})).status_code == 200
    bodies = [bytes(record.response) for _, _, record in await ingest.records()]
    assert sorted(bodies, key=len) == [b"", body]


async def test_keys(ingest: Ingest) -> None:
    async with ingest.client() as client:
        wrong = {"Authorization": "Bearer sk-pathline-zzzzzzz-zzzzzzz-zzzzzzz-zzzzzzz"}
        assert (await client.post("/v1/events", json={}, headers=wrong)).status_code == 401
        assert (await client.post("/v1/events", json={})).status_code == 200


async def test_a_stop_answers_what_was_taken_and_exits_with_0(ingest: Ingest) -> None:
    async with ingest.client() as client:
        calls = [asyncio.create_task(client.post("/v1/events", json=[{}] * 1000)) for _ in range(8)]
        await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        assert await asyncio.to_thread(ingest.stage.terminate, within_seconds=8) == 0
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    answers = [answer for answer in outcomes if isinstance(answer, httpx.Response)]
    assert answers
    assert all(answer.status_code == 200 for answer in answers)
    accepted = {result["event_id"] for answer in answers for result in answer.json()["results"]}
    assert accepted <= {record.event_id for _, _, record in await ingest.records()}


async def test_a_stop_under_load_loses_no_answer_and_cuts_no_request_off(ingest: Ingest) -> None:
    accepted: set[str] = set()
    faults: list[Exception] = []

    async def log_until_refused() -> None:
        async with ingest.client() as client:
            while True:
                event_id = str(uuid4())
                try:
                    answer = await client.post("/v1/events", json={"event_id": event_id})
                except httpx.TransportError as fault:
                    # Nobody listens any more: that is how it should end.
                    faults.append(fault)
                    return
                assert answer.status_code == 200
                accepted.add(event_id)

    calls = [asyncio.create_task(log_until_refused()) for _ in range(16)]

    async def under_load() -> bool:
        return len(accepted) > 200

    await wait_until(under_load, seconds=20, what="every caller is at work")
    assert await asyncio.to_thread(ingest.stage.terminate, within_seconds=8) == 0
    await asyncio.gather(*calls)
    assert {type(fault) for fault in faults} == {httpx.ConnectError}
    assert accepted <= {record.event_id for _, _, record in await ingest.records()}


async def test_a_second_signal_exits_at_once(ingest: Ingest) -> None:
    async with ingest.client() as client:
        # A body that never ends keeps the first stop waiting.
        sending = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            yield b"["
            sending.set()
            await asyncio.Event().wait()

        call = asyncio.create_task(client.post("/v1/events", content=endless()))
        await sending.wait()
        assert (await client.get("/livez")).status_code == 200
        ingest.stage.process.send_signal(signal.SIGTERM)

        async def is_stopping() -> bool:
            return '"stopping"' in ingest.stage.output

        await wait_until(is_stopping, seconds=5, what="the first signal is noticed")
        assert await asyncio.to_thread(ingest.stage.terminate, within_seconds=1) == 1
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
