"""The load generator: `python -m tests.benchmarks.load '<job as JSON>'`, a process of its own.

It must cost much less than the server that it measures: raw protocols on uvloop, one request in flight per
connection, requests that are one formatting of a template, and of an answer only its status and length are read.
"""

import asyncio
import sys
import time
from typing import cast

import msgspec
import uvloop

from tests.benchmarks.figures import quantile
from tests.benchmarks.payloads import SEED, EventTemplates, Requests, SpanTemplates

ANSWER_SECONDS_MAX = 15.0
"""After the last request was sent. A server that is slower than this has failed."""


class LoadJob(msgspec.Struct, frozen=True):
    """What to send, to whom, for how long."""

    port: int
    key: str
    connections: int
    event_bytes: int
    seconds: float
    """Of counting, after `warm_up_seconds` that are not counted."""
    warm_up_seconds: float = 1.0
    events_per_request: int = 1
    events_per_second_max: float | None = None
    """A steady rate; None: as fast as answers come."""
    expected: str = ""
    """What every answer must contain."""
    seed: int = SEED
    is_otlp: bool = False
    """Whether spans are sent, as OTLP in protobuf, instead of native events of `event_bytes`."""


class LoadResult(msgspec.Struct, frozen=True):
    """What came back."""

    requests: int
    """Answered 200 within the counted seconds."""
    events: int
    seconds: float
    """As it really was."""
    began_at: float
    """Wall clock at the first request, Unix seconds."""
    events_total: int
    """Answered 200 at any time, the warm-up included."""
    failures: int
    first_failure: str = ""
    p99_seconds: float = 0.0
    """Of a steady rate: from the time when a request was due to its answer, over the counted seconds."""

    @property
    def requests_per_second(self) -> float:
        """Over the counted seconds."""
        return self.requests / self.seconds

    @property
    def events_per_second(self) -> float:
        """Over the counted seconds."""
        return self.events / self.seconds


class Connection(asyncio.Protocol):
    """One connection: sends a request, waits for its answer, sends the next."""

    __slots__ = ("_load", "_received", "due", "sent", "transport")

    def __init__(self, load: "Load") -> None:
        self._load = load
        self._received = b""
        self.due = self.sent = 0.0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; the load says when to begin."""
        # uvloop's transports are no subclasses.
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Hand over an answer once it is complete; it comes in one piece nearly always."""
        if self._received:
            data = self._received + data
        end = data.find(b"\r\n\r\n")
        if end >= 0:
            mark = data.find(b"content-length: ", 0, end) + 16
            if mark < 16:
                self._load.failed(self, data)
                return
            if len(data) >= end + 4 + int(data[mark : data.find(b"\r", mark)]):
                self._received = b""
                self._load.answered(self, data)
                return
        self._received = data

    def connection_lost(self, fault: Exception | None) -> None:
        """A server that closes a connection under load has failed."""
        self._load.lost(self, fault)


class Load:
    """All connections of one job."""

    def __init__(self, job: LoadJob) -> None:
        self._job = job
        templates: EventTemplates | SpanTemplates
        if job.is_otlp:
            templates = SpanTemplates(seed=job.seed)
        else:
            templates = EventTemplates(event_bytes=job.event_bytes, seed=job.seed)
        self._requests = Requests(templates, key=job.key, port=job.port, events_per_request=job.events_per_request)
        self._expected = job.expected.encode()
        self._loop = asyncio.get_running_loop()
        self._connections: list[Connection] = []
        self._busy: set[Connection] = set()
        self._idle = asyncio.Event()
        self._counting = self._ending = False
        self._answers = self._counted = self._failures = 0
        self._first_failure = ""
        self._latencies: list[float] = []
        self._interval_seconds = 0.0
        if job.events_per_second_max is not None:
            self._interval_seconds = job.connections * job.events_per_request / job.events_per_second_max

    async def run(self) -> LoadResult:
        """Connect, warm up, count, wait for what is under way, close."""
        for _ in range(self._job.connections):
            _, connection = await self._loop.create_connection(lambda: Connection(self), "127.0.0.1", self._job.port)
            self._connections.append(connection)
        began_at = time.time()
        self._begin()
        await asyncio.sleep(self._job.warm_up_seconds)
        began, self._counting = self._loop.time(), True
        await asyncio.sleep(self._job.seconds)
        self._counting, self._ending = False, True
        seconds = self._loop.time() - began
        await self._await_answers()
        for connection in self._connections:
            if connection.transport is not None:
                connection.transport.close()
        return LoadResult(
            requests=self._counted,
            events=self._counted * self._job.events_per_request,
            seconds=seconds,
            began_at=began_at,
            events_total=self._answers * self._job.events_per_request,
            failures=self._failures,
            first_failure=self._first_failure,
            p99_seconds=quantile(self._latencies, 0.99) if self._latencies else 0.0,
        )

    def _begin(self) -> None:
        now = time.monotonic()
        for place, connection in enumerate(self._connections):
            connection.due = now + self._interval_seconds * place / len(self._connections)
            self._loop.call_at(connection.due, self._send, connection)

    def _send(self, connection: Connection) -> None:
        if self._ending or connection.transport is None:
            return
        self._busy.add(connection)
        connection.sent = time.monotonic()
        connection.transport.write(self._requests.next())

    def answered(self, connection: Connection, data: bytes) -> None:
        """Count an answer and send the next request, at once or when it is due."""
        if not data.startswith(b"HTTP/1.1 200") or self._expected not in data:
            self.failed(connection, data)
            return
        self._answers += 1
        if self._counting:
            self._counted += 1
            if self._interval_seconds:
                # Not the loop's clock: uvloop's counts whole milliseconds and stands still within a turn. Its timers
                # may fire half a millisecond early, and a request that left early waited since then.
                self._latencies.append(time.monotonic() - min(connection.due, connection.sent))
        self._busy.discard(connection)
        if self._ending:
            self._idle.set()
        elif self._interval_seconds:
            connection.due += self._interval_seconds
            self._loop.call_at(connection.due, self._send, connection)
        else:
            self._send(connection)

    def failed(self, connection: Connection, data: bytes) -> None:
        """Note a wrong answer; its connection sends nothing any more."""
        self._failures += 1
        self._first_failure = self._first_failure or data[:500].decode(errors="replace")
        self._busy.discard(connection)
        self._idle.set()

    def lost(self, connection: Connection, fault: Exception | None) -> None:
        """A connection is gone: a failure when an answer was due."""
        connection.transport = None
        if connection in self._busy:
            self.failed(connection, f"connection lost: {fault}".encode())

    async def _await_answers(self) -> None:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            while self._busy:
                self._idle.clear()
                await self._idle.wait()


async def _run(job: LoadJob) -> LoadResult:
    return await Load(job).run()


if __name__ == "__main__":
    result = uvloop.run(_run(msgspec.json.decode(sys.argv[1], type=LoadJob)))
    sys.stdout.buffer.write(msgspec.json.encode(result))
