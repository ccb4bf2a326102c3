"""Keeps engines and services running: starts, restarts after a crash, scales, rotates logs, stops in order.

Everything happens in one event loop; one task keeps each process, and cancelling the task stops the process.
"""

import asyncio
import signal
import socket
import subprocess
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog

from infra.local import command as commands
from infra.local.command import Command
from infra.local.engine import Engine
from infra.local.errors import LocalEngineError
from infra.local.logs import rotate_large_logs
from infra.local.record import ProcessRecord, RunRecord, own_record

log = structlog.get_logger()

SERVICE_STOP_SECONDS = 4.0
"""For open requests and the batch in work to end. With the engines' own limits a whole stop stays below ten."""

SCALE_DOWN_SECONDS = 30.0
"""Nobody waits for a service that is taken away: it may finish everything."""

RESTART_DELAYS_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)
"""After the first, second, ... crash in a row; the last one from then on."""

STABLE_AFTER_SECONDS = 10.0
"""A process that ran this long has started well: its next crash is a first one again."""

HANG_SECONDS = 15.0
"""A process that has answered before and does not for so long hangs. A busy machine delays an answer by less."""

HANG_AT_START_SECONDS = 90.0
"""The same for the first answer."""

LIVE_LOOK_SECONDS = 1.0
"""Between two questions whether a process lives."""

ROLL_SECONDS = 60.0
"""For one process to be of use after it was started anew."""

REMOVAL_SECONDS = 10.0
"""For the word that slots are gone for good; without it nothing is lost but time."""

LOOK_SECONDS = 0.1
"""How often a process is looked at to see whether it has ended."""

ROTATE_SECONDS = 5.0
"""How often the logs are looked at; between two looks one can grow beyond its bound."""


IsReady = Callable[[int, int], Awaitable[bool]]
"""Whether the process of a slot, by its pid, is of use."""


@dataclass(frozen=True)
class Service:
    """A kind of process of which several may run; `command` makes the one for a slot."""

    name: str
    command: Callable[[int], Command]
    #: Whether the process of a slot lives; blocking. Not given: it lives as long as it exists.
    lives: Callable[[int], bool] | None = None
    #: What says that slots are gone for good.
    removed: Callable[[list[int]], Command] | None = None


@dataclass
class Kept:
    """A process that is being kept: its task, and what runs now."""

    name: str
    slot: int
    task: asyncio.Task[None] | None = None
    process: subprocess.Popen[bytes] | None = None
    is_surplus: bool = False
    is_rolling: bool = False
    crashes_in_a_row: int = 0


@dataclass
class Supervisor:
    """All processes of one home. Made and used in the main thread: children die with the thread that started them."""

    home: Path
    logs: Path
    engines: list[Engine]
    _kept: dict[tuple[str, int], Kept] = field(default_factory=dict)
    _services: dict[str, Service] = field(default_factory=dict)
    _ready: bool = False
    _rotation: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Take charge of the home: from here on others see that it is run, and logs are kept within bounds."""
        self._record()
        self._rotation = asyncio.create_task(self._rotate_for_ever())

    async def start_engine(self, engine: Engine) -> None:
        """Start one of the engines and return when it serves; from then on it is kept.

        Raises:
            LocalEngineError: it cannot start; nothing of it runs then.
        """
        kept = self._kept[engine.kind.name, 1] = Kept(engine.kind.name, 1)
        await engine.spawn()
        kept.process = engine.process
        self._record()
        try:
            await engine.await_ready()
        except BaseException:
            await engine.stop()
            raise
        kept.task = asyncio.create_task(self._keep_engine(engine, kept))

    async def scale(self, service: Service, count: int) -> None:
        """Run `count` copies in the slots 1 to `count`; what is beyond ends in its own time, what is missing starts."""
        self._services[service.name] = service
        surplus = [kept for kept in self._of(service.name) if kept.slot > count]
        for kept in surplus:
            kept.is_surplus = True
        for slot in range(1, count + 1):
            if (service.name, slot) not in self._kept:
                kept = self._kept[service.name, slot] = Kept(service.name, slot)
                kept.task = asyncio.create_task(self._keep_service(service, kept))
        await self._stop_all(surplus)
        if surplus and service.removed is not None:
            await self._say_removed(service.removed([kept.slot for kept in surplus]))

    async def _say_removed(self, command: Command) -> None:
        process = commands.start(command)
        if not await commands.exited_within(process, REMOVAL_SECONDS):
            await commands.stop(process, command.stop_signal, grace_seconds=1.0)
        if process.returncode:
            log.warning("removal_not_said", process=command.name, exit_code=process.returncode)

    async def roll(self, name: str, is_ready: IsReady, slots: range | None = None) -> None:
        """Start the copies of a service anew, one after the other: all of them, or those in these slots.

        Raises:
            LocalEngineError: a copy is of no use in time; those after it were not touched.
        """
        for kept in self._of(name):
            if kept.process is not None and (slots is None or kept.slot in slots):
                kept.is_rolling = True
                await commands.stop(kept.process, signal.SIGTERM, grace_seconds=SERVICE_STOP_SECONDS)
                await self.await_copy(name, kept.slot, is_ready)

    async def await_copy(self, name: str, slot: int, is_ready: IsReady) -> None:
        """Return once the copy in a slot runs and is of use.

        Raises:
            LocalEngineError: it is not in time.
        """
        kept = self._kept[name, slot]
        deadline = asyncio.get_running_loop().time() + ROLL_SECONDS
        while True:
            process = kept.process
            if process is not None and process.poll() is None and await is_ready(slot, process.pid):
                return
            if asyncio.get_running_loop().time() > deadline:
                raise LocalEngineError(f"{name} {slot} not ready after {ROLL_SECONDS:.0f} s")
            await asyncio.sleep(LOOK_SECONDS)

    async def scale_by_name(self, name: str, count: int) -> None:
        """Change the number of copies of a service that runs already."""
        await self.scale(self._services[name], count)

    def mark_ready(self) -> None:
        """Note that the start is complete, for those who wait for it outside."""
        self._ready = True
        self._record()

    async def stop(self) -> None:
        """Stop everything: services first, then the engines, the last started last; returns when nothing runs."""
        if self._rotation is not None:
            self._rotation.cancel()
        engines = {engine.kind.name for engine in self.engines}
        await self._stop_all(kept for kept in list(self._kept.values()) if kept.name not in engines)
        for engine in self.engines:
            await self._stop_all(self._of(engine.kind.name))
            await engine.stop()

    def _of(self, name: str) -> list[Kept]:
        return [kept for kept in self._kept.values() if kept.name == name]

    async def _stop_all(self, these: Iterable[Kept]) -> None:
        stopping = list(these)
        tasks = [kept.task for kept in stopping if kept.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for kept in stopping:
            self._kept.pop((kept.name, kept.slot), None)
        self._record()

    async def _keep_service(self, service: Service, kept: Kept) -> None:
        command = service.command(kept.slot)
        while True:
            began = asyncio.get_running_loop().time()
            kept.process = commands.start(command)
            self._record()
            try:
                await self._ended_or_hung(service, kept.slot, kept.process)
            except asyncio.CancelledError:
                grace_seconds = SCALE_DOWN_SECONDS if kept.is_surplus else SERVICE_STOP_SECONDS
                await commands.stop(kept.process, command.stop_signal, grace_seconds=grace_seconds)
                raise
            if kept.is_rolling:
                kept.is_rolling = False
            else:
                await self._pause_after_crash(kept, began)

    async def _ended_or_hung(self, service: Service, slot: int, process: subprocess.Popen[bytes]) -> None:
        """Return once the process has ended; one that hangs is ended by force, as it can do nothing by itself."""
        if service.lives is None:
            await _ended(process)
            return
        loop = asyncio.get_running_loop()
        deadline = loop.time() + HANG_AT_START_SECONDS
        while process.poll() is None:
            if await asyncio.to_thread(service.lives, slot):
                deadline = loop.time() + HANG_SECONDS
            elif loop.time() > deadline:
                log.error("process_hangs", process=service.name, slot=slot, pid=process.pid)
                process.kill()
                await _ended(process)
                return
            await commands.exited_within(process, LIVE_LOOK_SECONDS)

    async def _keep_engine(self, engine: Engine, kept: Kept) -> None:
        while True:
            began = asyncio.get_running_loop().time()
            await _ended(engine.process)
            await self._pause_after_crash(kept, began)
            try:
                await engine.spawn()
                kept.process = engine.process
                self._record()
                await engine.await_ready()
            except LocalEngineError as exc:
                log.error("engine_not_restarted", engine=kept.name, reason=str(exc))

    async def _pause_after_crash(self, kept: Kept, began: float) -> None:
        ran_seconds = asyncio.get_running_loop().time() - began
        kept.crashes_in_a_row = 1 if ran_seconds > STABLE_AFTER_SECONDS else kept.crashes_in_a_row + 1
        delay = RESTART_DELAYS_SECONDS[min(kept.crashes_in_a_row, len(RESTART_DELAYS_SECONDS)) - 1]
        code = kept.process.returncode if kept.process else None
        log.warning("process_ended", process=kept.name, slot=kept.slot, exit_code=code, restart_in_seconds=delay)
        await asyncio.sleep(delay)

    def _record(self) -> None:
        children = [
            record
            for kept in self._kept.values()
            if kept.process and (record := ProcessRecord.of(kept.name, kept.slot, kept.process.pid))
        ]
        RunRecord(own_record(), self._ready, children).write(self.home)

    async def _rotate_for_ever(self) -> None:
        while True:
            await asyncio.sleep(ROTATE_SECONDS)
            rotate_large_logs(self.logs)


async def _ended(process: subprocess.Popen[bytes]) -> None:
    # No event tells of it on every system, and the cost of looking is nothing.
    while process.poll() is None:  # noqa: ASYNC110
        await asyncio.sleep(LOOK_SECONDS)


def listen(port: int) -> socket.socket:
    """A listening loopback socket for children to inherit: it stays open while they come and go."""
    listening = socket.create_server(("127.0.0.1", port), backlog=2048)
    listening.setblocking(False)
    return listening


def on_socket(command: Command, listening: socket.socket) -> Command:
    """The command with the socket passed on, told by `--fd`."""
    fd = listening.fileno()
    return replace(command, argv=(*command.argv, "--fd", str(fd)), inherited_fds=(fd,))
