"""What runs in a home: the file by which `status`, `down` and the next start know the supervisor and its processes.

A pid alone proves nothing, because the system gives it to others later; with the time of its creation it does.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from infra.local.errors import AlreadyRunningError, LocalEngineError


@dataclass(frozen=True)
class ProcessRecord:
    """One process of ours; `slot` tells the copies of a service apart, from 1."""

    name: str
    slot: int
    pid: int
    created_at: float

    @classmethod
    def of(cls, name: str, slot: int, pid: int) -> "ProcessRecord | None":
        """The record of a process that runs; None when it has ended already."""
        try:
            return cls(name, slot, pid, psutil.Process(pid).create_time())
        except psutil.NoSuchProcess:
            return None

    def process(self) -> psutil.Process | None:
        """The process, if it is verifiably still the one that was recorded."""
        try:
            process = psutil.Process(self.pid)
            if process.create_time() == self.created_at and process.status() != psutil.STATUS_ZOMBIE:
                return process
        except psutil.NoSuchProcess:
            pass
        return None

    def require_process(self) -> psutil.Process:
        """The process, which has to run still.

        Raises:
            LocalEngineError: it has ended.
        """
        process = self.process()
        if process is None:
            raise LocalEngineError(f"{self.name} (pid {self.pid}) has just ended")
        return process


@dataclass(frozen=True)
class RunRecord:
    """The supervisor, its children, and whether the start is complete."""

    supervisor: ProcessRecord
    ready: bool = False
    children: list[ProcessRecord] = field(default_factory=list)

    def write(self, home: Path) -> None:
        """Replace the record; a reader sees the old one or the new one."""
        staging = home / "processes.json.new"
        staging.write_text(json.dumps(asdict(self), indent=1))
        staging.replace(home / "processes.json")


def read_record(home: Path) -> RunRecord | None:
    """The last record written in this home, whether its processes run or not."""
    try:
        content = json.loads((home / "processes.json").read_text())
    except FileNotFoundError:
        return None
    children = [ProcessRecord(**child) for child in content["children"]]
    return RunRecord(ProcessRecord(**content["supervisor"]), content["ready"], children)


def running_record(home: Path) -> RunRecord | None:
    """The record, if its supervisor runs."""
    record = read_record(home)
    return record if record is not None and record.supervisor.process() is not None else None


@contextmanager
def owned(home: Path) -> Iterator[None]:
    """Be the only supervisor of this home. The kernel gives the lock back even when we are killed.

    Raises:
        AlreadyRunningError: another one is; names its pid.
    """
    home.mkdir(parents=True, exist_ok=True)
    with (home / "supervisor.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            record = read_record(home)
            owner = f" (pid {record.supervisor.pid})" if record else ""
            raise AlreadyRunningError(f"Pathline runs already in {home}{owner}: `make down` stops it") from exc
        try:
            yield
        finally:
            (home / "processes.json").unlink(missing_ok=True)


def own_record() -> ProcessRecord:
    """The record of this very process as the supervisor."""
    return ProcessRecord("supervisor", 1, os.getpid(), psutil.Process().create_time())
