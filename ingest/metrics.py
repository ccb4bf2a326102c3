"""What ingest counts about itself, and `GET /metrics`, which shows it.

On the way of a request a count is an addition to a plain number: one event loop does all the work of a process, so
nothing is locked. Prometheus' own types appear only while somebody asks.
"""

import os
from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
ACK_SECONDS_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""From a broker beside us to the time limit of an acknowledgement."""

_PREFIX = "pathline_ingest_"

HELP = {
    "requests": "Requests that were answered, by door and class of the HTTP status.",
    "requests_refused": "Requests that were refused or given up, by door and reason, a code of errors.md.",
    "events_accepted": "Events that were durable when they were answered, by door.",
    "events_refused": "Events that were refused one by one, alone or within a batch, by door and reason.",
    "queue_bytes": "What a bounded queue holds now.",
    "queue_capacity_bytes": "What it holds at most; beyond it requests are answered 503.",
    "spool_segments": "Files of the spool that are not drained yet.",
    "spool_oldest_age_seconds": "How long the oldest record has waited in the spool; 0 when it is empty.",
    "spool_refused_records": "Records that the broker will never take, set aside since the process began.",
    "spool_cut_bytes": "Bytes behind the last whole record of segments that a killed process left.",
    "broker_away": "1 while records go to the spool.",
    "connections": "Open connections of clients.",
    "keys_age_seconds": "How old the picture of the API keys is; it grows while Postgres is away.",
    "acknowledgement_seconds": "From a producer batch's first record to its acknowledgement by all in-sync replicas.",
}
"""Every metric and what it counts; docs/metrics.md has the same names."""


class DoorTally:
    """What one door answered since the process began."""

    __slots__ = ("accepted", "bad", "events_refused", "failed", "good", "requests_refused")

    def __init__(self) -> None:
        self.good = self.bad = self.failed = 0
        """Requests answered 2xx, 4xx and 5xx."""
        self.accepted = 0
        self.events_refused: dict[str, int] = {}
        """Code -> events."""
        self.requests_refused: dict[str, int] = {}
        """Code -> requests."""

    def take(self, events: int) -> None:
        """A request is answered 2xx with this many events durable."""
        self.good += 1
        self.accepted += events

    def refuse_event(self, code: str, events: int = 1) -> None:
        """Events are refused, for a reason of their own."""
        self.events_refused[code] = self.events_refused.get(code, 0) + events

    def refuse(self, status: int, code: str) -> None:
        """A request is answered with an error."""
        if status < 500:
            self.bad += 1
        else:
            self.failed += 1
        self.give_up(code)

    def give_up(self, code: str) -> None:
        """A request ended without an answer."""
        self.requests_refused[code] = self.requests_refused.get(code, 0) + 1


def _answers(tally: DoorTally) -> dict[str, int]:
    return {"2xx": tally.good, "4xx": tally.bad, "5xx": tally.failed}


class Histogram:
    """Durations in seconds, counted by upper bound."""

    __slots__ = ("bounds", "counts", "sum_seconds")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum_seconds = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum_seconds += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Upper bound and how many were not above it, as Prometheus wants them."""
        names = [*(str(bound) for bound in self.bounds), "+Inf"]
        return list(zip(names, accumulate(self.counts), strict=True))


class Metrics(Collector):
    """Everything of one process that `/metrics` shows; whoever owns a number registers how it is read."""

    def __init__(self) -> None:
        self._doors: list[tuple[str, DoorTally]] = []
        self._queues: list[tuple[str, Callable[[], float], float]] = []
        self._gauges: list[tuple[str, Callable[[], float]]] = []
        self._histograms: list[tuple[str, Histogram]] = []
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def add_door(self, name: str, tally: DoorTally) -> None:
        """Show what a door counts; doors of one name are added up."""
        self._doors.append((name, tally))

    def add_queue(self, name: str, length_bytes: Callable[[], float], capacity_bytes: float) -> None:
        """Show a bounded queue."""
        self._queues.append((name, length_bytes, capacity_bytes))

    def add_gauge(self, name: str, value: Callable[[], float]) -> None:
        """Show a number that goes up and down; `name` is one of `HELP`."""
        self._gauges.append((name, value))

    def add_histogram(self, name: str, histogram: Histogram) -> None:
        """Show durations; `name` is one of `HELP`."""
        self._histograms.append((name, histogram))

    def text(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """The families as Prometheus' client wants them.

        Every sample has the process's id: of several processes behind one socket any one answers.
        """
        pid = str(os.getpid())
        yield self._counter("requests", ("door", "status"), pid, _answers)
        yield self._counter("requests_refused", ("door", "reason"), pid, lambda tally: tally.requests_refused)
        yield self._counter("events_accepted", ("door",), pid, lambda tally: {"": tally.accepted})
        yield self._counter("events_refused", ("door", "reason"), pid, lambda tally: tally.events_refused)
        length = GaugeMetricFamily(_PREFIX + "queue_bytes", HELP["queue_bytes"], labels=("pid", "queue"))
        capacity = GaugeMetricFamily(
            _PREFIX + "queue_capacity_bytes", HELP["queue_capacity_bytes"], labels=("pid", "queue")
        )
        for name, length_bytes, capacity_bytes in self._queues:
            length.add_metric((pid, name), length_bytes())
            capacity.add_metric((pid, name), capacity_bytes)
        yield length
        yield capacity
        for name, value in self._gauges:
            gauge = GaugeMetricFamily(_PREFIX + name, HELP[name], labels=("pid",))
            gauge.add_metric((pid,), value())
            yield gauge
        for name, histogram in self._histograms:
            family = HistogramMetricFamily(_PREFIX + name, HELP[name], labels=("pid",))
            family.add_metric((pid,), histogram.buckets(), histogram.sum_seconds)
            yield family

    def _counter(
        self, name: str, labels: tuple[str, ...], pid: str, read: Callable[[DoorTally], dict[str, int]]
    ) -> CounterMetricFamily:
        sums: dict[tuple[str, ...], int] = {}
        for door, tally in self._doors:
            for value, count in read(tally).items():
                place = (pid, door, value)[: len(labels) + 1]
                sums[place] = sums.get(place, 0) + count
        family = CounterMetricFamily(_PREFIX + name, HELP[name], labels=("pid", *labels))
        for place, count in sums.items():
            family.add_metric(place, count)
        return family
