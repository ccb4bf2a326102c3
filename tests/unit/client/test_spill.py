"""What memory cannot hold waits on disk and is sent later, by this process or the next. Method: a server by script."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from pathline import Client, Limits
from tests.services import free_ports
from tests.tidy.checkout import ROOT
from tests.unit.client.door import QUICK, Answer, Door, accept, opened

SMALL = Limits(
    queue_events_max=1_000,
    batch_events_max=100,
    batch_age_seconds=0.01,
    backoff_first_seconds=0.01,
    backoff_max_seconds=0.05,
)
KILLED = """
import os, signal, sys, time
from pathline import Client, Limits
limits = Limits(queue_events_max=1_000, batch_events_max=100, backoff_first_seconds=0.01, backoff_max_seconds=0.05)
client = Client(sys.argv[1], "sk-test", limits=limits, spill_folder=sys.argv[2])
number = 0
while client.stats().spilled < 3_000:
    if client.log(session_id="s-1", request={"n": number}) is not None:
        number += 1
    elif not time.sleep(0.001):
        continue
os.kill(os.getpid(), signal.SIGKILL)
"""


def away() -> str:
    return f"http://127.0.0.1:{free_ports(1)[0]}"


def numbers(door: Door) -> list[int]:
    return sorted(event["request"]["n"] for event in door.events)


def log_all(client: Client, count: int) -> None:
    """Log as quickly as the client takes it."""
    deadline = time.monotonic() + 30
    for number in range(count):
        while client.log(session_id="s-1", request={"n": number}) is None:
            assert time.monotonic() < deadline
            time.sleep(0.001)


def wait_until_empty(folder: Path) -> None:
    deadline = time.monotonic() + 10
    while any(folder.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_with_the_server_away_more_than_memory_holds_is_kept_and_sent_by_the_next_process(tmp_path: Path) -> None:
    first = Client(away(), "sk-test", limits=SMALL, spill_folder=tmp_path)
    with first.session(id="a/b") as session:
        session.end("failed", "gave up")
    log_all(first, 5_000)
    first.close(0)
    stats = first.stats()
    assert (stats.spilled, stats.queued) == (5_001, 0)
    # Each try that found no room was counted, and was made again.
    assert set(stats.dropped) <= {"queue_full"}

    with opened() as door:
        second = Client(door.url, "sk-test", limits=SMALL, spill_folder=tmp_path)
        wait_until_empty(tmp_path)
        second.close()
        assert second.stats().sent == 5_001
        assert numbers(Door(bodies=[body for body in door.bodies if isinstance(body, list)])) == list(range(5_000))
        assert door.paths.count("/v1/sessions/a%2Fb/end") == 1


def test_what_was_on_disk_when_the_process_was_killed_is_sent_once(tmp_path: Path) -> None:
    command = (sys.executable, "-c", KILLED, away(), str(tmp_path))
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "ingest/client")}
    killed = subprocess.run(command, env=environment, timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    for partial in tmp_path.glob("*.part"):
        os.utime(partial, (0, 0))

    with opened() as door:
        client = Client(door.url, "sk-test", limits=SMALL, spill_folder=tmp_path)
        wait_until_empty(tmp_path)
        client.close()
        found = numbers(door)
        assert len(found) == len(set(found)) >= 3_000
        assert client.stats().sent == len(found)


def test_a_torn_file_is_cut_off_after_its_last_whole_event(tmp_path: Path) -> None:
    first = Client(away(), "sk-test", limits=QUICK, spill_folder=tmp_path)
    for number in range(10):
        first.log(request={"n": number})
    first.close(0)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-20])
    path = path.rename(path.with_suffix(".part"))

    with opened() as door:
        client = Client(door.url, "sk-test", limits=QUICK, spill_folder=tmp_path)
        client.log(request={"n": 100})
        assert client.flush(10)
        assert path.exists(), "it may still be written to"
        os.utime(path, (0, 0))
        client.log(request={"n": 101})
        wait_until_empty(tmp_path)
        client.close()
        assert numbers(door) == [*range(9), 100, 101]
        assert client.stats().torn == 1


def test_the_folder_is_bounded_and_what_does_not_fit_is_counted(tmp_path: Path) -> None:
    limits = Limits(queue_events_max=200, batch_events_max=10, spill_bytes_max=20_000)
    client = Client(away(), "sk-test", limits=limits, spill_folder=tmp_path)
    taken = sum(client.log(request={"text": "x" * 500}) is not None for _ in range(1_000))
    client.close(0)
    stats = client.stats()

    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 20_000
    assert 0 < stats.spilled < 40
    assert stats.dropped == {"queue_full": 1_000 - taken, "shutdown_timeout": taken - stats.spilled}


def test_events_on_disk_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "spill"
    client = Client(away(), "sk-test", limits=QUICK, spill_folder=folder)
    client.log(name="secret")
    client.close(0)
    (path,) = folder.iterdir()

    assert (folder.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o700, 0o600)


def test_a_disk_that_fails_costs_what_memory_cannot_hold_and_raises_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "spill"
    client = Client(away(), "sk-test", limits=SMALL, spill_folder=folder)
    folder.rmdir()
    taken = [client.log(name="a") for _ in range(2_000)]
    client.close(0)

    assert sum(one is not None for one in taken) == 1_000
    assert client.stats().dropped == {"queue_full": 1_000, "shutdown_timeout": 1_000}


def test_a_file_that_the_server_did_not_answer_for_stays(tmp_path: Path) -> None:
    first = Client(away(), "sk-test", limits=QUICK, spill_folder=tmp_path)
    first.log(request={"n": 1})
    first.close(0)

    def busy(_: int, body: Any) -> Answer:
        return Answer(503, {})

    with opened(busy) as door:
        second = Client(door.url, "sk-test", limits=QUICK, spill_folder=tmp_path)
        second.close(0.1)
        assert second.stats().sent == 0
        assert len(list(tmp_path.iterdir())) == 1
    with opened(accept) as door, Client(door.url, "sk-test", limits=QUICK, spill_folder=tmp_path):
        wait_until_empty(tmp_path)
        assert numbers(door) == [1]
