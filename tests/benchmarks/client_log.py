"""What a call of the client's `log` costs the program that logs, beside JSON of the same event and an append."""

import json
import statistics
import time
from collections import deque
from random import Random
from typing import Any, NamedTuple

from pathline import Client, Limits
from tests.benchmarks.figures import Ceiling, Figure, quantile
from tests.benchmarks.ground import Ground, MeasurementFailed
from tests.benchmarks.payloads import SEED
from tests.benchmarks.plan import Plan, Reporter, alternate
from tests.services import free_ports

EVENTS_READY = 256
"""Made before the clock starts, and logged round and round."""
FLOOR = 1.00


class Calls(NamedTuple):
    """One run."""

    per_second: float
    mean_us: float
    p99_us: float


async def client_log(ground: Ground, plan: Plan, reporter: Reporter) -> list[Figure]:
    """Calls per second; nothing that is started for the other figures takes part."""
    runs: list[Calls] = []
    events = make_events()

    async def ceiling() -> float:
        return dump_calls(events, plan.client_calls).per_second

    async def ours() -> float:
        calls = log_calls(events, plan.client_calls)
        runs.append(calls)
        return calls.per_second

    ceiling_runs, our_runs = await alternate(plan, reporter, ceiling, ours)
    counted = runs[1:]
    return [
        Figure(
            name="client_log",
            title="Calls of the client's log with seven fields, one thread, the server away",
            unit="calls/s",
            runs=our_runs,
            ceiling=Ceiling("json.dumps of the same event and an append", ceiling_runs),
            floor=FLOOR,
            details={
                "mean_us": statistics.median(run.mean_us for run in counted),
                "p99_us": statistics.median(run.p99_us for run in counted),
            },
        )
    ]


def make_events() -> list[dict[str, Any]]:
    """Tool calls as an agent makes them, of about 300 bytes of JSON."""
    random = Random(SEED)
    return [
        {
            "session_id": f"bench-{number // 16}",
            "path": random.choice(("/plan/weather", "/plan/sights", "/answer")),
            "kind": "tool",
            "name": "weather_api",
            "status": 200,
            "request": {"location": f"Nürnberg {number}", "days": random.randint(1, 7)},
            "response": {"temperature": random.randint(-10, 35) / 2, "text": "clear sky " * 8},
        }
        for number in range(EVENTS_READY)
    ]


def log_calls(events: list[dict[str, Any]], count: int) -> Calls:
    """Log into a queue that holds them all, to a port where nobody listens; written as a program writes it.

    Raises:
        MeasurementFailed: an event was dropped, so the call was cheaper than one that does its work.
    """
    client = Client(f"http://127.0.0.1:{free_ports(1)[0]}", "sk-bench", limits=Limits(queue_events_max=count))
    log, clock, took_ns = client.log, time.perf_counter_ns, list[int]()
    values = [tuple(event.values()) for event in events]
    try:
        for number in range(count):
            session_id, path, kind, name, status, request, response = values[number % EVENTS_READY]
            before = clock()
            log(
                session_id=session_id,
                path=path,
                kind=kind,
                name=name,
                status=status,
                request=request,
                response=response,
            )
            took_ns.append(clock() - before)
        if client.stats().dropped:
            raise MeasurementFailed(f"the client dropped events: {client.stats().dropped}")
        return _calls(took_ns)
    finally:
        client.close(0.001)


def dump_calls(events: list[dict[str, Any]], count: int) -> Calls:
    """The ceiling: JSON of the same events, kept."""
    kept: deque[str] = deque()
    dumps, keep, clock, took_ns = json.dumps, kept.append, time.perf_counter_ns, list[int]()
    for number in range(count):
        event = events[number % EVENTS_READY]
        before = clock()
        keep(dumps(event))
        took_ns.append(clock() - before)
    return _calls(took_ns)


def _calls(took_ns: list[int]) -> Calls:
    """What reading the clock takes is part of each call, for the ceiling as for ours."""
    mean_ns = statistics.fmean(took_ns)
    return Calls(1e9 / mean_ns, mean_ns / 1e3, quantile(took_ns, 0.99) / 1e3)
