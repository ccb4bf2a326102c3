"""CPU time of processes with all their children."""

from collections.abc import Mapping

import psutil


def cpu_seconds(pid: int) -> dict[tuple[int, float], float]:
    """User and system time so far of a process and its living descendants, by (pid, start)."""
    root = psutil.Process(pid)
    spent = {}
    for process in (root, *root.children(recursive=True)):
        try:
            times = process.cpu_times()
            spent[process.pid, process.create_time()] = times.user + times.system
        except psutil.NoSuchProcess:
            continue
    return spent


def spent_between(before: Mapping[tuple[int, float], float], after: Mapping[tuple[int, float], float]) -> float:
    """Seconds between two readings. A process that began meanwhile counts whole; one that ended is forgotten."""
    return sum(seconds - before.get(process, 0.0) for process, seconds in after.items())
