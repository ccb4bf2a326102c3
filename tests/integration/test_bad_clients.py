"""Goal: clients that are slow, silent, many or hostile harm nobody else, and what they sent is in no log.

Method: `python -m ingest` with short time limits, driven over plain sockets beside a well-behaved client.
"""

import asyncio
import gzip
import json
import resource
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import psutil
import pytest
import zstandard
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.ingest_service import Ingest
from tests.services import wait_until

HEAD_SECONDS, IDLE_SECONDS, BODY_SECONDS = 2, 3, 2
IDLE_CONNECTIONS = 5_000
OPEN_FILES = 6_000
GB = 1_000_000_000


@pytest.fixture
def ingest_settings() -> dict[str, str]:
    return {
        "INGEST_HEAD_SECONDS_MAX": str(HEAD_SECONDS),
        "INGEST_KEEP_ALIVE_SECONDS": str(IDLE_SECONDS),
        "INGEST_BODY_SECONDS_MAX": str(BODY_SECONDS),
    }


@pytest.fixture
def many_files() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[1] != resource.RLIM_INFINITY and before[1] < OPEN_FILES:
        pytest.fail(f"the system allows {before[1]} open files, this test needs {OPEN_FILES}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], OPEN_FILES), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@asynccontextmanager
async def raw(ingest: Ingest) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection whose bytes the test writes itself."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(ingest.url.rpartition(":")[2]))
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def drip(writer: asyncio.StreamWriter, text: bytes) -> None:
    """A byte a second, until nobody takes them any more."""
    with suppress(OSError):
        for byte in text:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(1)


async def answer_to_dripping(ingest: Ingest, at_once: bytes, dripped: bytes) -> tuple[bytes, float]:
    """All that comes back until the connection is closed, and after how many seconds that was."""
    async with raw(ingest) as (reader, writer):
        began = time.monotonic()
        writer.write(at_once)
        dripping = asyncio.create_task(drip(writer, dripped))
        answer = b""
        with suppress(ConnectionError):
            answer = await asyncio.wait_for(reader.read(), 20)
        seconds = time.monotonic() - began
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)
        return answer, seconds


async def test_slow_clients_are_let_go_and_others_served_meanwhile(ingest: Ingest) -> None:
    auth = f"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ingest.key}\r\n".encode()
    head, body, idle = (
        asyncio.create_task(answer_to_dripping(ingest, at_once, dripped))
        for at_once, dripped in (
            (auth, b"X-Slow: " + b"y" * 60),
            (auth + b"Content-Length: 1000\r\n\r\n", b'{"name":"' + b"y" * 60),
            (b"", b""),
        )
    )
    async with ingest.client() as client:
        served = 0
        while not (head.done() and body.done() and idle.done()):
            assert (await client.post("/v1/events", json={})).status_code == 200
            served += 1
    assert served > 10
    answer, seconds = head.result()
    assert (answer, seconds < HEAD_SECONDS + 3) == (b"", True)
    answer, seconds = body.result()
    assert answer.startswith(b"HTTP/1.1 408")
    assert b'"code":"body_too_slow"' in answer
    assert seconds < BODY_SECONDS + 3
    answer, seconds = idle.result()
    assert (answer, IDLE_SECONDS - 1 < seconds < IDLE_SECONDS + 3) == (b"", True)


async def test_5000_idle_connections_are_closed_in_time_and_others_served(ingest: Ingest, many_files: None) -> None:
    host, port = "127.0.0.1", int(ingest.url.rpartition(":")[2])
    streams: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    try:
        for _ in range(IDLE_CONNECTIONS // 100):
            streams += await asyncio.gather(*(asyncio.open_connection(host, port) for _ in range(100)))
        async with ingest.client() as client:
            assert (await client.post("/v1/events", json={})).status_code == 200
            closed = asyncio.gather(*(reader.read() for reader, _ in streams))
            async with asyncio.timeout(IDLE_SECONDS + 15):
                while not closed.done():
                    assert (await client.post("/v1/events", json={})).status_code == 200
            assert set(await closed) == {b""}

            async def let_go() -> bool:
                return (await samples(ingest))["pathline_ingest_connections"] <= 2

            await wait_until(let_go, seconds=5, what="the process has closed its ends")
    finally:
        for _, writer in streams:
            writer.close()


async def samples(ingest: Ingest) -> dict[str, float]:
    async with ingest.client() as client:
        text = (await client.get("/metrics")).text
    return {sample.name: sample.value for family in text_string_to_metric_families(text) for sample in family.samples}


async def test_bombs_do_not_grow_the_process(ingest: Ingest) -> None:
    process = psutil.Process(ingest.stage.process.pid)
    compressor = zstandard.ZstdCompressor().compressobj()
    zeros = bytes(GB // 100)
    frame = b"".join(compressor.compress(zeros) for _ in range(100)) + compressor.flush()
    bombs = {"gzip": gzip.compress(bytes(GB // 10)) * 100, "zstd": frame * 10}
    bombs["zstd"] += zstandard.ZstdCompressor(write_content_size=False).compress(bytes(10_000_000))[:-3]
    async with ingest.client() as client:
        assert (await client.post("/v1/events", json={})).status_code == 200
        before = peak = process.memory_info().rss
        for encoding, body in bombs.items():
            call = asyncio.create_task(client.post("/v1/events", content=body, headers={"Content-Encoding": encoding}))
            while not call.done():
                peak = max(peak, process.memory_info().rss)
                await asyncio.sleep(0.005)
            assert ((await call).status_code, (await call).json()["code"]) == (413, "payload_too_large")
    # The limit of a body, the body as it was sent, and copies of both while they pass through.
    assert peak - before < 160_000_000


async def test_no_log_line_has_a_body_or_a_key(ingest: Ingest) -> None:
    mark = "mark-of-a-body"
    other_key = "sk-pathline-zzzzzzz-zzzzzzz-zzzzzzz-zzzzzzz"
    log = {
        "providerRequest": {"url": "u", "json": {"a": mark}, "meta": {"Helicone-Auth": f"Bearer {other_key}"}},
        "providerResponse": {"status": 200, "json": {"b": mark}},
    }
    async with ingest.client() as client:
        for path in ("/custom/v1/log", f"/{ingest.key}/custom/v1/log", f"/{other_key}/oai/v1/log"):
            await client.post(path, json=log)
        for body in ({"request": mark}, {"status": mark}, {mark: 1}, [{"session_id": mark * 200}]):
            await client.post("/v1/events", json=body)
        await client.post("/v1/events", content=f'{{"name":"{mark}'.encode())
        await client.post("/v1/events", content=mark.encode(), headers={"Content-Encoding": "gzip"})
        await client.post(f"/{ingest.key}/{mark}", json=log)
        await client.post("/v1/events", json={}, headers={"Authorization": f"Bearer {other_key}"})
    async with raw(ingest) as (reader, writer):
        writer.write(f"{mark} {ingest.key}\r\n\r\n".encode())
        assert (await reader.read()).startswith(b"HTTP/1.1 400")
    assert await asyncio.to_thread(ingest.stage.terminate, within_seconds=8) == 0
    lines = ingest.stage.output.splitlines()
    assert [json.loads(line)["event"] for line in lines]
    for secret in (mark, ingest.key, other_key, ingest.key.rpartition("-")[2], "z" * 7):
        assert [line for line in lines if secret in line] == []


async def test_a_scrape_shows_queues_keys_connections_and_acknowledgements(ingest: Ingest) -> None:
    async with ingest.client() as client:
        await client.post("/v1/events", json=[{}] * 10)
        text = (await client.get("/metrics")).text
    assert f'pathline_ingest_queue_capacity_bytes{{pid="{ingest.stage.process.pid}",queue="in_flight"}}' in text
    found = await samples(ingest)
    assert found["pathline_ingest_acknowledgement_seconds_count"] >= 1
    assert 0 <= found["pathline_ingest_keys_age_seconds"] < 10
    assert found["pathline_ingest_connections"] >= 1
