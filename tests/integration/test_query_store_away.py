"""Goal: while Postgres is away or slow the query service says so in the specified words, and recovers by itself.

Method: the real process, on an inherited socket, behind a port that leads to Postgres only after a while; and a lock
that holds a statement up beyond its time.
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx

from tests.integration.query_service import make_keys, query_client
from tests.services import free_ports, wait_until


@asynccontextmanager
async def query_process(dsn: str) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """`python -m query --fd` on a socket that this test owns: its address, and the process."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        descriptor = listening.fileno()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "query", "--fd", str(descriptor),
            pass_fds=[descriptor], env={**os.environ, "PATHLINE_POSTGRES": dsn},
        )  # fmt: skip
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def forward(port: int, host: str, to_port: int) -> asyncio.Server:
    """Listen on `port` and lead every connection to Postgres."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(65_536):
                writer.write(chunk)
                await writer.drain()
        except ConnectionError:
            return
        finally:
            writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(host, to_port)
        await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))

    return await asyncio.start_server(connected, "127.0.0.1", port)


async def test_it_starts_without_postgres_recovers_and_stops_on_sigterm(database: str) -> None:
    connection = await asyncpg.connect(database)
    keys = await make_keys(connection)
    await connection.close()
    parts = urlsplit(database)
    (port,) = free_ports(1)
    away = urlunsplit(parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{port}"))
    headers = {"Authorization": f"Bearer {keys.reader}"}
    async with (
        query_process(away) as (address, process),
        httpx.AsyncClient(base_url=address, headers=headers) as client,
    ):
        response = await client.post("/v1/session/query", json={}, timeout=30)
        assert response.status_code == 503
        assert response.json() == {"data": None, "error": "Store unavailable, try again"}
        assert response.headers["Retry-After"] == "1"
        assert (await client.get("/livez")).status_code == 200
        assert (await client.get("/readyz")).status_code == 503

        server = await forward(port, parts.hostname or "", parts.port or 5432)

        async def answers() -> bool:
            return (await client.post("/v1/session/query", json={})).status_code == 200

        await wait_until(answers, seconds=10, what="a query after Postgres came back")
        assert (await client.get("/readyz")).json() == {"status": "ok", "checks": {"postgres": "ok"}}
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0
        server.close()


async def test_a_statement_beyond_its_time_is_504(database: str) -> None:
    connection = await asyncpg.connect(database)
    keys = await make_keys(connection)
    async with query_client(database, keys.reader, statement_timeout_ms=300) as client, connection.transaction():
        await connection.execute("LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE")
        response = await client.post("/v1/session/query", json={})
        assert response.status_code == 504
        text = "Query timeout. Try a shorter time range or simpler filters."
        assert response.json() == {"data": None, "error": text}
    await connection.close()


async def test_connections_that_postgres_closed_are_replaced(database: str) -> None:
    connection = await asyncpg.connect(database)
    keys = await make_keys(connection)
    async with query_client(database, keys.reader) as client:
        assert (await client.post("/v1/session/query", json={})).status_code == 200
        text = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'test-query'"
        await connection.execute(text)

        async def answers() -> bool:
            response: Any = await client.post("/v1/session/query", json={})
            assert response.status_code in (200, 503)
            return bool(response.status_code == 200)

        await wait_until(answers, seconds=5, what="a query over a new connection")
    await connection.close()
