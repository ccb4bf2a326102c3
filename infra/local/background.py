"""The same run in the background: begin it, end it, say how it is."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from infra.local.command import stop_processes
from infra.local.errors import LocalEngineError
from infra.local.kafka import KAFKA
from infra.local.postgres import POSTGRES
from infra.local.record import read_record, running_record
from infra.local.stack import CHECKOUT, Settings, answers_ready, worker_port
from infra.settings import LocalSettings

UP_SECONDS = 300.0
"""The first start fetches the broker over whatever network there is."""

DOWN_SECONDS = 12.0
"""A stop takes at most ten; then force."""


@dataclass(frozen=True)
class Line:
    """How one process is."""

    name: str
    slot: int
    pid: int | None
    port: int | None
    state: str

    @property
    def well(self) -> bool:
        """Running and of use."""
        return self.state == "ready"


def up(settings: Settings) -> bool:
    """Begin a run in the background and return when it is ready; False when it ran already.

    Raises:
        LocalEngineError: it ended instead; the message is its own.
    """
    home = settings.local.home
    if running_record(home) is not None:
        _await_ready(settings, None, home.joinpath("logs", "supervisor.log").stat().st_size)
        return False
    settings.local.logs.mkdir(parents=True, exist_ok=True)
    path = settings.local.logs / "supervisor.log"
    # What `make run` prints on the terminal stands in this file, the key too: nobody else may read it.
    path.touch(mode=0o600)
    path.chmod(0o600)
    with path.open("ab") as log:
        begins_at = log.tell()
        process = subprocess.Popen(
            (sys.executable, "-m", "infra", "run"),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=CHECKOUT,
            # The tables that it prints are shown in this terminal.
            env=os.environ | {"COLUMNS": str(shutil.get_terminal_size((120, 24)).columns)},
            start_new_session=True,
        )
    _await_ready(settings, process, begins_at)
    return True


def _await_ready(settings: Settings, process: subprocess.Popen[bytes] | None, begins_at: int) -> None:
    """Pass on what the run prints until it is ready."""
    deadline = time.monotonic() + UP_SECONDS
    with (settings.local.logs / "supervisor.log").open(errors="replace") as log:
        log.seek(begins_at)
        while True:
            # Looked at before the text is read: what it wrote before it was ready, or ended, is then printed whole.
            record = running_record(settings.local.home)
            ended = record is None if process is None else process.poll() is not None
            sys.stdout.write(log.read())
            sys.stdout.flush()
            if ended:
                raise LocalEngineError("not started; the lines above say why")
            if record is not None and record.ready:
                return
            if time.monotonic() > deadline:
                raise LocalEngineError(f"not ready after {UP_SECONDS:.0f} s: look into {settings.local.logs}")
            time.sleep(0.05)


def down(settings: Settings) -> bool:
    """Stop what runs here and return when no process is left; False when nothing ran."""
    record = read_record(settings.local.home)
    if record is None:
        return False
    supervisor = record.supervisor.process()
    stopped = stop_processes([supervisor] if supervisor else [], signal.SIGTERM, grace_seconds=DOWN_SECONDS)
    # Only after a supervisor that was killed is there anything to do here.
    left = [process for child in record.children if (process := child.process())]
    stopped += stop_processes(left, signal.SIGTERM, grace_seconds=DOWN_SECONDS)
    return bool(stopped)


async def _probed(probe: Callable[[LocalSettings], Awaitable[bool]], local: LocalSettings) -> bool:
    return await probe(local)


def status(settings: Settings) -> list[Line]:
    """One line a process, and one for each that should run and does not."""
    local, record = settings.local, running_record(settings.local.home)
    children = record.children if record else []
    ports = {"ingest": local.ingest_port, "query": local.query_port}
    probes = {}
    if not settings.kafka.bootstrap:
        ports["kafka"], probes["kafka"] = local.kafka_port, KAFKA.probe
    if not settings.postgres.dsn:
        ports["postgres"], probes["postgres"] = local.postgres_port, POSTGRES.probe
    lines = []
    for child in children:
        port = worker_port(local, child.slot) if child.name == "processors" else ports[child.name]
        if child.process() is None:
            state = "down"
        elif child.name in probes:
            state = "ready" if asyncio.run(_probed(probes[child.name], local)) else "not ready"
        else:
            state = "ready" if answers_ready(port) else "not ready"
        lines.append(Line(child.name, child.slot, child.pid, port, state))
    present = {child.name for child in children}
    expected = [*probes, "ingest", "processors", "query"]
    lines += [Line(name, 1, None, ports.get(name), "down") for name in expected if name not in present]
    return sorted(lines, key=lambda line: (expected.index(line.name), line.slot))
