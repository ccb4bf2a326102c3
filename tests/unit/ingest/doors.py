"""Doors without a server: an application over a publisher in memory, and calls made straight to it."""

from dataclasses import dataclass, field, replace

import httpx

from infra.health import Health
from infra.project_settings import ProjectSettings
from infra.projects import Credential
from infra.topics import EVENTS, SPANS
from ingest.app import create_app
from ingest.decode.otlp import decode_span_record
from ingest.errors import PublishError
from ingest.event import Record, decode_record
from ingest.metrics import Metrics
from ingest.settings import IngestSettings

KEY = "sk-pathline-aaaaaaa-bbbbbbb-ccccccc-ddddddd"
LEGACY_KEY = "sk-aaaaaaa-bbbbbbb-ccccccc-ddddddd"
READ_ONLY_KEY = "sk-pathline-rrrrrrr-bbbbbbb-ccccccc-ddddddd"
WRITER = Credential(7, True, True, 3)
READER = Credential(7, True, False, 3)


class FakeKeys:
    """Three keys; `authenticate` fails with `fault` when one is set."""

    def __init__(self) -> None:
        self.loaded = True
        self.writer = WRITER
        self.fault: Exception | None = None

    def known(self, key: str) -> Credential | None:
        return self.writer if key == KEY else None

    async def authenticate(self, key: str) -> Credential | None:
        if self.fault is not None:
            raise self.fault
        return {KEY: self.writer, LEGACY_KEY: self.writer, READ_ONLY_KEY: READER}.get(key)


@dataclass
class FakePublisher:
    """Keeps what is published; `faults` gives the outcome of the next records, in order."""

    published: list[tuple[bytes, bytes]] = field(default_factory=list)
    faults: list[PublishError | None] = field(default_factory=list)
    refusal: Exception | None = None
    topics: list[str] = field(default_factory=list)
    """Of each published record."""

    async def publish(self, records: list[tuple[bytes, bytes]], topic: str = EVENTS.name) -> list[PublishError | None]:
        if self.refusal is not None:
            raise self.refusal
        outcomes = [self.faults.pop(0) if self.faults else None for _ in records]
        self.published += [record for record, fault in zip(records, outcomes, strict=True) if fault is None]
        self.topics += [topic] * outcomes.count(None)
        return outcomes

    async def publish_one(self, key: bytes, value: bytes) -> PublishError | None:
        return (await self.publish([(key, value)]))[0]

    @property
    def records(self) -> list[Record]:
        published = zip(self.published, self.topics, strict=True)
        return [
            decode_span_record(value) if topic == SPANS.name else decode_record(value)
            for (_, value), topic in published
        ]


@dataclass
class Doors:
    """An application, what it published, and a client of it that sends the good key."""

    publisher: FakePublisher
    keys: FakeKeys
    client: httpx.AsyncClient
    metrics: Metrics

    def decide(self, settings: ProjectSettings) -> None:
        """Have the sender's project have these settings."""
        self.keys.writer = replace(WRITER, settings=settings)


def make_doors(**settings: int) -> Doors:
    publisher, keys, metrics = FakePublisher(), FakeKeys(), Metrics()
    app = create_app(IngestSettings().model_copy(update=settings), publisher, keys, Health(), metrics)
    client = httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://ingest",
        headers={"Authorization": f"Bearer {KEY}"},
    )
    return Doors(publisher, keys, client, metrics)
