"""Sessions, steps, the handler of `logging` and the ASGI middleware say what happened, where and how it ended."""

import asyncio
import logging
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from pathline import SessionHandler, SessionMiddleware, current_session
from tests.unit.client.door import Door, opened


def by_path(door: Door) -> dict[str, dict[str, Any]]:
    return {event["path"]: event for event in door.events}


def test_relative_steps_nest_and_absolute_ones_do_not() -> None:
    with opened() as door, door.client() as client:
        with client.session(name="Trip", user_id="alice", properties={"tier": "pro"}) as session:
            with session.step("/plan", kind="span"):
                with session.step("search", kind="tool", name="web", properties={"tier": "free"}) as step:
                    step.request, step.response = {"q": "castle"}, [1, 2]
                with session.step("/elsewhere"):
                    client.log(name="inner")
            assert current_session() is session
        assert current_session() is None
        assert client.flush(10)

        assert [event["path"] for event in door.events] == ["/plan/search", "/elsewhere", "/elsewhere", "/plan"]
        search, inner, _, plan = door.events
        assert {event["session_id"] for event in door.events} == {session.id}
        assert {event["session_name"] for event in door.events} == {"Trip"}
        assert (search["request"], search["response"], search["name"]) == ({"q": "castle"}, [1, 2], "web")
        assert (search["properties"], plan["properties"]) == ({"tier": "free"}, {"tier": "pro"})
        assert (inner["name"], inner["user_id"]) == ("inner", "alice")
        assert plan["started_at"] <= search["started_at"] <= search["ended_at"] <= plan["ended_at"]


def test_an_exception_is_noted_and_goes_on() -> None:
    with opened() as door, door.client() as client:
        with pytest.raises(KeyError), client.session() as session, session.step("/a"), session.step("b"):
            raise KeyError("missing")
        assert client.flush(10)

        for event in door.events:
            assert (event["status"], event["error"]) == (500, {"type": "KeyError", "message": "'missing'"})


async def test_tasks_that_run_at_the_same_time_nest_each_on_their_own() -> None:
    async def one(name: str, ready: asyncio.Barrier) -> None:
        session = current_session()
        assert session is not None
        async with session.step(name):
            await ready.wait()
            async with session.step("inner"):
                await ready.wait()

    with opened() as door, door.client() as client:
        async with client.session(id="s-1") as session, session.step("/outer"):
            ready = asyncio.Barrier(3)
            await asyncio.gather(*(one(name, ready) for name in "abc"))
        assert await asyncio.to_thread(client.flush, 10)

        inner = {f"/outer/{name}/inner" for name in "abc"}
        assert set(by_path(door)) == {"/outer", *(f"/outer/{name}" for name in "abc"), *inner}


async def test_a_cancelled_step_says_so() -> None:
    with opened() as door, door.client() as client:
        begun = asyncio.Event()

        async def wait() -> None:
            async with client.session() as session, session.step("/wait"):
                begun.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(wait())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(client.flush, 10)

        assert door.events[0]["status"] == -3


def test_the_end_of_a_session_follows_its_events() -> None:
    with opened() as door, door.client() as client:
        with client.session(id="a/b") as session:
            client.log(name="a")
            session.end("failed", "gave up")
        assert client.flush(10)

        assert door.paths == ["/v1/events?results=errors", "/v1/sessions/a%2Fb/end"]
        assert (door.bodies[1]["outcome"], door.bodies[1]["reason"]) == ("failed", "gave up")


def test_log_records_are_events_of_the_current_session() -> None:
    with opened() as door, door.client() as client:
        log, handler = logging.Logger("app.tools"), SessionHandler(client, logging.INFO)
        log.addHandler(handler)
        with client.session(id="s-1") as session, session.step("/plan"):
            log.debug("not this one")
            log.info("found %d", 3)
            try:
                raise ValueError("bad")
            except ValueError:
                log.exception("failed")
        logging.Logger("pathline").addHandler(handler)
        assert client.flush(10)

        found, failed, _ = door.events
        assert (found["kind"], found["name"], found["request"]) == ("data", "app.tools", {"message": "found 3"})
        assert (found["session_id"], found["path"]) == ("s-1", "/plan")
        assert "error" not in found
        assert failed["error"] == {"type": "ValueError", "message": "bad"}


async def test_each_request_of_a_web_service_is_an_event_of_its_session() -> None:
    async def hello(_: Request) -> Response:
        session = current_session()
        assert session is not None
        with session.step("look-up"):
            return PlainTextResponse("hello")

    async def stream(_: Request) -> Response:
        async def chunks() -> Any:
            yield b"ab"
            yield b"cde"

        return StreamingResponse(chunks())

    async def broken(_: Request) -> Response:
        raise RuntimeError("oh no")

    routes = [Route("/hello", hello), Route("/stream", stream), Route("/broken", broken)]
    with opened() as door, door.client() as client:
        app: Any = SessionMiddleware(Starlette(routes=routes), client, session_name="web")
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as browser:
            first = await browser.get("/hello?secret=1", headers={"Pathline-Session-Id": "s-1"})
            assert (first.text, first.headers["pathline-session-id"]) == ("hello", "s-1")
            second = await browser.get("/stream")
            assert (second.text, second.headers["pathline-session-id"] != "s-1") == ("abcde", True)
            await browser.get("/broken")
        assert await asyncio.to_thread(client.flush, 10)

        events = by_path(door)
        assert events["/hello/look-up"]["session_id"] == events["/hello"]["session_id"] == "s-1"
        assert events["/hello"]["request"] == {"method": "GET", "path": "/hello"}
        assert events["/stream"]["response"] == {"status": 200, "body_bytes": 5}
        assert events["/stream"]["session_id"] == second.headers["pathline-session-id"]
        assert (events["/broken"]["status"], events["/broken"]["error"]["message"]) == (500, "oh no")
        assert "secret" not in str(door.events)
