"""Alerts on their way out: the leader posts what is pending to the webhook of its project, signed, until it is taken.

At least once: an attempt is counted before it is made, and marked after it, so a worker that dies in between leaves an
alert that is sent again under the same id. Receivers go by the id. docs/alerts.md is the contract.
"""

import asyncio
import hashlib
import hmac
import random
import ssl
from datetime import UTC, datetime
from functools import cache
from uuid import UUID

import asyncpg
import httpx2
import msgspec
import structlog

from infra.alert_rules import Webhook
from infra.postgres import load_sql
from infra.project_settings import InvalidSettings
from infra.projects import stored_settings

log = structlog.get_logger()

POSTS_AT_ONCE_MAX = 8
POSTS_PER_PROJECT_MAX = 2
"""So that a receiver that is slow or away leaves room for the others'."""
RUN_SECONDS_MAX = 5.0
"""After it none is begun before the next run: an alert that comes meanwhile waits for this and one time-out at most."""
POST_SECONDS_MAX = 10.0
LEASE_SECONDS = 30.0
"""An attempt that is not marked by then was lost with its worker."""
ATTEMPTS_MAX = 32
"""Nearly a day, with the pauses between."""
PAUSE_SECONDS_FIRST, PAUSE_SECONDS_MAX = 5.0, 3600.0
ERROR_CHARACTERS_MAX = 300


class Attempt(msgspec.Struct, frozen=True):
    """What one attempt found out; without a fault the receiver took it."""

    fault: str | None = None


async def deliver_alerts(pool: asyncpg.Pool) -> None:
    """Try what is due; what is left undone the next run does."""
    projects = [row["project_id"] for row in await pool.fetch(load_sql("processors", "list_projects_to_alert"))]
    if not projects:
        return
    slots = asyncio.Semaphore(POSTS_AT_ONCE_MAX)
    until = asyncio.get_running_loop().time() + RUN_SECONDS_MAX
    async with open_client() as client, asyncio.TaskGroup() as tasks:
        for project_id in projects:
            for _ in range(POSTS_PER_PROJECT_MAX):
                tasks.create_task(_deliver_some(pool, client, slots, project_id, until))


async def _deliver_some(
    pool: asyncpg.Pool, client: httpx2.AsyncClient, slots: asyncio.Semaphore, project_id: int, until: float
) -> None:
    """Deliver a project's alerts one after the other, while there is time."""
    while True:
        async with slots:
            if asyncio.get_running_loop().time() >= until:
                return
            alert = await pool.fetchrow(load_sql("processors", "begin_attempt"), project_id, LEASE_SECONDS)
            if alert is None:
                return
            await _settle(pool, alert, await _attempt(client, alert))


async def _attempt(client: httpx2.AsyncClient, alert: asyncpg.Record) -> Attempt:
    try:
        webhook = stored_settings(alert["settings"]).webhook
    except InvalidSettings as fault:
        return Attempt(f"settings not readable: {fault}")
    if webhook is None:
        return Attempt("the project has no webhook any more")
    return await post(client, webhook, alert["alert_id"], body_of(alert))


async def _settle(pool: asyncpg.Pool, alert: asyncpg.Record, attempt: Attempt) -> None:
    """Mark what became of an attempt, unless another one, begun since, has delivered."""
    tries = alert["attempts"]
    state = "delivered" if attempt.fault is None else "failed" if tries >= ATTEMPTS_MAX else "pending"
    fault = attempt.fault and attempt.fault[:ERROR_CHARACTERS_MAX]
    await pool.execute(
        load_sql("processors", "settle_attempt"), alert["alert_id"], tries, state, pause_seconds(tries), fault
    )
    say = log.info if attempt.fault is None else log.error if state == "failed" else log.warning
    say(
        "alert_attempted", alert_id=str(alert["alert_id"]), project_id=alert["project_id"], rule=alert["rule"],
        state=state, attempts=tries, fault=fault,
    )  # fmt: skip


async def post(client: httpx2.AsyncClient, webhook: Webhook, alert_id: UUID, body: bytes) -> Attempt:
    """One signed request. Anything but 2xx is a fault, redirects too; what the receiver answers is not read."""
    headers = {
        "Content-Type": "application/json",
        "Pathline-Alert-Id": str(alert_id),
        "Pathline-Signature": signature(webhook.secret, body, int(datetime.now(UTC).timestamp())),
    }
    try:
        async with (
            asyncio.timeout(POST_SECONDS_MAX),
            client.stream("POST", webhook.url, content=body, headers=headers) as response,
        ):
            return Attempt() if response.is_success else Attempt(f"answered {response.status_code}")
    except TimeoutError:
        return Attempt(f"no answer within {POST_SECONDS_MAX:g} s")
    # Whatever an address or a receiver brings about is no trouble of other alerts.
    except Exception as fault:  # noqa: BLE001
        return Attempt(f"{type(fault).__name__}: {fault}")


def signature(secret: str, body: bytes, at: int) -> str:
    """The header that proves who sent the body, and when (Unix seconds)."""
    digest = hmac.new(secret.encode(), b"%d.%s" % (at, body), hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def body_of(alert: asyncpg.Record) -> bytes:
    """The same bytes at every attempt."""
    return msgspec.json.encode(
        {
            "alert_id": alert["alert_id"],
            "fired_at": alert["fired_at"].astimezone(UTC),
            "project": alert["project"],
            "rule": alert["rule"],
            "kind": alert["kind"],
            "threshold": alert["threshold"],
            "session_id": alert["session_id"],
            "session_name": alert["session_name"],
            "request_count": alert["request_count"],
            "error_count": alert["error_count"],
            "cost_nanousd": alert["cost_nanousd"],
            "duration_ms": alert["duration_us"] / 1000,
        }
    )


def pause_seconds(attempts: int) -> float:
    """From an attempt that failed, the first is 1, to the next: doubled each time, give or take a quarter by chance."""
    pause = min(PAUSE_SECONDS_FIRST * 2.0 ** min(attempts - 1, 30), PAUSE_SECONDS_MAX)
    # Only spreads the load.
    return pause * random.uniform(0.75, 1.25)  # noqa: S311


def open_client() -> httpx2.AsyncClient:
    """Connections to receivers, no more than are posted to at once."""
    return httpx2.AsyncClient(
        verify=_tls(),
        follow_redirects=False,
        timeout=POST_SECONDS_MAX,
        limits=httpx2.Limits(max_connections=POSTS_AT_ONCE_MAX),
        headers={"User-Agent": "pathline"},
    )


@cache
def _tls() -> ssl.SSLContext:
    """Reading the certificates takes tens of milliseconds, in which the worker does nothing else: once is enough."""
    return httpx2.create_ssl_context()
