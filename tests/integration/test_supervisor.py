"""Goal: processes are kept, scaled and stopped in order. Method: a supervisor with small services instead of stages."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psutil
import pytest

from infra.local.command import Command
from infra.local.errors import AlreadyRunningError
from infra.local.logs import rotate_large_logs
from infra.local.record import ProcessRecord, RunRecord, owned, read_record
from infra.local.supervisor import Service, Supervisor, listen, on_socket
from tests.services import wait_until

SERVER = """
import os, signal, socket, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = str(os.getpid()).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

server = HTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
server.socket = socket.socket(fileno=int(sys.argv[2]))
server.timeout = 0.05
stopping = []
signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
while not stopping:
    server.handle_request()
"""

DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"


@pytest.fixture
async def supervisor(tmp_path: Path) -> AsyncIterator[Supervisor]:
    made = Supervisor(tmp_path, tmp_path / "logs", engines=[])
    made.begin()
    yield made
    await made.stop()


def python_service(home: Path, name: str, script: str) -> Service:
    return Service(
        name, lambda slot: Command(name, (sys.executable, "-c", script), home / "logs" / f"{name}-{slot}.log")
    )


def children(home: Path) -> dict[int, int]:
    """Slot -> pid of what the record says runs."""
    record = read_record(home)
    assert record is not None
    return {child.slot: child.pid for child in record.children if child.process() is not None}


async def await_children(home: Path, slots: set[int]) -> None:
    async def there() -> bool:
        return set(children(home)) == slots

    await wait_until(there, seconds=10, what=f"slots {slots} run")


async def test_a_killed_process_is_replaced_in_its_slot(supervisor: Supervisor, tmp_path: Path) -> None:
    await supervisor.scale(python_service(tmp_path, "sleeper", "import signal; signal.pause()"), 2)
    await await_children(tmp_path, {1, 2})
    before = children(tmp_path)
    os.kill(before[2], signal.SIGKILL)

    async def replaced() -> bool:
        now = children(tmp_path)
        return set(now) == {1, 2} and now[2] != before[2]

    await wait_until(replaced, seconds=10, what="slot 2 has another process")
    assert children(tmp_path)[1] == before[1]


async def test_scaling_down_takes_the_highest_slots_and_up_the_lowest(supervisor: Supervisor, tmp_path: Path) -> None:
    service = python_service(tmp_path, "sleeper", "import signal; signal.pause()")
    await supervisor.scale(service, 3)
    await await_children(tmp_path, {1, 2, 3})
    await supervisor.scale_by_name("sleeper", 1)
    assert set(children(tmp_path)) == {1}
    await supervisor.scale_by_name("sleeper", 2)
    await await_children(tmp_path, {1, 2})


async def test_no_connection_is_refused_while_the_processes_behind_a_socket_change(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    with listen(0) as listening:
        port = listening.getsockname()[1]

        def command(slot: int) -> Command:
            log = tmp_path / "logs" / f"server-{slot}.log"
            return on_socket(Command("server", (sys.executable, "-c", SERVER), log), listening)

        await supervisor.scale(Service("server", command), 1)
        answered: set[str] = set()
        changing = asyncio.create_task(change(supervisor, tmp_path, answered))
        async with httpx.AsyncClient() as client:
            while not changing.done():
                response = await client.get(f"http://127.0.0.1:{port}/", headers={"connection": "close"}, timeout=10)
                answered.add(response.text)
        await changing
        assert len(answered) >= 2


async def change(supervisor: Supervisor, home: Path, answered: set[str]) -> None:
    """Two more, then one less, then none but the first, then that one ends and is replaced; each has answered once."""
    for count in (1, 3, 2, 1):
        await supervisor.scale_by_name("server", count)
        await await_children(home, set(range(1, count + 1)))
        await await_answer(home, answered)
    (first,) = children(home).values()
    os.kill(first, signal.SIGTERM)

    async def replaced() -> bool:
        return first not in children(home).values() and len(children(home)) == 1

    await wait_until(replaced, seconds=10, what="the first has a successor")
    await await_answer(home, answered)


async def await_answer(home: Path, answered: set[str]) -> None:
    """Wait until one of the processes that run now has answered."""

    async def one() -> bool:
        return not answered.isdisjoint(str(pid) for pid in children(home).values())

    await wait_until(one, seconds=20, what="a running process answers")


async def test_a_process_that_ignores_the_signal_is_killed(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.local.supervisor.SERVICE_STOP_SECONDS", 0.2)
    await supervisor.scale(python_service(tmp_path, "deaf", DEAF), 1)

    async def deaf() -> bool:
        log = tmp_path / "logs" / "deaf-1.log"
        return log.exists() and b"deaf" in log.read_bytes()

    await wait_until(deaf, seconds=10, what="the process ignores SIGTERM")
    (pid,) = children(tmp_path).values()
    await supervisor.stop()
    assert not psutil.pid_exists(pid)


async def test_children_die_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    script = f"""
import asyncio, sys
from pathlib import Path
from infra.local.command import Command
from infra.local.supervisor import Service, Supervisor

async def main():
    home = Path({str(tmp_path)!r})
    supervisor = Supervisor(home, home / "logs", engines=[])
    command = Command("sleeper", (sys.executable, "-c", "import signal; signal.pause()"), home / "logs" / "sleeper.log")
    await supervisor.scale(Service("sleeper", lambda slot: command), 2)
    await asyncio.Event().wait()

asyncio.run(main())
"""
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", script)

    async def recorded() -> bool:
        record = read_record(tmp_path)
        return record is not None and len(record.children) == 2

    await wait_until(recorded, seconds=10, what="both children are recorded")
    record = read_record(tmp_path)
    assert record is not None
    parent.kill()
    await parent.wait()

    async def gone() -> bool:
        return all(child.process() is None for child in record.children)

    await wait_until(gone, seconds=5, what="the children have ended")


def test_a_recorded_pid_that_another_process_has_now_is_not_ours(tmp_path: Path) -> None:
    mine = ProcessRecord.of("x", 1, os.getpid())
    assert mine is not None
    assert mine.process() is not None
    RunRecord(ProcessRecord("x", 1, os.getpid(), mine.created_at - 1)).write(tmp_path)
    record = read_record(tmp_path)
    assert record is not None
    assert record.supervisor.process() is None


def test_a_home_has_one_supervisor(tmp_path: Path) -> None:
    with owned(tmp_path), pytest.raises(AlreadyRunningError, match="make down"), owned(tmp_path):
        pass


def test_a_large_log_is_cut_and_its_content_kept_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.local.logs.LOG_BYTES_MAX", 10)
    log = tmp_path / "x.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"eleven byte")
        rotate_large_logs(tmp_path)
        writer.write(b"next")
    assert (tmp_path / "x.log.1").read_bytes() == b"eleven byte"
    assert log.read_bytes() == b"next"


def test_a_listening_socket_is_on_loopback() -> None:
    with listen(0) as listening:
        assert listening.getsockname()[0] == "127.0.0.1"
        assert listening.family is socket.AF_INET
