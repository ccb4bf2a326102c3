"""Goal: roll-ups are a function of the set of events, however these come.

Method: hypothesis draws sessions, copies, an order, batches and the partitions that these come by; the real store takes
them on real Postgres. All roll-up tables are compared with the few lines of `oracle`, which looks at plain dictionaries
and shares nothing with the fold.
"""

import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.postgres import make_pool
from ingest.event import Record, text_key
from processors.histogram import value_of
from processors.store import Store
from tests.factories import TOPIC, make_slice, native_record

START_US = 1_767_787_200_000_000
PARTITIONS = (0, 1, 2)

Sent = dict[str, Any]

EVENT = st.fixed_dictionaries(
    {
        "session": st.sampled_from([None, "a", "b", "c"]),
        "kind": st.sampled_from(["llm", "tool", "vector_db", "data", "span"]),
        "path": st.sampled_from(["/", "/plan", "/plan/search"]),
        "name": st.sampled_from([None, "Trip", "Support"]),
        "user": st.sampled_from([None, *(f"u{number:02}" for number in range(20))]),
        "model": st.sampled_from([None, "m-1", "m-2"]),
        "properties": st.dictionaries(st.sampled_from(["team", 'qu"ote']), st.sampled_from(["x", "back\\slash", "é"])),
        "offset_us": st.integers(0, 3 * 3600 * 10**6),
        # Often the same, so that buckets meet when histograms are merged.
        "duration_us": st.sampled_from([0, 1_000, 5_000_000])
        | st.integers(0, 40).flatmap(lambda bits: st.integers(0, min(2**bits, 80_000 * 10**6))),
        "status": st.sampled_from([200, 200, 500]),
        "tokens": st.integers(0, 1000),
        "cost": st.sampled_from([None, 0, 7]),
    }
)
SENDING = st.tuples(st.integers(0, 59), st.sampled_from(PARTITIONS), st.booleans())
"""Which event, by which partition, and whether a batch ends after it."""


def iso(at_us: int) -> str:
    return datetime.fromtimestamp(at_us // 10**6, UTC).replace(microsecond=at_us % 10**6).isoformat()


def record_of(number: int, sent: Sent) -> Record:
    started_us = START_US + sent["offset_us"]
    return native_record(
        event_id=f"00000000-0000-4000-8000-{number:012x}",
        session_id=sent["session"],
        received_at_us=START_US + 10**11,
        kind=sent["kind"],
        path=sent["path"],
        session_name=sent["name"],
        user_id=sent["user"],
        model=sent["model"],
        properties=sent["properties"],
        started_at=iso(started_us),
        ended_at=iso(started_us + sent["duration_us"]),
        status=sent["status"],
        usage={"prompt_tokens": sent["tokens"]},
        cost_nanousd=sent["cost"],
    )


def figures(events: list[Sent]) -> dict[str, Any]:
    requests = [one for one in events if one["kind"] != "span"]
    return {
        "request_count": len(requests),
        "error_count": sum(one["status"] >= 400 for one in requests),
        "prompt_tokens": sum(one["tokens"] for one in requests),
        "cost_nanousd": sum(one["cost"] or 0 for one in requests),
        "span_count": len(events) - len(requests),
        "durations": sorted(one["duration_us"] for one in requests),
        "user_ids": sorted({one["user"] for one in requests} - {None})[:16],
        "users_more": len({one["user"] for one in requests} - {None}) > 16,
        "properties": sorted(
            {
                json.dumps(pair, ensure_ascii=False, separators=(",", ":"))
                for o in requests
                for pair in o["properties"].items()
            }
        ),
    }


def oracle(events: list[Sent]) -> dict[str, dict[Any, list[Sent]]]:
    """The events of each row of each roll-up."""
    groups: dict[str, dict[Any, list[Sent]]] = {name: defaultdict(list) for name in TABLES}
    for one in events:
        named = [("session_name", "", one["name"])]
        if one["kind"] != "span":
            named += [("user", "", one["user"]), *(("property", *pair) for pair in one["properties"].items())]
        for use in named:
            if use[2]:
                groups["catalogue"][use].append(one)
        if one["session"]:
            groups["sessions"][one["session"],].append(one)
            groups["session_paths"][one["session"], one["path"]].append(one)
            hour = datetime.fromtimestamp((START_US + one["offset_us"]) // 10**6 // 3600 * 3600, UTC)
            groups["path_hours"][hour, one["name"] or "", one["path"]].append(one)
    return groups


TABLES = {
    "sessions": "SELECT session_id, NULL, * FROM sessions",
    "session_paths": "SELECT session_id, path, NULL, p.* FROM session_paths p JOIN sessions USING (session_key)",
    "path_hours": "SELECT hour, session_name, path, NULL, * FROM path_hours",
    "catalogue": "SELECT partition, kind, name, value, use_count, first_used_at, last_used_at FROM catalogue",
}
"""The rows, but of the catalogue their key up to the first NULL."""


async def compare(pool: asyncpg.Pool, events: list[Sent], values_max: int) -> None:
    for table, groups in oracle(events).items():
        if table == "catalogue":
            await compare_catalogue(pool, groups, values_max)
            continue
        stored: dict[Any, list[asyncpg.Record]] = defaultdict(list)
        for row in await pool.fetch(TABLES[table]):
            stored[tuple(row)[: tuple(row).index(None)]].append(row)
        assert stored.keys() == groups.keys(), table
        for key, rows in stored.items():
            assert_figures(rows, figures(groups[key]), (table, key))


async def compare_catalogue(pool: asyncpg.Pool, groups: dict[Any, list[Sent]], values_max: int) -> None:
    """No partition lists more than the bound, and what is read from all together are the uses of all events."""
    uses = []
    for use, events in groups.items():
        starts = [datetime.fromisoformat(iso(START_US + one["offset_us"])) for one in events]
        uses.append((*use, len(starts), min(starts), max(starts)))
    rows = await pool.fetch(TABLES["catalogue"])
    assert listed([tuple(row)[1:] for row in rows], values_max) == listed(uses, values_max)
    assert max(Counter(row[:3] for row in rows if row["value"]).values(), default=0) <= values_max


def listed(uses: list[Any], values_max: int) -> dict[Any, Any]:
    """(list, name, value) -> count, first and last use, where each list has the values of the smallest hashes."""
    values: dict[Any, set[str]] = defaultdict(set)
    for kind, name, value, *_ in uses:
        values[kind, name].add(value)
    kept = {key: sorted(some - {""}, key=text_key)[:values_max] for key, some in values.items()}
    summed: dict[Any, Any] = {}
    for kind, name, value, count, first, last in uses:
        key = kind, name, value if value in kept[kind, name] else ""
        before = summed.get(key, (0, first, last))
        summed[key] = before[0] + count, min(before[1], first), max(before[2], last)
    return summed


def assert_figures(rows: list[asyncpg.Record], expected: dict[str, Any], where: object) -> None:
    """The rows of one key show these figures together."""
    for name in ("request_count", "error_count", "prompt_tokens", "cost_nanousd", "span_count"):
        assert sum(row[name] for row in rows) == expected[name], (where, name)
    durations = expected["durations"]
    assert sum(row["latency_us_sum"] for row in rows) == sum(durations), where
    read = [
        value_of(element >> 32) for row in rows for element in row["latency_histogram"] for _ in range(element % 2**32)
    ]
    assert len(read) == len(durations), where
    for value, exact in zip(sorted(read), durations, strict=True):
        assert 100 * abs(value - exact) <= exact, where
    for row in rows:
        assert row["latency_histogram"] == sorted(row["latency_histogram"]), where
        if "user_ids" in row.keys():  # noqa: SIM118 - a record's own `in` looks at values
            assert (row["user_ids"], row["user_ids_more"]) == (expected["user_ids"], expected["users_more"]), where
            assert row["properties"] == expected["properties"], where


async def send(pool: asyncpg.Pool, events: list[Sent], sendings: list[tuple[int, int, bool]], values_max: int) -> None:
    await pool.execute("TRUNCATE requests, records, sessions, session_paths, path_hours, catalogue, offsets")
    store = Store(pool)
    await store.claim(TOPIC, dict.fromkeys(PARTITIONS, 0), "cluster")
    # Each at least once, whatever was drawn.
    copies = [(number % len(events), partition, ends) for number, partition, ends in sendings]
    copies += [(number, 0, False) for number in range(len(events))]
    positions = dict.fromkeys(PARTITIONS, 0)
    batch: dict[int, list[Record]] = defaultdict(list)
    for place, (number, partition, ends) in enumerate(copies, 1):
        batch[partition].append(record_of(number, events[number]))
        if ends or place == len(copies):
            parts = [make_slice(some, partition=p, expected_offset=positions[p]) for p, some in batch.items()]
            await store.commit(parts)
            for p, some in batch.items():
                positions[p] += len(some)
            batch.clear()
    await compare(pool, events, values_max)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    pool = await make_pool(
        database,
        application_name="test-rollups",
        connections_max=2,
        statement_timeout_ms=20_000,
        # Tests change tables, not the views.
        options={"search_path": "generation_1, public"},
    )
    yield pool
    await pool.close()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(EVENT, min_size=10, max_size=60), st.lists(SENDING, min_size=10, max_size=80), st.sampled_from([2, 1000])
)
async def test_any_order_copies_batches_and_partitions_give_the_same_rows(
    pool: asyncpg.Pool, events: list[Sent], sendings: list[tuple[int, int, bool]], values_max: int
) -> None:
    with patch("processors.rollup.LISTED_VALUES_MAX", values_max):
        await send(pool, events, sendings, values_max)
