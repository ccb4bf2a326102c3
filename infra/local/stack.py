"""The whole of Pathline on this machine, in the order in which it starts: engines, topics, schema, key, services."""

import asyncio
import http.client
import os
import signal
import socket
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import psutil
import structlog
from aiokafka.errors import KafkaError
from rich.console import Console

from infra.local.class_archive import ensure_class_archive
from infra.local.command import Command, stop_processes
from infra.local.engine import Engine
from infra.local.errors import LocalEngineError
from infra.local.first_key import first_key
from infra.local.kafka import KAFKA
from infra.local.postgres import POSTGRES
from infra.local.preflight import require_free_port
from infra.local.record import owned, read_record
from infra.local.scaling import STAGES, forget_counts, wanted_counts
from infra.local.supervisor import Service, Supervisor, listen, on_socket
from infra.migrate import migrate
from infra.settings import KafkaSettings, LocalSettings, PostgresSettings
from infra.topics import ensure_topics

log = structlog.get_logger()

SERVICES_READY_SECONDS = 60.0
"""On an idle machine they need two; a loaded one should not fail for being slow."""

CHECKOUT = Path(__file__).resolve().parents[2]
"""Where `python -m <stage>` finds the stages when they are not installed."""


@dataclass(frozen=True)
class Settings:
    """What decides a run; with an address of Kafka or Postgres given, that engine is not started."""

    local: LocalSettings
    kafka: KafkaSettings
    postgres: PostgresSettings


def run(settings: Settings, console: Console) -> None:
    """Run everything in the foreground until SIGINT, SIGTERM or SIGHUP; nothing is left running, whatever happens.

    Raises:
        LocalEngineError: it cannot start; says why and what to do.
    """
    home = settings.local.home
    with owned(home), ExitStack() as sockets:
        _stop_what_a_killed_supervisor_left(home)
        forget_counts(home)
        listening = {}
        for name, setting, port in _ports(settings.local):
            require_free_port(port, setting=setting)
            listening[name] = sockets.enter_context(listen(port))
        require_free_port(settings.local.processors_port, setting="PROCESSORS_PORT")
        if not settings.kafka.bootstrap:
            # Before the loop begins, so that Ctrl-C ends a slow fetch at once.
            ensure_class_archive()
        asyncio.run(_run(settings, console, listening))


def _ports(local: LocalSettings) -> list[tuple[str, str, int]]:
    return [("ingest", "INGEST_PORT", local.ingest_port), ("query", "QUERY_PORT", local.query_port)]


def _stop_what_a_killed_supervisor_left(home: Path) -> None:
    record = read_record(home)
    left = [process for child in (record.children if record else []) if (process := child.process())]
    stop_processes(left, signal.SIGTERM, grace_seconds=8.0)


async def _run(settings: Settings, console: Console, listening: dict[str, socket.socket]) -> None:
    local = settings.local
    kafka = None if settings.kafka.bootstrap else Engine(KAFKA, local)
    postgres = None if settings.postgres.dsn else Engine(POSTGRES, local)
    # In the order in which they are stopped.
    supervisor = Supervisor(local.home, local.logs, [engine for engine in (kafka, postgres) if engine is not None])
    start = Start(settings, console, supervisor, kafka, postgres, _services(settings, listening))
    work = asyncio.create_task(start.serve())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # A second Ctrl-C must not interrupt the stopping: cancelling work that has ended does nothing.
        loop.add_signal_handler(number, work.cancel)
    try:
        await asyncio.wait([work])
        if not work.cancelled():
            work.result()
        console.print("stopping")
    finally:
        await supervisor.stop()


@dataclass(frozen=True)
class Start:
    """The steps from nothing to ready."""

    settings: Settings
    console: Console
    supervisor: Supervisor
    kafka: Engine | None
    postgres: Engine | None
    services: dict[str, Service]

    async def serve(self) -> None:
        """Start everything, say how to reach it, and follow the wishes for more or fewer copies until cancelled."""
        began = time.monotonic()
        home = self.settings.local.home
        self.supervisor.begin()
        self.console.print("starting " + (" and ".join(e.kind.name for e in self.supervisor.engines) or "the services"))
        try:
            # Side by side: Postgres, and what needs only it or waits for Kafka by itself, are up before Kafka is.
            async with asyncio.TaskGroup() as group:
                group.create_task(self._start_kafka())
                database = group.create_task(self._start_postgres())
        except ExceptionGroup as faults:
            raise faults.exceptions[0] from None
        key, is_empty = database.result()
        await self.supervisor.scale(self.services["processors"], wanted_counts(home)["processors"])
        await _await_services(self.settings.local)
        ingest_url, query_url = (f"http://127.0.0.1:{port}" for _, _, port in _ports(self.settings.local))
        if is_empty:
            await _show_samples(ingest_url, query_url, key)
        seconds = time.monotonic() - began
        for line in (f"ingest  {ingest_url}", f"query   {query_url}", f"key     {key}", f"ready in {seconds:.1f} s"):
            self.console.print(line, highlight=False)
        self.supervisor.mark_ready()
        await _follow_wishes(self.settings.local, self.supervisor)

    async def _start_kafka(self) -> None:
        if self.kafka is not None:
            await self.supervisor.start_engine(self.kafka)
        servers = self.settings.kafka.servers(self.settings.local)
        try:
            created = await ensure_topics(servers, self.settings.kafka)
        except (OSError, KafkaError) as exc:
            raise LocalEngineError(f"Kafka at {servers} does not answer ({exc}): check PATHLINE_KAFKA") from exc
        for name in created:
            self.console.print(f"topic {name} created")

    async def _start_postgres(self) -> tuple[str, bool]:
        """Returns the key of this home and whether the store is empty."""
        if self.postgres is not None:
            await self.supervisor.start_engine(self.postgres)
        dsn = self.settings.postgres.address(self.settings.local)
        try:
            applied = await migrate(dsn)
            first = await first_key(dsn, self.settings.local.api_key_file)
        except (OSError, TimeoutError) as exc:
            raise LocalEngineError(f"Postgres does not answer ({exc}): check PATHLINE_POSTGRES") from exc
        for name in applied:
            self.console.print(f"migration {name} applied")
        await self.supervisor.scale(self.services["ingest"], wanted_counts(self.settings.local.home)["ingest"])
        await self.supervisor.scale(self.services["query"], 1)
        return first


def _services(settings: Settings, listening: dict[str, socket.socket]) -> dict[str, Service]:
    """The three stages; each process learns by its environment where the engines are and which slot it fills."""
    local = settings.local

    def command(name: str, slot: int) -> Command:
        made = Command(
            name=name,
            argv=(sys.executable, "-m", name),
            log=local.logs / f"{name}-{slot}.log",
            env=os.environ
            | {
                "PATHLINE_HOME": str(local.home),
                "PATHLINE_KAFKA": settings.kafka.servers(local),
                "PATHLINE_POSTGRES": settings.postgres.address(local),
                # Static membership: a worker started again in a slot takes over the partitions of the one before.
                "PROCESSORS_INSTANCE": str(slot),
                "PROCESSORS_PORT": str(worker_port(local, slot)),
            },
            cwd=CHECKOUT,
        )
        return on_socket(made, listening[name]) if name in listening else made

    def removed(slots: list[int]) -> Command:
        leave = command("processors", slots[0])
        return replace(leave, argv=(*leave.argv, "leave", *map(str, slots)))

    def lives(slot: int) -> bool:
        return answers(worker_port(local, slot), "/livez")

    return {
        "ingest": Service("ingest", partial(command, "ingest")),
        "processors": Service("processors", partial(command, "processors"), lives, removed),
        "query": Service("query", partial(command, "query")),
    }


def worker_port(local: LocalSettings, slot: int) -> int:
    """Where the worker of a slot answers for itself."""
    return local.processors_port + slot - 1


async def _await_services(local: LocalSettings) -> None:
    waiting = {name: port for name, _, port in _ports(local)} | {"processors": worker_port(local, 1)}
    deadline = time.monotonic() + SERVICES_READY_SECONDS
    while waiting:
        for name, port in list(waiting.items()):
            if await asyncio.to_thread(answers_ready, port):
                del waiting[name]
        if waiting and time.monotonic() > deadline:
            names = " and ".join(waiting)
            raise LocalEngineError(f"{names} not ready after {SERVICES_READY_SECONDS:.0f} s: look into {local.logs}")
        if waiting:
            await asyncio.sleep(0.05)


def answers_ready(port: int) -> bool:
    """True when the service on the loopback port says that it is of use; blocking, at most 3 s."""
    return answers(port, "/readyz")


def answers(port: int, path: str, *, pid: int | None = None) -> bool:
    """True when the service on the loopback port answers with 200, and from process `pid` if given; at most 3 s."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=3.0)
    try:
        connection.request("GET", path)
        if connection.getresponse().status != http.HTTPStatus.OK:
            return False
        ours = connection.sock.getsockname()
        # The server's end of this connection is an open file of whoever took it.
        return pid is None or any(one.raddr == ours for one in psutil.Process(pid).net_connections())
    except (OSError, http.client.HTTPException, psutil.NoSuchProcess):
        return False
    finally:
        connection.close()


async def _show_samples(ingest_url: str, query_url: str, key: str) -> None:
    """Log the sample workload through the public endpoint, by the client that users have; it prints its sessions."""
    arguments = ("--ingest", ingest_url, "--query", query_url, "--key", key)
    samples = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ingest.samples", *arguments, cwd=CHECKOUT, stdin=asyncio.subprocess.DEVNULL
    )
    try:
        if await samples.wait():
            raise LocalEngineError("the sample workload failed; what it printed says why")
    finally:
        if samples.returncode is None:
            samples.kill()
            await samples.wait()


async def _follow_wishes(local: LocalSettings, supervisor: Supervisor) -> None:
    """Run as many copies as are asked for by SIGUSR1, and start all anew when SIGUSR2 asks for it."""
    asked, rolling = asyncio.Event(), asyncio.Event()

    def ask_to_roll() -> None:
        rolling.set()
        asked.set()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, asked.set)
    loop.add_signal_handler(signal.SIGUSR2, ask_to_roll)
    while True:
        await asked.wait()
        asked.clear()
        for name, count in wanted_counts(local.home).items():
            await supervisor.scale_by_name(name, count)
        if rolling.is_set():
            rolling.clear()
            try:
                await _roll(local, supervisor)
            except LocalEngineError as fault:
                log.error("rolling_restart_ended", reason=str(fault))


async def _roll(local: LocalSettings, supervisor: Supervisor) -> None:
    """Start every stage anew. One copy more of a stage behind a socket serves meanwhile."""
    ports = {name: port for name, _, port in _ports(local)}

    async def worker_is_ready(slot: int, _: int) -> bool:
        return await asyncio.to_thread(answers_ready, worker_port(local, slot))

    await supervisor.roll("processors", worker_is_ready)
    for name in (name for name in STAGES if name in ports):
        count = wanted_counts(local.home).get(name, 1)

        async def is_ready(_: int, pid: int, port: int = ports[name]) -> bool:
            return await asyncio.to_thread(answers, port, "/readyz", pid=pid)

        await supervisor.scale_by_name(name, count + 1)
        await supervisor.await_copy(name, count + 1, is_ready)
        try:
            await supervisor.roll(name, is_ready, slots=range(1, count + 1))
        finally:
            await supervisor.scale_by_name(name, count)
