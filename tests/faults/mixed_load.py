"""Mixed real clients that log at a steady pace until they are told to stop, and remember what was accepted."""

import asyncio
import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from helicone_helpers import HeliconeManualLogger
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ingest.decode.otlp import span_event_id
from pathline import Client
from tests.factories import make_event_id, now_us
from tests.pipeline import Pipeline
from tests.services import wait_until

BATCH_EVENTS, BODY_BYTES = 20, 16 * 1024
BATCH_PAUSE_SECONDS, SINGLE_PAUSE_SECONDS = 0.05, 0.02
CLIENT_SESSION = "pathline-client"
SPANS_SESSION = "opentelemetry"
TRACE_CALLS = 4
"""LLM calls of a trace; the span above them, which alone knows the session, is one more."""


@dataclass
class MixedLoad:
    """A batch client of the native door, Helicone's helper, OpenTelemetry's exporter, and the Python client.

    Whoever sends anew after a broken connection does so under the same event ids. With `may_break` connections may
    break; an answer other than 200 never may.
    """

    pipeline: Pipeline
    printed: pytest.CaptureFixture[str]
    """Helicone's helper neither raises nor returns what went wrong: it prints it."""
    may_break: bool = False
    accepted: set[str] = field(default_factory=set)
    latencies_seconds: list[float] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    logged: int = 0
    """Events given to the Python client, which makes their ids itself."""
    spans: int = 0
    """Of the accepted events, those that came as spans."""
    _stopping: threading.Event = field(default_factory=threading.Event)

    async def run(self) -> None:
        """Log until `stop`; then every client has finished what it began. A client of another kind is one more here."""
        await asyncio.gather(
            self._native_batches(),
            asyncio.to_thread(self._helicone_helper),
            asyncio.to_thread(self._pathline_client),
            asyncio.to_thread(self._span_exporter),
        )

    def stop(self) -> None:
        """Let every client finish."""
        self._stopping.set()

    async def await_accepted(self, more: int) -> None:
        """Return once as many events more were answered with 2xx."""
        target = len(self.accepted) + more

        async def reached() -> bool:
            return len(self.accepted) >= target

        await wait_until(reached, seconds=60, what=f"{target} events are accepted")

    async def _native_batches(self) -> None:
        rng = random.Random(1)
        async with self.pipeline.clients() as (client, _):
            while not self._stopping.is_set():
                ids = [make_event_id(rng, now_us()) for _ in range(BATCH_EVENTS)]
                batch: list[dict[str, Any]] = [
                    {"event_id": one, "session_id": f"s-{number % 5}", "path": "/load", "request": {"text": text(rng)}}
                    for number, one in enumerate(ids)
                ]
                await self._send(client, batch)
                self.accepted.update(ids)
                await asyncio.sleep(BATCH_PAUSE_SECONDS)

    async def _send(self, client: httpx.AsyncClient, batch: list[dict[str, Any]]) -> None:
        while True:
            began = time.monotonic()
            try:
                answer = await client.post("/v1/events", json=batch)
            except httpx.TransportError:
                assert self.may_break
                await asyncio.sleep(BATCH_PAUSE_SECONDS)
                continue
            self.latencies_seconds.append(time.monotonic() - began)
            assert answer.status_code == 200, answer.text
            assert answer.json()["accepted"] == len(batch)
            return

    def _helicone_helper(self) -> None:
        rng = random.Random(2)
        logger = HeliconeManualLogger(api_key=self.pipeline.key, logging_endpoint=self.pipeline.ingest_url)
        while not self._stopping.is_set():
            event_id = make_event_id(rng, now_us())
            headers = {"Helicone-Request-Id": event_id, "Helicone-Session-Id": "helper"}
            times = {"start_time": time.time(), "end_time": time.time(), "additional_headers": headers}
            logger.send_log("openai", {"model": "gpt-4o", "n": 1}, {"model": "gpt-4o"}, times)
            if said := self.printed.readouterr().out:
                self.refused.append(said)
            else:
                self.accepted.add(event_id)
            self._stopping.wait(SINGLE_PAUSE_SECONDS)

    def _span_exporter(self) -> None:
        """Traces whose calls are exported before the span above them, as they end."""
        exporter = OTLPSpanExporter(
            f"{self.pipeline.ingest_url}/v1/traces", headers={"Authorization": f"Bearer {self.pipeline.key}"}
        )
        ended, provider = InMemorySpanExporter(), TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(ended))
        tracer = provider.get_tracer("load")
        while not self._stopping.is_set():
            above = {"gen_ai.operation.name": "invoke_agent", "session.id": SPANS_SESSION}
            with tracer.start_as_current_span("invoke_agent planner", attributes=above):
                for _ in range(TRACE_CALLS):
                    with tracer.start_as_current_span("chat gpt-4o", attributes={"gen_ai.operation.name": "chat"}):
                        pass
                self._export(exporter, ended)
            self._export(exporter, ended)
            self._stopping.wait(BATCH_PAUSE_SECONDS)
        exporter.shutdown()  # type: ignore[no-untyped-call]

    def _export(self, exporter: OTLPSpanExporter, ended: InMemorySpanExporter) -> None:
        spans = ended.get_finished_spans()
        ended.clear()
        while exporter.export(spans) is not SpanExportResult.SUCCESS:
            assert self.may_break
        self.accepted.update(map(event_id_of, spans))
        self.spans += len(spans)

    def _pathline_client(self) -> None:
        client = Client(self.pipeline.ingest_url, self.pipeline.key)
        while not self._stopping.is_set():
            client.log(session_id=CLIENT_SESSION, path="/load", name=f"n-{self.logged}")
            self.logged += 1
            self._stopping.wait(SINGLE_PAUSE_SECONDS)
        assert client.close(30)
        stats = client.stats()
        assert (stats.sent, stats.dropped) == (self.logged, {})
        assert self.may_break or stats.retried == 0


def event_id_of(span: ReadableSpan) -> str:
    """The id of the event that a span becomes."""
    context = span.get_span_context()
    assert context is not None
    return span_event_id(context.trace_id.to_bytes(16), context.span_id.to_bytes(8))


def text(rng: random.Random) -> str:
    """A body of its own for each event, so that memory that is kept is memory that is seen."""
    return rng.randbytes(BODY_BYTES // 2).hex()
