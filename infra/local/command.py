"""A program to run as our child: what it is, how it starts, how it stops."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

TETHER = Path(__file__).with_name("tether.py")

POLL_SECONDS = 0.02
"""How often the state of a process is looked at while something waits for it."""


@dataclass(frozen=True)
class User:
    """Whom a program runs as when we are root and it must not be."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True)
class Command:
    """Everything that decides how a child process runs. `env` is complete: nothing else is inherited."""

    name: str
    argv: tuple[str, ...]
    log: Path
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    cwd: Path | None = None
    user: User | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    inherited_fds: tuple[int, ...] = ()


def start(command: Command) -> subprocess.Popen[bytes]:
    """Start the program as our child, its output appended to `command.log`.

    It gets a session of its own, so that Ctrl-C in a terminal reaches only us and the order of stopping is ours.
    It dies with the thread that called this (see `tether`): call from the main thread.
    """
    user = (str(command.user.uid), str(command.user.gid)) if command.user else ("-", "-")
    tether = (sys.executable, "-I", "-S", str(TETHER), str(int(command.stop_signal)), str(os.getpid()), *user)
    command.log.parent.mkdir(parents=True, exist_ok=True)
    with command.log.open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - the arguments are ours
            [*tether, *command.argv],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=dict(command.env),
            cwd=command.cwd,
            pass_fds=command.inherited_fds,
            start_new_session=True,
        )


async def stop(process: subprocess.Popen[bytes], stop_signal: signal.Signals, *, grace_seconds: float) -> None:
    """Ask the process to stop, and kill it when it has not by then; returns once it is gone and reaped."""
    if process.poll() is None:
        process.send_signal(stop_signal)
    if not await exited_within(process, grace_seconds):
        process.kill()
        await exited_within(process, 5.0)


async def exited_within(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait until the process has ended and reap it; false when it is still there at the deadline."""
    deadline = asyncio.get_running_loop().time() + seconds
    while process.poll() is None:
        if asyncio.get_running_loop().time() >= deadline:
            return False
        await asyncio.sleep(POLL_SECONDS)
    return True


def stop_leftovers(command: Command, *, grace_seconds: float = 8.0) -> list[int]:
    """Stop processes that run exactly this command line, which names our own data folder; return their pids.

    They are what a killed supervisor left behind: two servers on one data folder would refuse each other. Blocking.
    """
    argv = list(command.argv)
    found = [process for process in psutil.process_iter(["cmdline"]) if process.info["cmdline"] == argv]
    return stop_processes(found, command.stop_signal, grace_seconds=grace_seconds)


def stop_processes(processes: list[psutil.Process], stop_signal: signal.Signals, *, grace_seconds: float) -> list[int]:
    """Stop processes that need not be our children, by force at the deadline; return their pids. Blocking."""
    for process in processes:
        try:
            process.send_signal(stop_signal)
        except psutil.NoSuchProcess:
            continue
    _, alive = psutil.wait_procs(processes, timeout=grace_seconds)
    for process in alive:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(alive, timeout=5.0)
    return [process.pid for process in processes]
