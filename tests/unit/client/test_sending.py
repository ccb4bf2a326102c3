"""Events reach the server once, and what does not is counted. Method: a server on loopback answers by script."""

import os
import random
import threading
import time
import tracemalloc
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from pathline import Client, Limits
from pathline.transport import Answer as Received
from pathline.transport import retry_after_seconds
from pathline.verdict import Again, Refused, verdict_of, wait_seconds
from tests.services import free_ports
from tests.unit.client.door import QUICK, Answer, accept, opened

MIB = 1024 * 1024


def answering(*first: Answer) -> Any:
    """A script that answers these, then takes everything."""
    return lambda number, body: first[number - 1] if number <= len(first) else accept(number, body)


def test_events_arrive_in_order_with_the_ids_that_log_gave() -> None:
    with opened() as door, door.client() as client:
        ids = [client.log(session_id="s-1", path="/plan", request={"n": number}) for number in range(1_200)]
        assert client.flush(10)

        assert [event["event_id"] for event in door.events] == ids
        assert {uuid.UUID(text).version for text in ids if text} == {7}
        assert [event["request"]["n"] for event in door.events] == list(range(1_200))
        assert max(len(body) for body in door.bodies) <= QUICK.batch_events_max
        assert (client.stats().sent, client.stats().queued, client.stats().dropped) == (1_200, 0, {})


def test_an_event_without_times_happened_when_it_was_logged() -> None:
    with opened() as door, door.client() as client:
        client.log(name="now")
        client.log(name="then", ended_at=datetime(2026, 1, 1, tzinfo=UTC))
        assert client.flush(10)

        now, then = door.events
        assert abs(now["started_at"] - time.time()) < 60
        assert "started_at" not in then and then["ended_at"] == "2026-01-01T00:00:00+00:00"


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504, 500])
def test_a_refusal_for_now_is_tried_again_until_it_is_taken(status: int) -> None:
    with opened(answering(Answer(status, {}), Answer(status, {}))) as door, door.client() as client:
        client.log(name="a")
        assert client.flush(10)

        assert (client.stats().sent, client.stats().retried, len(door.bodies)) == (1, 2, 3)
        assert len({event["event_id"] for event in door.events}) == 1


def test_retry_after_is_waited_for() -> None:
    with opened(answering(Answer(503, {}, {"Retry-After": "1"}))) as door, door.client() as client:
        client.log(name="a")
        assert client.flush(10)

        assert door.times[1] - door.times[0] >= 1


@pytest.mark.parametrize(("status", "reason"), [(400, "rejected"), (401, "unauthorized"), (403, "unauthorized")])
def test_a_refusal_for_good_is_not_tried_again(status: int, reason: Any) -> None:
    with opened(answering(Answer(status, {"error": "no", "code": "some_code"}))) as door, door.client() as client:
        client.log(name="a")
        assert client.flush(10)

        assert (client.stats().dropped, client.stats().retried, len(door.bodies)) == ({reason: 1}, 0, 1)


def test_a_rejected_event_is_counted_by_its_code_and_the_others_are_sent() -> None:
    outcome = {"results": [{"index": 1, "status": "rejected", "error": "x", "code": "unknown_field"}]}
    with opened(answering(Answer(200, outcome))) as door, door.client() as client:
        for _ in range(3):
            client.log(name="a")
        assert client.flush(10)

        assert len(door.bodies) == 1
        assert (client.stats().sent, client.stats().dropped) == (2, {"rejected": 1})
        assert client.stats().rejections == {"unknown_field": 1}


def test_a_batch_that_is_too_large_is_split_until_only_what_is_too_large_is_dropped() -> None:
    def script(number: int, body: Any) -> Answer:
        too_large = len(body) > 3 or any(event["name"] == "large" for event in body)
        return Answer(413, {"error": "Payload too large"}) if too_large else accept(number, body)

    with opened(script) as door, door.client() as client:
        for number in range(20):
            client.log(name="large" if number == 7 else "small")
        assert client.flush(10)

        assert (client.stats().sent, client.stats().dropped) == (19, {"too_large": 1})
        assert len(door.bodies) < 20 * 2


def test_a_connection_that_the_server_closes_while_idle_is_replaced() -> None:
    with opened(lambda number, body: accept(number, body)._replace(headers={"Connection": "close"})) as door:
        with door.client() as client:
            for name in ("a", "b", "c"):
                client.log(name=name)
                assert client.flush(10)

        assert [event["name"] for event in door.events] == ["a", "b", "c"]
        assert client.stats().retried == 0


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def test_nothing_that_is_logged_raises_and_everything_is_counted() -> None:
    circle: list[Any] = []
    circle.append(circle)
    with opened() as door, door.client() as client:
        log: Any = client.log
        assert log("positional") is None
        assert log(event_id="no-uuid") is None
        for body in (object(), circle, {(1, 2): 3}):
            log(request=body)
        log(name="x" * (16 * 1024 * 1024))
        log(name="good", request={"at": datetime(2026, 1, 1, tzinfo=UTC), "id": uuid.UUID(int=0), "text": "\ud800"})
        log(name="fair", request=[2**70, 1.5], response={1: None, "deep": nested(300)})
        log(name="nan", request=[float("nan"), 1.5])
        assert client.flush(20)
        client.close()
        assert client.log(name="late") is None

        good, fair, nan = door.events
        assert good["request"] == {"at": "2026-01-01T00:00:00+00:00", "id": str(uuid.UUID(int=0)), "text": "\ud800"}
        assert fair["request"] == [2**70, 1.5]
        assert nan["request"] == [None, 1.5]
        assert fair["response"] == {"1": None, "deep": nested(300)}
        expected = {"rejected": 2, "not_serialisable": 3, "too_large": 1, "closed": 1}
        assert (client.stats().sent, client.stats().dropped) == (3, expected)


def test_with_the_server_away_the_queue_is_bounded_and_every_call_is_counted() -> None:
    client = Client(f"http://127.0.0.1:{free_ports(1)[0]}", "sk-test", limits=QUICK)
    ids = [client.log(session_id="s-1", request={"text": "x" * 100}) for _ in range(100_000)]
    stats = client.stats()

    assert stats.queued == stats.queue_capacity == QUICK.queue_events_max
    assert stats.dropped == {"queue_full": 90_000}
    assert sum(one is not None for one in ids) == 10_000
    assert not client.close(0.05)
    assert client.stats().dropped == {"queue_full": 90_000, "shutdown_timeout": 10_000}
    assert client.stats().queued == 0


def test_the_queue_is_bounded_in_bytes_too() -> None:
    limits = Limits(queue_bytes_max=1_000_000)
    client = Client(f"http://127.0.0.1:{free_ports(1)[0]}", "sk-test", limits=limits)
    taken = [client.log(request={"messages": [{"content": "x" * 50_000}] * 2}) for _ in range(100)]

    assert sum(one is not None for one in taken) == 9
    client.close(0)


def test_memory_stays_bounded_with_the_server_away_also_when_bodies_are_large() -> None:
    body = "x" * 1_000_000
    client = Client(f"http://127.0.0.1:{free_ports(1)[0]}", "sk-test", limits=QUICK)
    tracemalloc.start()
    try:
        for number in range(100_000):
            client.log(session_id="s-1", request={"text": body, "n": number})
        held_bytes, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert 50 * MIB < held_bytes < QUICK.queue_bytes_max + 8 * MIB
    # One batch is under way meanwhile, as JSON and packed.
    assert peak_bytes < QUICK.queue_bytes_max + 24 * MIB
    assert client.stats().dropped["queue_full"] > 99_000
    client.close(0)


def test_what_was_logged_is_sent_though_the_caller_changes_it_afterwards() -> None:
    slow = Limits(batch_age_seconds=60)
    messages: list[Any] = []
    fields: Any = {"name": "a", "properties": {"tier": "pro"}}
    with opened() as door, door.client(slow) as client:
        for number in range(3):
            messages.append({"role": "user", "content": f"question {number}"})
            client.log(request={"messages": messages})
        client.log(**fields)
        fields["properties"]["tier"] = "free"
        messages[0]["content"] = "changed"
        messages.append(datetime(2026, 1, 1, tzinfo=UTC))
        client.log(request={"messages": messages})
        messages.clear()
        assert client.flush(10)

        sent = [event["request"]["messages"] for event in door.events if "request" in event]
        assert [len(some) for some in sent] == [1, 2, 3, 4]
        assert sent[2][0]["content"] == "question 0"
        assert sent[3][0]["content"] == "changed" and sent[3][3] == "2026-01-01T00:00:00+00:00"
        assert door.events[3]["properties"] == {"tier": "pro"}


def test_threads_that_log_at_the_same_time_lose_nothing() -> None:
    with opened() as door, door.client() as client:

        def log_many() -> None:
            for _ in range(1_000):
                client.log(name="a")

        threads = [threading.Thread(target=log_many) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert client.flush(20)

        assert len({event["event_id"] for event in door.events}) == len(door.events) == 8_000


@pytest.mark.parametrize("answered_before", [0, 1], ids=["new connection", "used connection"])
def test_close_breaks_off_a_request_that_is_not_answered(answered_before: int) -> None:
    released = threading.Event()

    def script(number: int, body: Any) -> Answer:
        if number > answered_before:
            released.wait(10)
        return accept(number, body)

    with opened(script) as door:
        client = door.client()
        for _ in range(answered_before):
            client.log(name="answered")
            assert client.flush(10)
        client.log(name="not answered")
        began = time.monotonic()
        assert not client.close(0.2)
        took_seconds = time.monotonic() - began
        released.set()

    assert took_seconds < 1
    assert (client.stats().sent, client.stats().dropped) == (answered_before, {"shutdown_timeout": 1})


def test_properties_that_are_none_harm_nobody() -> None:
    with opened() as door, door.client() as client:
        with client.session(properties={"tier": "pro"}) as session, session.step("/a") as step:
            wrong: Any = "none"
            step.properties = wrong
        assert client.flush(10)

        assert door.events[0]["properties"] == "none"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_after_a_fork_both_sides_send_their_own_events_once() -> None:
    slow = Limits(batch_age_seconds=60)
    with opened() as door, door.client(slow) as client:
        ids = {client.log(name="before")}
        child = os.fork()
        if child == 0:
            try:
                made = client.log(name="child")
                fine = client.flush(10) and client.stats().sent == 1 and made not in ids
            finally:
                os._exit(0 if fine else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        client.log(name="parent")
        assert client.flush(10)

        assert sorted(event["name"] for event in door.events) == ["before", "child", "parent"]
        assert len({event["event_id"] for event in door.events}) == 3


def test_waiting_grows_is_spread_and_never_less_than_the_server_asked_for() -> None:
    jitter, limits = random.Random(7), Limits()
    waits = [[wait_seconds(attempt, None, limits, jitter) for _ in range(200)] for attempt in (1, 4, 50)]

    assert [max(some) <= bound for some, bound in zip(waits, (0.2, 1.6, 30), strict=True)] == [True] * 3
    assert all(min(some) < max(some) / 4 for some in waits)
    assert wait_seconds(1, 7, limits, jitter) >= 7
    assert wait_seconds(1, 1e9, limits, jitter) <= limits.retry_after_max_seconds + 0.2


def test_a_fault_of_the_server_is_not_tried_for_ever() -> None:
    assert isinstance(verdict_of(Received(500, b"oops"), 4), Again)
    assert verdict_of(Received(500, b"oops"), 5) == Refused("rejected", "http_500")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("3", 3.0), ("Thu, 01 Jan 1970 00:01:40 GMT", 90.0), ("soon", None), (None, None), ("-1", None)],
)
def test_retry_after_is_a_number_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header, 10.0) == seconds


@pytest.mark.parametrize(("url", "key"), [("ftp://x", "k"), ("x", "k"), ("http://x", ""), ("http://x", "a\nb")])
def test_an_address_or_key_that_cannot_be_one_is_refused_at_once(url: str, key: str) -> None:
    with pytest.raises(ValueError):
        Client(url, key)


def test_a_bound_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="batch_events_max"):
        Limits(batch_events_max=0)
