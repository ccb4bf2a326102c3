"""How many copies of each service run: asked for through a file and a signal, by whoever may write in the home."""

import json
import signal
import time
from pathlib import Path

from infra.local.errors import LocalEngineError
from infra.local.record import running_record

SCALABLE = {"ingest": 1, "processors": 1}
"""The services that can run more than once, and how many run until somebody says otherwise."""

STAGES = ("processors", "ingest", "query")
"""In the order in which a rolling restart takes them."""

COPIES_MAX = 12
"""As many as the events topic has partitions: a further processor would have nothing to do."""

SCALE_SECONDS = 40.0
"""A copy that is taken away may finish its work first."""


def wanted_counts(home: Path) -> dict[str, int]:
    """How many copies of each scalable service are wanted now."""
    try:
        asked: dict[str, int] = json.loads((home / "scale.json").read_text())
    except FileNotFoundError:
        asked = {}
    return SCALABLE | asked


def forget_counts(home: Path) -> None:
    """Begin a run with one copy of each."""
    (home / "scale.json").unlink(missing_ok=True)


def scale(home: Path, service: str, count: int) -> None:
    """Have `count` copies run, and return when they do; blocking.

    Raises:
        LocalEngineError: nothing runs here, or the service or the number cannot be, or it did not happen in time.
    """
    if service not in SCALABLE or not 1 <= count <= COPIES_MAX:
        raise LocalEngineError(f"can run 1 to {COPIES_MAX} of {' or '.join(SCALABLE)}, not {count} of {service}")
    record = running_record(home)
    if record is None or not record.ready:
        raise LocalEngineError(f"nothing runs in {home} that could be scaled: `make up` starts it")
    staging = home / "scale.json.new"
    staging.write_text(json.dumps(wanted_counts(home) | {service: count}))
    staging.replace(home / "scale.json")
    record.supervisor.require_process().send_signal(signal.SIGUSR1)
    deadline = time.monotonic() + SCALE_SECONDS
    while running_copies(home, service) != count:
        if time.monotonic() > deadline:
            raise LocalEngineError(f"not {count} of {service} after {SCALE_SECONDS:.0f} s: look at `make status`")
        time.sleep(0.05)


ROLL_SECONDS_PER_PROCESS = 75.0
"""For one process to stop, start and be of use."""


def rolling_restart(home: Path) -> int:
    """Have every stage's processes started anew one after the other; how many. Blocking.

    Raises:
        LocalEngineError: nothing runs here, or a process was not of use in time.
    """
    record = running_record(home)
    if record is None or not record.ready:
        raise LocalEngineError(f"nothing runs in {home} that could be restarted: `make up` starts it")
    before = _pids(home)
    record.supervisor.require_process().send_signal(signal.SIGUSR2)
    deadline = time.monotonic() + ROLL_SECONDS_PER_PROCESS * len(before)
    while (now := _pids(home)).keys() != before.keys() or any(now[slot] == before[slot] for slot in before):
        if time.monotonic() > deadline:
            raise LocalEngineError("not every process is new: look at `make status` and `make logs`")
        time.sleep(0.05)
    return len(before)


def _pids(home: Path) -> dict[tuple[str, int], int]:
    record = running_record(home)
    children = record.children if record else []
    return {(child.name, child.slot): child.pid for child in children if child.name in STAGES}


def running_copies(home: Path, service: str) -> int:
    """How many copies of the service run now."""
    record = running_record(home)
    children = record.children if record else []
    return sum(child.name == service and child.process() is not None for child in children)
