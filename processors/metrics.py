"""`GET /metrics` of a worker: what its hot paths count, put into Prometheus' types only while somebody asks."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from processors.consume import Consume

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

PREFIX = "pathline_processors_"

HELP = {
    "events": "Events that were stored or recognised as copies.",
    "batches": "Transactions that stored a batch.",
    "batch_bytes": "Record bytes of those batches.",
    "duplicates": "Events that were copies of stored ones.",
    "conflicts": "Copies with other content than the stored event; the first counts.",
    "dead_letters": "Records that were set aside.",
    "drops": "Records that were passed over, because a person had dropped them.",
    "expired": "Events that start before the requests that are stored of their project; they are not stored again.",
    "stage_seconds": "Wall time of a stage; fetch is waiting for the broker, store is waiting for the database.",
    "stage_runs": "How often a stage ran.",
    "lag_offsets": "Records of a partition that are not folded yet.",
    "lag_seconds": "Age, at most, of the oldest of them; 0 when there are none.",
    "partition_stopped": "1 for a partition that a person has to look at; the reason is in `/readyz`.",
    "generation_stopped": "1 while too many records became dead letters; `python -m processors resume` lets it go on.",
    "partitions_paused": "Partitions that wait because the memory for records is full.",
    "work_bytes": "Records that are fetched and not stored yet.",
    "work_capacity_bytes": "How many of them a stream may hold; beyond it partitions pause.",
}
"""Every metric and what it counts; docs/metrics.md has the same names."""

Samples = Iterable[tuple[tuple[str, ...], float]]


@dataclass(frozen=True)
class Family:
    """One metric: its labels beside the topic, and how it is read from a hot path."""

    name: str
    labels: tuple[str, ...]
    read: Callable[[Consume], Samples]
    is_counter: bool = True


def _one(value: float) -> Samples:
    return [((), value)]


FAMILIES = (
    Family("events", (), lambda path: _one(path.progress.events)),
    Family("batches", (), lambda path: _one(path.progress.batches)),
    Family("batch_bytes", (), lambda path: _one(path.progress.batch_bytes)),
    Family("duplicates", (), lambda path: _one(path.progress.totals.duplicates)),
    Family("conflicts", (), lambda path: _one(path.progress.totals.conflicts)),
    Family("dead_letters", (), lambda path: _one(path.progress.totals.dead_letters)),
    Family("drops", (), lambda path: _one(path.progress.totals.drops)),
    Family("expired", (), lambda path: _one(path.progress.totals.expired)),
    Family(
        "stage_seconds", ("stage",), lambda path: [((n,), stage.seconds) for n, stage in path.progress.stages.items()]
    ),
    Family("stage_runs", ("stage",), lambda path: [((n,), stage.count) for n, stage in path.progress.stages.items()]),
    Family(
        "lag_offsets",
        ("partition",),
        lambda path: [((str(n),), behind.offsets) for n, behind in path.progress.behind.items()],
        is_counter=False,
    ),
    Family(
        "lag_seconds",
        ("partition",),
        lambda path: [((str(n),), behind.seconds) for n, behind in path.progress.behind.items()],
        is_counter=False,
    ),
    Family(
        "partition_stopped",
        ("partition",),
        lambda path: [((str(n),), 1) for n in path.progress.stopped],
        is_counter=False,
    ),
    Family(
        "generation_stopped",
        (),
        lambda path: _one(path.progress.generation_stopped is not None),
        is_counter=False,
    ),
    Family("partitions_paused", (), lambda path: _one(path.flow.paused), is_counter=False),
    Family("work_bytes", (), lambda path: _one(path.ahead.held_bytes), is_counter=False),
    Family("work_capacity_bytes", (), lambda path: _one(path.ahead.bytes_max), is_counter=False),
)


class HasConsume(Protocol):
    """A stream of the worker; without a loop while it waits for Kafka or Postgres to come."""

    @property
    def topic(self) -> str:
        """What it consumes."""

    @property
    def consume(self) -> Consume | None:
        """Its loop."""


class Metrics(Collector):
    """The families of one worker's hot paths."""

    def __init__(self, paths: Iterable[HasConsume]) -> None:
        self._paths = list(paths)
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """The families as Prometheus' client wants them."""
        for family in FAMILIES:
            kind = CounterMetricFamily if family.is_counter else GaugeMetricFamily
            metric = kind(PREFIX + family.name, HELP[family.name], labels=("topic", *family.labels))
            for path in self._paths:
                if path.consume is not None:
                    for labels, value in family.read(path.consume):
                        metric.add_metric((path.topic, *labels), value)
            yield metric
