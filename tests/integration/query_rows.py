"""Rows of the store for tests of the query service, folded and written as the processors do it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from infra.postgres import keep_the_first_day
from ingest.event import Event, start_day
from processors.batch import Place
from processors.event_rows import write_folds
from processors.rollup import fold
from processors.session import normalise_path, text_key

ORIGIN = datetime(2026, 1, 7, 12, tzinfo=UTC)
REQUEST_COLUMNS = (
    "project_id", "event_id", "kind", "session_id", "session_name", "started_at", "ended_at", "time_to_first_token_us",
    "status", "is_error", "error_type", "error_message", "provider", "model", "request_model", "response_model",
    "model_override", "target_url", "prompt_tokens", "completion_tokens", "cache_read_tokens", "cache_write_tokens",
    "reasoning_tokens", "prompt_audio_tokens", "completion_audio_tokens", "cost_nanousd", "user_id", "trace_id",
    "span_id", "parent_span_id", "source", "received_at", "flags", "decoded_request_body", "decoded_response_body",
)  # fmt: skip


@dataclass
class Counted:
    """An event as the folds take it."""

    event: Event
    place: Place
    is_path_provisional: bool = False


def event(number: int, **fields: Any) -> Event:
    """An event of project 1 with id `number`, a second after ORIGIN per number, lasting 100 ms."""
    started_at = fields.pop("started_at", ORIGIN + timedelta(seconds=number))
    defaults: dict[str, Any] = {
        "project_id": 1,
        "event_id": UUID(int=number, version=4),
        "kind": "llm",
        "source": "native",
        "started_at": started_at,
        "ended_at": started_at + timedelta(milliseconds=100),
        "received_at": started_at + timedelta(seconds=1),
    }
    return Event(**{**defaults, **fields})


def random_events(random: Random, count: int) -> list[Event]:
    """Events of some 30 sessions over three days, with every kind, errors, users, properties and unknown values."""
    names = [None, None, "Trip", "trip planner", "Ünïcode"]
    events = []
    for number in range(1, count + 1):
        session = random.choice([None, *range(30)])
        day_offset = random.random() * 86_400 * (3 if random.random() < 0.2 else 0.5)
        started_at = ORIGIN + timedelta(
            seconds=(session or 0) * 5_000 + day_offset, microseconds=random.randrange(10**6)
        )
        if random.random() < 0.8:
            # Whole milliseconds, so that a window's edge can lie on a start.
            started_at = started_at.replace(microsecond=started_at.microsecond // 1000 * 1000)
        if random.random() < 0.03:
            started_at -= timedelta(days=900)
        kind = random.choice(["llm", "llm", "tool", "vector_db", "data", "span", "session_end"])
        properties = {
            random.choice(["environment", "Environment"]): random.choice(["production", "staging", ""]),
            "team%_": random.choice(["travel", "100%_sure", "x"]),
        }
        events.append(
            event(
                number,
                # The second project has sessions of the same ids; nothing of them may show.
                project_id=2 if random.random() < 0.1 else 1,
                kind=kind,
                source=random.choice(["native", "otlp"]),
                session_id=None if session is None else f"session/{session:02} %",
                session_name=random.choice(names),
                path=random.choice([None, "/plan", "plan/weather/", "/plan//weather", "/"]),
                started_at=started_at,
                ended_at=started_at + timedelta(microseconds=random.randrange(5 * 10**6)),
                received_at=ORIGIN + timedelta(days=5),
                time_to_first_token_us=random.choice([None, random.randrange(10**6)]),
                status=random.choice([200, 200, 200, 500, -1]),
                is_error=random.random() < 0.2,
                provider=random.choice(["OPENAI", "ANTHROPIC"]),
                model=random.choice(["gpt-4o", "claude", "tool:x"]),
                request_model=random.choice([None, "gpt-4o"]),
                prompt_tokens=random.randrange(1000),
                completion_tokens=random.randrange(1000),
                cache_read_tokens=random.randrange(10),
                cache_write_tokens=random.randrange(10),
                reasoning_tokens=random.randrange(100),
                cost_nanousd=random.choice([None, random.randrange(10**8)]),
                user_id=random.choice(["", *(f"user{n}@example.com" for n in range(25 if session == 3 else 4))]),
                properties=dict(random.sample(sorted(properties.items()), random.randrange(3))),
                outcome=random.choice(["completed", "failed"]) if kind == "session_end" else None,
            )
        )
    return events


async def store_events(
    connection: asyncpg.Connection,
    events: Iterable[Event],
    bodies: dict[UUID, tuple[str | None, str | None]] | None = None,
) -> None:
    """Store events and their roll-ups, as one batch of the processors would."""
    events = list(events)
    await keep_the_first_day(connection)
    await connection.execute("SET search_path = generation_1, public")
    days = {start_day(one.started_at, one.received_at) for one in events}
    for day in days:
        await connection.execute("SELECT ensure_day($1)", day)
    await _insert(connection, "requests", [_request_row(one) for one in events])
    await _insert(
        connection, "records", [_record_row(one, (bodies or {}).get(one.event_id, (None, None))) for one in events]
    )
    await write_folds(connection, fold(Counted(one, Place("events", 0, 0)) for one in events))


def _request_row(one: Event) -> dict[str, Any]:
    row = {name: getattr(one, name) for name in REQUEST_COLUMNS}
    return {
        **row,
        "day": start_day(one.started_at, one.received_at),
        "session_key": text_key(one.session_id) if one.session_id is not None else None,
        "path_key": text_key(normalise_path(one.path)) if one.session_id is not None else None,
        "session_path": one.path,
        "properties": orjson.dumps(one.properties).decode(),
    }


def _record_row(one: Event, bodies: tuple[str | None, str | None]) -> dict[str, Any]:
    day: date = start_day(one.started_at, one.received_at)
    return {
        "project_id": one.project_id,
        "day": day,
        "event_id": one.event_id,
        "content_hash": one.event_id,
        "envelope": "{}",
        "request_body": bodies[0],
        "response_body": bodies[1],
    }


async def _insert(connection: asyncpg.Connection, table: str, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    names = list(rows[0])
    places = ", ".join(f"${place}" for place in range(1, len(names) + 1))
    text = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places})"
    await connection.executemany(text, [[row[name] for name in names] for row in rows])
