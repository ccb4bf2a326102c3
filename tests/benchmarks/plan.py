"""How much is measured, in which order, and what is said meanwhile."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from rich.console import Console


@dataclass(frozen=True)
class Plan:
    """Amounts and durations of one bench. Every run is preceded by one that is not counted."""

    runs: int
    http_seconds: float
    """Counted, of each run of an HTTP figure."""
    warm_up_seconds: float
    drain_events: int
    """The backlog of one drain: several transactions' worth."""
    probes: int
    """Events that are followed to the query, per run, without load and again under load."""
    load_seconds: float
    """Of the end-to-end load of each run."""
    client_calls: int
    """Calls of the client's `log` in each run."""

    @classmethod
    def full(cls, runs: int) -> "Plan":
        """About seven minutes with 5 runs on 2 cores."""
        return cls(runs, 4.0, 1.0, 40_000, 20, 8.0, 20_000)

    @classmethod
    def quick(cls) -> "Plan":
        """One short run of everything; its figures mean nothing."""
        return cls(1, 1.0, 0.3, 4_000, 3, 2.0, 2_000)


@dataclass(frozen=True)
class Reporter:
    """Says what each run gave, while the bench goes on."""

    console: Console

    def run(self, number: int, **values: float) -> None:
        """One line; run 0 is the warm-up."""
        name = f"run {number}" if number else "warm-up"
        shown = "  ".join(
            f"{what} {value:,.0f}" if value >= 100 else f"{what} {value:.3g}" for what, value in values.items()
        )
        self.console.print(f"  {name:8} {shown}", style=None if number else "dim", highlight=False)


def shown_number(value: float) -> str:
    """Whole from a hundred on, three digits below."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


async def alternate(
    plan: Plan, reporter: Reporter, ceiling: Callable[[], Awaitable[float]], ours: Callable[[], Awaitable[float]]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Ceiling, ours, ceiling, ours …, so that noise hits both; the first pair is not counted."""
    pairs = []
    for number in range(plan.runs + 1):
        pair = (await ceiling(), await ours())
        reporter.run(number, ceiling=pair[0], ours=pair[1], ratio=pair[1] / pair[0])
        pairs.append(pair)
    ceilings, our_runs = zip(*pairs[1:], strict=True)
    return ceilings, our_runs
