"""What a hot path says about itself: what it did, how far behind it is, and whether it still moves."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from processors.batch import Slice
from processors.tally import Stored, total


@dataclass(slots=True)
class Stage:
    """One stage of the loop: how often it ran, and how long altogether."""

    count: int = 0
    seconds: float = 0.0

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count one run and its wall time."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.count += 1
            self.seconds += time.perf_counter() - began


@dataclass(slots=True)
class Behind:
    """How far a partition is folded."""

    next_offset: int
    end_offset: int
    as_of: datetime
    """Broker time up to which everything is folded; at first, when this worker took the partition."""

    @property
    def offsets(self) -> int:
        """Records that wait."""
        return max(self.end_offset - self.next_offset, 0)

    @property
    def seconds(self) -> float:
        """Age of the oldest record that waits, at most; 0 when none does."""
        return max((datetime.now(UTC) - self.as_of).total_seconds(), 0.0) if self.offsets else 0.0


@dataclass(slots=True)
class Heart:
    """Beats while the loop turns. Waiting for Kafka or Postgres is no stop: their outages last as long as they last."""

    _beat_at: float = field(default_factory=time.monotonic)
    _outside: int = 0

    def beat(self) -> None:
        """The loop made progress, or looked and had nothing to do."""
        self._beat_at = time.monotonic()

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Somebody else is waited for."""
        self._outside += 1
        try:
            yield
        finally:
            self._outside -= 1
            self.beat()

    @property
    def stalled_seconds(self) -> float:
        """How long nothing moved though there was something to do."""
        return 0.0 if self._outside else time.monotonic() - self._beat_at


@dataclass
class Progress:
    """What the loop did since it began."""

    events: int = 0
    batches: int = 0
    batch_bytes: int = 0
    totals: Stored = field(default_factory=Stored)
    stages: dict[str, Stage] = field(default_factory=lambda: {name: Stage() for name in ("fetch", "decode", "store")})
    behind: dict[int, Behind] = field(default_factory=dict)
    """Of every partition that this worker has."""
    stopped: dict[int, str] = field(default_factory=dict)
    """Partition -> why a person has to look."""
    generation_stopped: str | None = None
    """Why the generation is stopped, while it is."""
    heart: Heart = field(default_factory=Heart)

    def claimed(self, partition: int, next_offset: int) -> None:
        """A partition is this worker's, from this offset."""
        self.behind[partition] = Behind(next_offset, next_offset, datetime.now(UTC))

    def lost(self) -> None:
        """No partition is this worker's any more."""
        self.behind.clear()
        self.stopped.clear()

    def committed(self, slices: list[Slice], stored: Stored) -> None:
        """A batch is stored."""
        self.generation_stopped = None
        self.batches += 1
        self.events += sum(len(part.events) for part in slices)
        self.totals = total([self.totals, stored])
        for part in slices:
            if part.partition in self.behind:
                self.behind[part.partition] = Behind(part.next_offset, part.end_offset, part.as_of)

    def observed(self, partition: int, end_offset: int, asked_at: datetime) -> None:
        """The broker said where a partition ended at that time."""
        seen = self.behind.get(partition)
        if seen is not None:
            seen.end_offset = end_offset
            if not seen.offsets:
                seen.as_of = asked_at
