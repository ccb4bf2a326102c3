"""Goal: one command starts everything and one signal ends it. Method: the command itself, in a home of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import psutil
import pytest

from infra.local.class_archive import ensure_class_archive
from infra.local.record import read_record
from tests.services import free_ports

READY_SECONDS = 120.0
STOP_SECONDS = 10.0
SECOND_START_SECONDS = 20.0
"""Shows that nothing is fetched, formatted or migrated again. The promise is 6 s on an idle machine; one that
runs tests is not idle: 4 to 5 s were measured on two cores, 8 with three other suites beside it."""


@pytest.fixture
def environment(own_home: Path) -> Iterator[Mapping[str, str]]:
    names = ("KAFKA_PORT", "KAFKA_CONTROLLER_PORT", "POSTGRES_PORT", "INGEST_PORT", "QUERY_PORT", "PROCESSORS_PORT")
    ports = {name: str(port) for name, port in zip(names, free_ports(len(names)), strict=True)}
    made = {key: value for key, value in os.environ.items() if not key.startswith("PATHLINE_")} | ports
    made["PATHLINE_HOME"] = str(own_home)
    ensure_class_archive()
    yield made
    infra("down", made)


def infra(command: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "infra", *command.split()]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=READY_SECONDS)


def processes(home: Path) -> list[psutil.Process]:
    record = read_record(home)
    assert record is not None
    ours = [record.supervisor, *record.children]
    roots = [process for one in ours if (process := one.process())]
    return roots + [child for root in roots for child in root.children(recursive=True)]


def assert_nothing_left(before: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(before, timeout=1)
    assert alive == []


def test_up_is_ready_twice_is_a_no_op_and_down_leaves_nothing(environment: Mapping[str, str], own_home: Path) -> None:
    first = infra("up", environment)
    assert first.returncode == 0, first.stdout + first.stderr
    key = (own_home / "api-key").read_text().strip()
    assert key in first.stdout
    for secret in (own_home / "api-key", own_home / "logs" / "supervisor.log"):
        assert secret.stat().st_mode & 0o777 == 0o600
    before = processes(own_home)

    again = infra("up", environment)
    assert (again.returncode, again.stdout.strip()) == (0, "runs already")
    assert infra("status", environment).returncode == 0

    sessions = httpx.get(
        f"http://127.0.0.1:{environment['QUERY_PORT']}/v1/sessions", headers={"authorization": f"Bearer {key}"}
    )
    assert sessions.status_code == 200

    assert infra("scale processors 2", environment).returncode == 0
    record = read_record(own_home)
    assert record is not None
    assert {child.slot for child in record.children if child.name == "processors"} == {1, 2}
    before = processes(own_home)

    assert infra("down", environment).returncode == 0
    assert_nothing_left(before)
    assert infra("status", environment).returncode == 1

    began = time.monotonic()
    assert infra("up", environment).returncode == 0
    assert time.monotonic() - began < SECOND_START_SECONDS
    assert (own_home / "api-key").read_text().strip() == key


@pytest.mark.parametrize("moment", ["starting", "ready"])
def test_a_signal_stops_everything_within_ten_seconds(
    environment: Mapping[str, str], own_home: Path, moment: str
) -> None:
    run = subprocess.Popen(
        [sys.executable, "-m", "infra", "run"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert run.stdout is not None
    awaited = "starting kafka" if moment == "starting" else "ready in"
    for line in run.stdout:
        if awaited in line:
            break
    else:
        pytest.fail("it ended before that moment")
    record = read_record(own_home)
    before = processes(own_home) if record else []
    began = time.monotonic()
    run.send_signal(signal.SIGTERM if moment == "ready" else signal.SIGINT)
    run.stdout.close()
    run.wait(timeout=STOP_SECONDS)
    assert time.monotonic() - began < STOP_SECONDS
    assert_nothing_left(before)


def test_with_engines_that_run_already_none_is_started(
    environment: Mapping[str, str], own_home: Path, kafka: str, blank_database: str
) -> None:
    elsewhere = {**environment, "PATHLINE_KAFKA": kafka, "PATHLINE_POSTGRES": blank_database}
    try:
        up = infra("up", elsewhere)
        assert up.returncode == 0, up.stdout + up.stderr
        record = read_record(own_home)
        assert record is not None
        assert {child.name for child in record.children} == {"ingest", "processors", "query"}
        assert not (own_home / "kafka").exists()
        assert not (own_home / "postgres").exists()
        assert infra("status", elsewhere).returncode == 0
    finally:
        infra("down", elsewhere)


def test_a_port_in_use_ends_the_start_with_one_line(environment: Mapping[str, str]) -> None:
    import socket

    with socket.create_server(("127.0.0.1", int(environment["INGEST_PORT"]))):
        refused = infra("run", environment)
    assert refused.returncode == 1
    assert f"port {environment['INGEST_PORT']} is taken by" in refused.stderr
    assert "INGEST_PORT" in refused.stderr
    assert "Traceback" not in refused.stderr
