"""How many copies of each service run: asked for through a file and a signal, by whoever may write in the home."""

import json
import signal
import time
from pathlib import Path

from infra.local.errors import LocalEngineError
from infra.local.record import running_record

SCALABLE = {"ingest": 1, "processors": 1}
"""The services that can run more than once, and how many run until somebody says otherwise."""

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


def running_copies(home: Path, service: str) -> int:
    """How many copies of the service run now."""
    record = running_record(home)
    children = record.children if record else []
    return sum(child.name == service and child.process() is not None for child in children)
