"""The life of one local engine: prepare, start, wait until it serves, stop, kill."""

import asyncio
import subprocess
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from infra.local import command as commands
from infra.local.command import Command
from infra.local.errors import LocalEngineError
from infra.local.preflight import explain_exit, require_free_port, require_space
from infra.settings import LocalSettings

PROBE_INTERVAL_SECONDS = 0.05
"""Between two attempts to reach an engine that is starting."""


@dataclass(frozen=True)
class EngineKind:
    """What distinguishes one engine from another."""

    name: str
    #: Make the data folder, the configuration and the user; blocking, seconds the first time, idempotent.
    prepare: Callable[[LocalSettings], Command]
    #: True once the engine answers a real request.
    probe: Callable[[LocalSettings], Awaitable[bool]]
    #: Setting's name -> the port it gives.
    ports: Callable[[LocalSettings], Mapping[str, int]]
    #: How long an orderly stop may take before the engine is killed.
    stop_seconds: float


class Engine:
    """One engine in one home. `start` after a `kill` is the restart; not for use by several tasks at once."""

    def __init__(self, kind: EngineKind, settings: LocalSettings) -> None:
        self.kind = kind
        self.settings = settings
        self._command: Command | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._log_size_bytes = 0

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The child as it was last started.

        Raises:
            LocalEngineError: it never was.
        """
        if self._process is None:
            raise LocalEngineError(f"{self.kind.name} was not started")
        return self._process

    @property
    def pid(self) -> int:
        """Process id of the engine itself: signals sent to it reach the engine."""
        return self.process.pid

    async def start(self, *, ready_within_seconds: float = 60.0) -> None:
        """Start the engine and return once it serves.

        Raises:
            LocalEngineError: it cannot, or did not in time; nothing of it runs then.
        """
        await self.spawn()
        try:
            await self.await_ready(within_seconds=ready_within_seconds)
        except BaseException:
            await self.stop()
            raise

    async def spawn(self) -> None:
        """Start the process without waiting for it to serve; what a killed supervisor left is stopped first.

        Raises:
            LocalEngineError: a port is taken, the disk is full, or the data folder cannot be prepared.
        """
        self.settings.home.mkdir(parents=True, exist_ok=True)
        require_space(self.settings.home)
        self._command = await asyncio.to_thread(self.kind.prepare, self.settings)
        await asyncio.to_thread(commands.stop_leftovers, self._command)
        for setting, port in self.kind.ports(self.settings).items():
            require_free_port(port, setting=setting)
        log = self._command.log
        self._log_size_bytes = log.stat().st_size if log.exists() else 0
        self._process = commands.start(self._command)

    async def await_ready(self, *, within_seconds: float = 60.0) -> None:
        """Return once the engine answers a real request.

        Raises:
            LocalEngineError: it ended (says why), or did not answer in time.
        """
        process, command = self.process, self._command
        if command is None:
            raise LocalEngineError(f"{self.kind.name} was not started")
        deadline = asyncio.get_running_loop().time() + within_seconds
        while True:
            if process.poll() is not None:
                raise explain_exit(self.kind.name, command.log, self._log_size_bytes)
            if await self.kind.probe(self.settings):
                return
            if asyncio.get_running_loop().time() > deadline:
                raise LocalEngineError(
                    f"{self.kind.name} did not answer within {within_seconds:.0f} s: look into {command.log}"
                )
            await asyncio.sleep(PROBE_INTERVAL_SECONDS)

    async def stop(self) -> None:
        """Stop in an orderly way, by force at the deadline; a no-op when it does not run."""
        if self._process is not None and self._command is not None:
            await commands.stop(self._process, self._command.stop_signal, grace_seconds=self.kind.stop_seconds)

    async def kill(self) -> None:
        """SIGKILL, and return once the process is reaped: what a crash does."""
        self.process.kill()
        await commands.exited_within(self.process, 5.0)
