"""Goal: what only the HTTP server sees (paths, bytes of headers, chunks) means what ingest.md sections 1 to 3 say.

Method: requests written byte by byte to a real `python -m ingest`, and the records that they became.
"""

import asyncio
import gzip
import json

import pytest

from ingest.decode.record import decode
from tests.integration.ingest_service import Ingest

BODY = json.dumps({"providerRequest": {"url": "u"}, "providerResponse": {"status": 200}}).encode()


async def exchange(ingest: Ingest, head: bytes, body: bytes = BODY, *, length: bool = True) -> tuple[int, bytes]:
    """Status and body of the answer to a request that is the connection's only one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(ingest.url.rpartition(":")[2]))
    try:
        lines = [head, b"Host: x", b"Connection: close"]
        if length:
            lines.append(b"Content-Length: %d" % len(body))
        writer.write(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        answer = await asyncio.wait_for(reader.read(), 20)
    finally:
        writer.close()
    status, _, rest = answer.partition(b"\r\n")
    return int(status.split(b" ")[1]), rest.partition(b"\r\n\r\n")[2]


async def test_paths_headers_and_chunks_as_they_stand_on_the_wire(ingest: Ingest) -> None:
    key = ingest.key.encode()
    bearer = b"Authorization: Bearer " + key
    requests = {
        b"slashes": b"POST //custom///v1/log HTTP/1.1\r\n" + bearer,
        b"key": b"POST /" + key + b"//custom/v1/log?x=1 HTTP/1.1",
        b"query": b"POST /custom/v1/log?a=/b//c HTTP/1.1\r\n" + bearer,
        b"absolute": b"POST http://elsewhere/custom/v1/log HTTP/1.1\r\n" + bearer,
        b"twice": b"POST /custom/v1/log HTTP/1.1\r\n" + bearer + b"\r\nAuthorization: Bearer sk-other",
        b"spaces": b"POST /custom/v1/log HTTP/1.1\r\nauthorization:   Bearer   " + key + b" \t",
    }
    for name, head in requests.items():
        head += (
            b"\r\nHelicone-Request-Id: "
            + name
            + b"\r\nHelicone-User-Id:\t J\xf6rg \r\nHelicone-Session-Name: Z\xc3\xbcrich"
        )
        assert await exchange(ingest, head) == (200, b"ok"), name
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (BODY[:10], BODY[10:])) + b"0\r\n\r\n"
    chunked = (
        b"POST /custom/v1/log HTTP/1.1\r\n" + bearer + b"\r\nTransfer-Encoding: chunked\r\nHelicone-Request-Id: chunked"
    )
    assert await exchange(ingest, chunked, chunks, length=False) == (200, b"ok")
    events = [decode(record) for _, _, record in await ingest.records()]
    ids = {event.properties["Helicone-Request-Id"] for event in events}
    assert ids == {name.decode() for name in requests} | {"chunked"}
    named = [event for event in events if event.user_id]
    assert {(event.user_id, event.session_name) for event in named} == {("Jörg", "Zürich")}


@pytest.mark.parametrize(
    "head",
    [
        b"POST /custom/v1/log HTTP/1.1\r\nX-Nul: a\0b",
        b"POST /custom/v1/log HTTP/1.1\r\nX-Long: " + b"x" * 64 * 1024,
        b"POST /custom/v1/log HTTP/1.1\r\nContent-Length: x",
        b"nonsense",
    ],
    ids=["nul", "64 KB", "length", "no HTTP"],
)
async def test_what_is_no_http_harms_nobody(ingest: Ingest, head: bytes) -> None:
    status, _ = await exchange(ingest, head)
    assert 400 <= status < 500
    async with ingest.client() as client:
        assert (
            await client.post("/custom/v1/log", content=gzip.compress(BODY), headers={"Content-Encoding": "gzip"})
        ).text == "ok"
