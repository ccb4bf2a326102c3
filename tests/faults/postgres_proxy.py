"""A door to Postgres that breaks where a test wants it to: at a statement, before it or between it and its answer."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import urlsplit, urlunsplit

PROTOCOL_3 = 196_608
BATCH_BEGINS = b'COPY "requests"'
"""The first thing that a batch writes. It is sent as text each time, where prepared statements go by a name."""
STATEMENT_KINDS = (b"Q", b"E")
"""Messages that make the server work: a simple query, and the execution of a prepared one."""


class Where(Enum):
    """What becomes of the statement that a trap waits for."""

    CUT_BEFORE = "the server never sees it"
    CUT_AFTER = "the server has done it, and the client never hears"
    HOLD = "the server sees it when the trap lets go"


@dataclass
class Trap:
    """Springs once, at the first such statement of a connection that is storing a batch."""

    statement: bytes
    where: Where
    sprung: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class _Session:
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    in_batch: bool = False
    deaf: bool = False
    """What the server answers is thrown away, and the connection with it."""


class PostgresProxy:
    """Relays connections to a server. `trap` and `delay_seconds` may change at any time."""

    def __init__(self, dsn: str) -> None:
        self._target = urlsplit(dsn)
        self._port = 0
        self.trap: Trap | None = None
        self.held: Trap | None = None
        """The last one that holds a statement."""
        self.delay_seconds = 0.0
        """Before each statement."""

    def address(self, *, user: str | None = None) -> str:
        """A DSN that leads through here; as another user, whose password is its name."""
        credentials = f"{user}:{user}" if user else f"{self._target.username}:{self._target.password}"
        return urlunsplit(self._target._replace(netloc=f"{credentials}@127.0.0.1:{self._port}"))

    def set_trap(self, statement: bytes, where: Where) -> Trap:
        """Wait for a statement."""
        self.trap = Trap(statement, where)
        return self.trap

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        """Listen on a free port of loopback."""
        clients: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

        async def relay(reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            clients[task] = client
            # A connection that breaks is what all this is about; whoever holds its ends sees it.
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._relay(reader, client)
            client.transport.abort()
            del clients[task]

        server = await asyncio.start_server(relay, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            if self.held is not None:
                self.held.released.set()
            relaying = list(clients)
            for client in clients.values():
                client.transport.abort()
            await asyncio.gather(*relaying)

    async def _relay(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        assert self._target.hostname is not None
        answers, server = await asyncio.open_connection(self._target.hostname, self._target.port)
        session = _Session(client, server)
        back = asyncio.create_task(self._relay_answers(answers, session))
        try:
            await self._relay_startup(reader, server)
            while True:
                header = await reader.readexactly(5)
                body = await reader.readexactly(struct.unpack("!i", header[1:])[0] - 4)
                await self._meet(header[:1], body, session)
                if client.is_closing():
                    return
                server.write(header + body)
                await server.drain()
        finally:
            server.transport.abort()
            await asyncio.gather(back, return_exceptions=True)

    async def _relay_startup(self, reader: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        """Messages before the session have no kind: the question for TLS, and the one that begins it."""
        protocol = 0
        while protocol != PROTOCOL_3:
            length, protocol = struct.unpack("!ii", header := await reader.readexactly(8))
            server.write(header + await reader.readexactly(length - 8))
            await server.drain()

    async def _relay_answers(self, answers: asyncio.StreamReader, session: _Session) -> None:
        try:
            while data := await answers.read(64 * 1024):
                if session.deaf:
                    break
                session.client.write(data)
                await session.client.drain()
        finally:
            session.client.transport.abort()

    async def _meet(self, kind: bytes, body: bytes, session: _Session) -> None:
        if kind in STATEMENT_KINDS and self.delay_seconds:
            await asyncio.sleep(self.delay_seconds)
        if BATCH_BEGINS in body:
            session.in_batch = True
        trap = self.trap
        if trap is not None and session.in_batch and kind == b"Q" and trap.statement in body:
            self.trap = None
            trap.sprung.set()
            match trap.where:
                case Where.CUT_BEFORE:
                    session.client.transport.abort()
                case Where.CUT_AFTER:
                    session.deaf = True
                case Where.HOLD:
                    self.held = trap
                    await trap.released.wait()
        if kind == b"Q" and body.startswith((b"COMMIT", b"ROLLBACK;")):
            session.in_batch = False
