"""The whole of Pathline on this machine, in the order in which it starts: engines, topics, schema, key, services."""

import asyncio
import http.client
import os
import signal
import socket
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

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
from infra.local.scaling import forget_counts, wanted_counts
from infra.local.supervisor import Service, Supervisor, listen, on_socket
from infra.migrate import migrate
from infra.settings import KafkaSettings, LocalSettings, PostgresSettings
from infra.topics import ensure_topics

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
    engines = [] if settings.postgres.dsn else [Engine(POSTGRES, local)]
    if not settings.kafka.bootstrap:
        engines.insert(0, Engine(KAFKA, local))
    supervisor = Supervisor(local.home, local.logs, engines)
    work = asyncio.create_task(_serve(settings, console, supervisor, listening))
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


async def _serve(
    settings: Settings, console: Console, supervisor: Supervisor, listening: dict[str, socket.socket]
) -> None:
    began = time.monotonic()
    supervisor.begin()
    console.print("starting Kafka and Postgres" if supervisor.engines else "using the engines that run elsewhere")
    await supervisor.start_engines()
    servers, dsn = settings.kafka.servers(settings.local), settings.postgres.address(settings.local)
    created, applied, (key, is_empty) = await _prepare_engines(settings, servers, dsn)
    for what in [f"topic {name} created" for name in created] + [f"migration {name} applied" for name in applied]:
        console.print(what)
    services = _services(settings.local, servers, dsn, listening)
    counts = wanted_counts(settings.local.home)
    for service in services:
        await supervisor.scale(service, counts.get(service.name, 1))
    await _await_services(settings.local)
    ingest_url, query_url = (f"http://127.0.0.1:{port}" for _, _, port in _ports(settings.local))
    if is_empty:
        await _show_samples(ingest_url, query_url, key)
    console.print(f"ingest  {ingest_url}\nquery   {query_url}", highlight=False)
    console.print(f"key     {key}", highlight=False)
    console.print(f"ready in {time.monotonic() - began:.1f} s; Ctrl-C stops everything", highlight=False)
    supervisor.mark_ready()
    await _follow_scaling(settings.local.home, supervisor)


async def _prepare_engines(settings: Settings, servers: str, dsn: str) -> tuple[list[str], list[str], tuple[str, bool]]:
    async def database() -> tuple[list[str], tuple[str, bool]]:
        applied = await migrate(dsn)
        return applied, await first_key(dsn, settings.local.api_key_file)

    try:
        created, (applied, first) = await asyncio.gather(ensure_topics(servers, settings.kafka), database())
    except OSError as exc:
        raise LocalEngineError(
            f"an engine does not answer ({exc}): check PATHLINE_KAFKA and PATHLINE_POSTGRES"
        ) from exc
    return created, applied, first


def _services(local: LocalSettings, servers: str, dsn: str, listening: dict[str, socket.socket]) -> list[Service]:
    """The three stages; each process learns by its environment where the engines are and which slot it fills."""

    def command(name: str, slot: int) -> Command:
        made = Command(
            name=name,
            argv=(sys.executable, "-m", name),
            log=local.logs / f"{name}-{slot}.log",
            env=os.environ
            | {
                "PATHLINE_HOME": str(local.home),
                "PATHLINE_KAFKA": servers,
                "PATHLINE_POSTGRES": dsn,
                # Static membership: a worker started again in a slot takes over the partitions of the one before.
                "PROCESSORS_INSTANCE": str(slot),
            },
            cwd=CHECKOUT,
        )
        return on_socket(made, listening[name]) if name in listening else made

    return [Service(name, partial(command, name)) for name in ("ingest", "processors", "query")]


async def _await_services(local: LocalSettings) -> None:
    waiting = {name: port for name, _, port in _ports(local)}
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
    """True when the service on the loopback port answers `GET /readyz` with 200; blocking, at most 3 s."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=3.0)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
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


async def _follow_scaling(home: Path, supervisor: Supervisor) -> None:
    """Run as many copies as are asked for, each time that SIGUSR1 says that something was asked."""
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, asked.set)
    while True:
        await asked.wait()
        asked.clear()
        for name, count in wanted_counts(home).items():
            await supervisor.scale_by_name(name, count)
