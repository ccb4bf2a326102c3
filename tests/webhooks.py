"""A receiver of webhooks that answers as a test says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.services import free_ports


@dataclass
class Receiver:
    """What was posted, and what is answered: a status line, or None to say nothing at all."""

    answer: str | None = "200 OK"
    port: int = field(default_factory=lambda: free_ports(1)[0])
    posts: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    at_once: int = 0
    at_once_max: int = 0

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.at_once += 1
        self.at_once_max = max(self.at_once, self.at_once_max)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
            self.posts.append((headers, await reader.readexactly(int(headers["content-length"]))))
            if self.answer is None:
                await reader.read()
            else:
                await asyncio.sleep(0)
                writer.write(f"HTTP/1.1 {self.answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        finally:
            self.at_once -= 1
            writer.close()

    @property
    def ids(self) -> list[str]:
        return [headers["pathline-alert-id"] for headers, _ in self.posts]


@asynccontextmanager
async def listening(receiver: Receiver) -> AsyncIterator[Receiver]:
    server = await asyncio.start_server(receiver.connected, "127.0.0.1", receiver.port)
    async with server:
        yield receiver
