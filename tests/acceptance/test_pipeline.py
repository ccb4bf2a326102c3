"""From a client to an answer: what is logged over HTTP is what the read API says, through real Kafka and Postgres.

Method: ingest, one worker and query run as processes; every test logs through a public door and reads through another.
"""

import asyncio
import gzip
import json
from typing import Any

import httpx
from helicone_helpers import HeliconeManualLogger

from ingest.event import new_event_id
from tests.factories import now_us
from tests.pipeline import Pipeline
from tests.services import wait_until

MIB = 1024 * 1024
FORMS = ("object", "array", "ndjson", "gzip")


def event(**fields: Any) -> dict[str, Any]:
    at = now_us() / 1e6
    return {"session_id": "s-1", "path": "/plan", "started_at": at - 2, "ended_at": at - 1, **fields}


async def read(query: httpx.AsyncClient, path: str, body: dict[str, Any]) -> Any:
    answer = await query.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def requests_of(query: httpx.AsyncClient, session_id: str) -> list[dict[str, Any]]:
    wanted = {"properties": {"Helicone-Session-Id": {"equals": session_id}}}
    found = await read(query, "/v1/request/query", {"filter": wanted, "sort": {"created_at": "asc"}, "limit": 1000})
    assert isinstance(found, list)
    return found


def in_form(form: str, events: list[dict[str, Any]]) -> tuple[list[bytes], dict[str, str]]:
    """The bodies and headers that send `events` in one of the forms that the native door takes."""
    bodies = [json.dumps(one).encode() for one in events]
    array = b"[" + b",".join(bodies) + b"]"
    match form:
        case "object":
            return bodies, {}
        case "array":
            return [array], {}
        case "ndjson":
            return [b"\n".join(bodies) + b"\n"], {"content-type": "application/x-ndjson"}
        case _:
            return [gzip.compress(array)], {"content-encoding": "gzip"}


async def test_native_events_in_every_form_reach_the_session_queries(pipeline: Pipeline) -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 4}
    step = {"path": "/plan/weather", "kind": "tool", "name": "weather"}
    async with pipeline.clients() as (ingest, query):
        for form in FORMS:
            events = [
                event(session_id=form, model="gpt-4o", user_id="alice", session_name="Trip", usage=usage),
                event(session_id=form, status=500, **step),
                event(session_id=form, user_id="bob", cost_nanousd=1_500_000, **step),
            ]
            bodies, headers = in_form(form, events)
            for body in bodies:
                answer = await ingest.post("/v1/events", content=body, headers=headers)
                assert answer.status_code == 200, answer.text
                assert answer.json()["rejected"] == 0
        await pipeline.await_folded()
        sessions = await read(query, "/v1/session/query", {})
        assert {session["session_id"] for session in sessions} == set(FORMS)
        for session in sessions:
            assert session["session_name"] == "Trip"
            assert (session["total_requests"], session["prompt_tokens"], session["completion_tokens"]) == (3, 9, 4)
            # What bob reported, and nine tokens at 2.50 and four at 10 dollars a million, which alice did not.
            assert (session["user_ids"], session["total_cost"]) == (["alice", "bob"], 0.0015 + 0.0000625)
            detail = (await query.get(f"/v1/sessions/{session['session_id']}")).json()["data"]
            assert detail["status"] == "active"
            root, plan, weather = detail["paths"]
            assert [node["path"] for node in (root, plan, weather)] == ["/", "/plan", "/plan/weather"]
            assert (weather["own"]["count"], weather["own"]["error_count"]) == (2, 1)
            assert (root["own"]["count"], plan["own"]["count"], plan["subtree"]["count"]) == (0, 1, 3)
            assert (plan["own"]["total_duration_ms"], plan["subtree"]["total_duration_ms"]) == (1_000, 3_000)


async def test_a_wrong_key_is_401_and_a_batch_keeps_its_good_events(pipeline: Pipeline) -> None:
    async with pipeline.clients() as (ingest, query):
        answer = await ingest.post("/v1/events", json=event(), headers={"authorization": "Bearer " + pipeline.key[:-1]})
        assert answer.status_code == 401
        batch = [event(event_id=new_event_id(now_us())) for _ in range(100)]
        batch[37]["started_at"] = "yesterday"
        answer = await ingest.post("/v1/events", json=batch)
        assert answer.status_code == 200
        outcome = answer.json()
        assert (outcome["accepted"], outcome["rejected"], len(outcome["results"])) == (99, 1, 100)
        assert outcome["results"][36] == {"event_id": batch[36]["event_id"], "status": "accepted"}
        assert outcome["results"][37]["index"] == 37
        assert outcome["results"][37]["error"] == "Invalid started_at: 'yesterday' is not a date-time"
        await pipeline.await_folded()
        assert len(await requests_of(query, "s-1")) == 99


async def test_a_body_of_ten_mib_comes_back_byte_for_byte_and_a_larger_one_is_413(pipeline: Pipeline) -> None:
    content = "é\\u0000 12345678901234567890.10 ".encode() * (10 * MIB // 30)
    body = b'{ "text" : "' + content + b'", "n":1.50}'
    async with pipeline.clients() as (ingest, query):
        too_large = b'{"session_id":"s-1","request":"' + b"x" * (16 * MIB) + b'"}'
        answer = await ingest.post("/v1/events", content=too_large)
        assert (answer.status_code, answer.json()["error"]) == (413, "Event too large")
        answer = await ingest.post("/v1/events", content=b'{"session_id":"s-1","request":' + body + b"}")
        assert answer.status_code == 200, answer.text
        await pipeline.await_folded()
        wanted = {"filter": {"properties": {"Helicone-Session-Id": {"equals": "s-1"}}}}
        answer = await query.post("/v1/request/query-clickhouse", json=wanted)
        assert answer.status_code == 200
        assert body in answer.content


async def test_helicone_helpers_log_in_all_three_ways(pipeline: Pipeline) -> None:
    """The unmodified package, with nothing but its endpoint changed."""

    def log() -> None:
        logger = HeliconeManualLogger(api_key=pipeline.key, logging_endpoint=pipeline.ingest_url)
        headers = {
            "Helicone-Session-Id": "trip-1",
            "Helicone-Session-Name": "Trip",
            "Helicone-User-Id": "alice@example.com",
            "Helicone-Property-Environment": "production",
        }
        question = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Where to?"}]}
        completion = {
            "id": "c-1",
            "model": "gpt-4o-mini-2024-07-18",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Nürnberg"}}],
            "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15},
        }
        logger.log_request(
            question,
            lambda recorder: recorder.append_results(completion),
            {**headers, "Helicone-Session-Path": "/plan"},
            provider="openai",
        )
        builder = logger.log_builder(question, {**headers, "Helicone-Session-Path": "/plan/stream"})
        for text in ("Hel", "lo"):
            builder.add_chunk({"model": "gpt-4o-mini", "choices": [{"index": 0, "delta": {"content": text}}]})
        builder.add_chunk({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}})
        asyncio.run(builder.send_log())
        at = now_us() / 1e6
        logger.send_log(
            None,
            {"_type": "tool", "toolName": "weather", "input": {"city": "Nürnberg"}},
            {"temperature": 18.5},
            {
                "start_time": at - 1.5,
                "end_time": at,
                "additional_headers": {**headers, "Helicone-Session-Path": "/plan/weather"},
            },
        )

    await asyncio.to_thread(log)
    async with pipeline.clients() as (_, query):
        await pipeline.await_folded()
        found = {one["properties"]["Helicone-Session-Path"]: one for one in await requests_of(query, "trip-1")}
        assert set(found) == {"/plan", "/plan/stream", "/plan/weather"}
        for one in found.values():
            assert one["request_user_id"] == "alice@example.com"
            assert one["properties"]["environment"] == "production"
            assert one["properties"]["Helicone-Session-Name"] == "Trip"
            assert one["response_status"] == 200
        plan, stream, weather = (found[path] for path in ("/plan", "/plan/stream", "/plan/weather"))
        assert (plan["provider"], plan["model"]) == ("OPENAI", "gpt-4o-mini-2024-07-18")
        assert (plan["prompt_tokens"], plan["completion_tokens"]) == (12, 3)
        assert plan["request_body"]["messages"][0]["content"] == "Where to?"
        assert stream["provider"] == "CUSTOM"
        assert (stream["prompt_tokens"], stream["completion_tokens"]) == (9, 2)
        assert stream["response_body"]["choices"][0]["message"]["content"] == "Hello"
        assert stream["time_to_first_token"] is not None
        assert weather["model"] == "tool:weather"
        assert weather["response_body"]["temperature"] == 18.5
        assert 1_400 <= weather["delay_ms"] <= 1_600
        (session,) = await read(query, "/v1/session/query", {"nameEquals": "Trip"})
        assert (session["total_requests"], session["total_tokens"]) == (3, 26)


async def test_a_session_is_ended_and_freshness_says_how_far_it_is(pipeline: Pipeline) -> None:
    async with pipeline.clients() as (ingest, query):
        assert (await ingest.post("/v1/events", json=event(session_id="a/b"))).status_code == 200
        ended = await ingest.post("/v1/sessions/a%2Fb/end", json={"outcome": "failed", "reason": "gave up"})
        assert ended.status_code == 200, ended.text
        await pipeline.await_folded()
        assert (await query.get("/v1/sessions/a%2Fb")).json()["data"]["status"] == "failed"
        (row,) = await pipeline.fetch("SELECT outcome_reason FROM sessions WHERE session_id = 'a/b'")
        assert row["outcome_reason"] == "gave up"

        async def caught_up() -> bool:
            freshness = (await query.get("/v1/freshness")).json()["data"]
            partitions = freshness["partitions"]
            # Twelve of each topic.
            return len(partitions) == 24 and all(p["lag"] == 0 for p in partitions) and freshness["as_of"] is not None

        await wait_until(caught_up, seconds=10, what="freshness shows no lag")
