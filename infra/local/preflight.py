"""Checks before an engine starts, and reading its log after it did not: each fault becomes one line with a remedy."""

import errno
import shutil
import socket
from pathlib import Path

import psutil

from infra.local.errors import DiskFullError, LocalEngineError, PortTakenError

FREE_BYTES_MIN = 512 * 1024 * 1024
"""Less than this and an engine would start only to stop in the middle of a load."""

LOG_TAIL_BYTES = 16 * 1024
"""Enough of a log's end to hold the reason for an exit."""


def require_free_port(port: int, *, setting: str) -> None:
    """Pass when a server could listen on the loopback port now.

    Raises:
        PortTakenError: somebody listens there; names the port, the owner, and the setting that moves us.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Connections in TIME_WAIT do not count: every server here reuses the address too.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen()
        except OSError as exc:
            if exc.errno == errno.EADDRINUSE:
                raise PortTakenError(port, port_owner(port), setting) from exc
            raise LocalEngineError(f"port {port} cannot be used ({exc.strerror}): set {setting} to another") from exc


def port_owner(port: int) -> str:
    """Who listens on the port, as "name (pid n)"; vaguer where the system hides other users' sockets."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return "another process"
    for connection in connections:
        if connection.laddr and connection.laddr.port == port and connection.pid:
            if connection.status != psutil.CONN_LISTEN:
                continue
            try:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
            except psutil.NoSuchProcess:
                break
    return "another process"


def require_space(home: Path) -> None:
    """Pass when the disk under `home` has room for an engine to work.

    Raises:
        DiskFullError: it has not; says how much is free and how much is needed.
    """
    free_bytes = shutil.disk_usage(home).free
    if free_bytes < FREE_BYTES_MIN:
        raise DiskFullError(
            f"the disk of {home} has {free_bytes >> 20} MB free and the engines need {FREE_BYTES_MIN >> 20} MB: "
            "free some space, or set PATHLINE_HOME to a folder on another disk"
        )


def explain_exit(name: str, log: Path, started_at_byte: int) -> LocalEngineError:
    """Why an engine ended during its start, read from what it wrote since `started_at_byte` of its log."""
    with log.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(started_at_byte, size - LOG_TAIL_BYTES) if size > started_at_byte else 0)
        tail = file.read().decode(errors="replace")
    if "No space left on device" in tail:
        return DiskFullError(f"{name} stopped because the disk of {log.parent} is full: free some space")
    telling = [line for line in tail.splitlines() if any(word in line for word in ("FATAL", "ERROR", "Exception"))]
    last = (telling or tail.splitlines() or ["it wrote nothing"])[0].strip()
    return LocalEngineError(f"{name} ended while starting: {last[:300]} (more in {log})")
