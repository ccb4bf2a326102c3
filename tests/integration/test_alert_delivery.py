"""Alerts reach their webhook at least once, signed, under one id: on real Postgres and a real HTTP receiver.

Method: rows of alerts, a receiver that answers as the test says, and runs of the leader's job.
"""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from typing import Any, cast
from uuid import uuid4

import asyncpg
import pytest

from infra.postgres import make_pool
from infra.projects import change_settings, ensure_project
from processors.alert_delivery import ATTEMPTS_MAX, LEASE_SECONDS, deliver_alerts
from tests.webhooks import Receiver, listening

SIGNED_WITH = "0123456789abcdef"
INSERT = """
    INSERT INTO alerts (project_id, session_key, rule, kind, threshold, session_id, session_name, request_count,
        error_count, cost_nanousd, duration_us)
    VALUES ($1, $2, 'costly', 'cost_above', 0.5, 's-1', 'Trip', 3, 1, 600000000, 1500)
"""


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with listening(Receiver()) as receiver:
        yield receiver


@pytest.fixture
async def pool(database: str, receiver: Receiver) -> AsyncIterator[asyncpg.Pool]:
    pool = await make_pool(database, application_name="test-alerts", connections_max=3, statement_timeout_ms=20_000)
    await wire(pool, "one", receiver)
    yield pool
    await pool.close()


async def wire(pool: asyncpg.Pool, project: str, receiver: Receiver) -> int:
    """A project with this webhook; its id."""
    async with pool.acquire() as pooled:
        connection = cast(asyncpg.Connection, pooled)
        project_id = await ensure_project(connection, project)
        webhook = {"url": f"http://127.0.0.1:{receiver.port}/hook?token=t0ken", "secret": SIGNED_WITH}
        await change_settings(connection, project_id, {"webhook": webhook})
        return project_id


async def alert(pool: asyncpg.Pool, project_id: int = 1, *, count: int = 1) -> None:
    await pool.executemany(INSERT, [(project_id, uuid4()) for _ in range(count)])


async def states(pool: asyncpg.Pool) -> list[tuple[Any, ...]]:
    rows = await pool.fetch("SELECT project_id, state, attempts, last_error FROM alerts ORDER BY project_id")
    return [tuple(row) for row in rows]


async def let_be_due(pool: asyncpg.Pool) -> None:
    await pool.execute("UPDATE alerts SET next_attempt_at = now()")


async def pause_seconds(pool: asyncpg.Pool) -> float:
    return float(await pool.fetchval("SELECT extract(epoch FROM next_attempt_at - now()) FROM alerts"))


async def test_an_alert_is_posted_once_and_its_signature_holds(pool: asyncpg.Pool, receiver: Receiver) -> None:
    await alert(pool)
    await deliver_alerts(pool)
    await let_be_due(pool)
    await deliver_alerts(pool)
    ((headers, body),) = receiver.posts
    content = json.loads(body)
    assert content == {
        "alert_id": headers["pathline-alert-id"], "fired_at": content["fired_at"], "project": "one", "rule": "costly",
        "kind": "cost_above", "threshold": 0.5, "session_id": "s-1", "session_name": "Trip", "request_count": 3,
        "error_count": 1, "cost_nanousd": 600_000_000, "duration_ms": 1.5,
    }  # fmt: skip
    stamp, _, given = headers["pathline-signature"].removeprefix("t=").partition(",v1=")
    assert abs(int(stamp) - time.time()) < 60
    assert hmac.new(SIGNED_WITH.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest() == given
    assert await states(pool) == [(1, "delivered", 1, None)]


@pytest.mark.parametrize("answer", ["500 Broken", "404 Nothing here", "302 Found\r\nLocation: /elsewhere"])
async def test_what_is_not_2xx_is_tried_again_and_longer_apart(
    pool: asyncpg.Pool, receiver: Receiver, answer: str
) -> None:
    receiver.answer = answer
    await alert(pool)
    pauses = []
    for _ in range(3):
        await deliver_alerts(pool)
        pauses.append(await pause_seconds(pool))
        # Not before it is due.
        await deliver_alerts(pool)
        await let_be_due(pool)
    assert await states(pool) == [(1, "pending", 3, f"answered {answer[:3]}")]
    assert 3 < pauses[0] < pauses[1] < pauses[2] < 26
    receiver.answer = "204 Taken"
    await deliver_alerts(pool)
    assert len(receiver.posts) == 4
    assert len(set(receiver.ids)) == 1
    assert len({body for _, body in receiver.posts}) == 1
    assert await states(pool) == [(1, "delivered", 4, None)]


async def test_a_receiver_that_says_nothing_is_given_up_in_time(
    pool: asyncpg.Pool, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processors.alert_delivery.POST_SECONDS_MAX", 0.2)
    receiver.answer = None
    await alert(pool)
    await deliver_alerts(pool)
    assert [row[:3] for row in await states(pool)] == [(1, "pending", 1)]
    receiver.answer = "200 OK"
    await let_be_due(pool)
    await deliver_alerts(pool)
    assert [row[:3] for row in await states(pool)] == [(1, "delivered", 2)]


async def test_it_ends(pool: asyncpg.Pool, receiver: Receiver) -> None:
    receiver.answer = "500 Broken"
    await alert(pool)
    for _ in range(2):
        await pool.execute(
            "UPDATE alerts SET next_attempt_at = now(), attempts = greatest(attempts, $1)", ATTEMPTS_MAX - 1
        )
        await deliver_alerts(pool)
        assert await states(pool) == [(1, "failed", ATTEMPTS_MAX, "answered 500")]
    assert len(receiver.posts) == 1


async def test_a_leader_that_dies_before_it_marks_a_delivery_leaves_one_that_comes_again(
    pool: asyncpg.Pool, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dies(*_: object) -> None:
        raise ConnectionResetError("the leader is dead")

    await alert(pool)
    with monkeypatch.context() as patched, pytest.RaisesGroup(ConnectionResetError):
        patched.setattr("processors.alert_delivery._settle", dies)
        await deliver_alerts(pool)
    assert await states(pool) == [(1, "pending", 1, None)]
    assert LEASE_SECONDS - 10 < await pause_seconds(pool) <= LEASE_SECONDS
    await let_be_due(pool)
    await deliver_alerts(pool)
    assert len(receiver.posts) == 2
    assert receiver.posts[0][1] == receiver.posts[1][1]
    assert len(set(receiver.ids)) == 1
    assert await states(pool) == [(1, "delivered", 2, None)]


async def test_two_leaders_at_once_send_each_alert_once(pool: asyncpg.Pool, receiver: Receiver) -> None:
    await alert(pool, count=30)
    await asyncio.gather(deliver_alerts(pool), deliver_alerts(pool))
    assert len(receiver.posts) == len(set(receiver.ids)) == 30
    assert receiver.at_once_max <= 4


async def test_a_receiver_that_is_away_holds_no_other_one_up(
    pool: asyncpg.Pool, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The silent one costs its time-out, and nothing of a project whose webhook answers."""
    monkeypatch.setattr("processors.alert_delivery.POST_SECONDS_MAX", 0.5)
    monkeypatch.setattr("processors.alert_delivery.RUN_SECONDS_MAX", 0.2)
    async with listening(Receiver(answer=None)) as silent:
        await alert(pool, await wire(pool, "two", silent), count=10)
        await alert(pool, count=3)
        await deliver_alerts(pool)
        assert len(receiver.posts) == 3
        assert len(silent.posts) == 2


async def test_logs_hold_no_secret(pool: asyncpg.Pool, receiver: Receiver, capfd: pytest.CaptureFixture[str]) -> None:
    receiver.answer = "500 Broken"
    await alert(pool)
    await deliver_alerts(pool)
    # Nobody listens there.
    await wire(pool, "one", Receiver())
    await let_be_due(pool)
    await deliver_alerts(pool)
    told = "".join(capfd.readouterr())
    assert told.count("alert_attempted") == 2
    assert SIGNED_WITH not in told
    assert "t0ken" not in told
    assert not any("t0ken" in str(row) for row in await states(pool))


async def test_without_a_webhook_an_alert_waits_for_one(pool: asyncpg.Pool, receiver: Receiver) -> None:
    await alert(pool)
    async with pool.acquire() as connection:
        await change_settings(cast(asyncpg.Connection, connection), 1, {"webhook": None})
    await deliver_alerts(pool)
    assert await states(pool) == [(1, "pending", 1, "the project has no webhook any more")]
    await wire(pool, "one", receiver)
    await let_be_due(pool)
    await deliver_alerts(pool)
    assert len(receiver.posts) == 1
