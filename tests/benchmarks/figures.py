"""What a measurement says: runs, their median and spread, and the ratio to a ceiling of the same minutes. Pure."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

SIGNIFICANT_DIGITS = 4
"""Beyond these a figure of a shared machine is noise."""


@dataclass(frozen=True)
class Ceiling:
    """What the machine can do without us; its runs alternate with ours, so that noise hits both."""

    name: str
    runs: tuple[float, ...]


@dataclass(frozen=True)
class Figure:
    """One figure of the report. With a ceiling its runs are paired: run i of ours followed run i of the ceiling."""

    name: str
    title: str
    unit: str
    runs: tuple[float, ...]
    ceiling: Ceiling | None = None
    floor: float | None = None
    """The least ratio that is accepted."""
    limit: float | None = None
    """The ratio that is accepted no more: of a figure that is better when it is smaller."""
    details: dict[str, float] = field(default_factory=dict)
    """Facts that say under which circumstances: sizes, rates."""

    @property
    def median(self) -> float:
        """Of our runs."""
        return statistics.median(self.runs)

    @property
    def ratios(self) -> tuple[float, ...]:
        """Ours divided by the ceiling, run by run."""
        if self.ceiling is None:
            return ()
        return tuple(ours / ceiling for ours, ceiling in zip(self.runs, self.ceiling.runs, strict=True))

    @property
    def ratio(self) -> float | None:
        """The median of the ratios of the pairs; None without a ceiling."""
        return statistics.median(self.ratios) if self.ratios else None

    @property
    def holds(self) -> bool | None:
        """Whether the floor is reached and the limit kept; None without either."""
        if self.ratio is None or (self.floor is None and self.limit is None):
            return None
        reached = self.floor is None or self.ratio >= self.floor
        return reached and (self.limit is None or self.ratio < self.limit)

    def as_json(self) -> dict[str, object]:
        """The figure as it is committed, keys always in this order."""
        ceiling, ratio = self.ceiling, self.ratio
        return {
            "title": self.title,
            "unit": self.unit,
            **_summary(self.runs),
            "ceiling": None if ceiling is None else {"name": ceiling.name, **_summary(ceiling.runs)},
            "ratio": None if ratio is None else _summary(self.ratios),
            "floor": self.floor,
            "limit": self.limit,
            "holds": self.holds,
            "details": {name: rounded(value) for name, value in sorted(self.details.items())},
        }


def _summary(runs: Sequence[float]) -> dict[str, object]:
    return {
        "median": rounded(statistics.median(runs)),
        "min": rounded(min(runs)),
        "max": rounded(max(runs)),
        "runs": [rounded(run) for run in runs],
    }


def rounded(value: float) -> float:
    """The value to `SIGNIFICANT_DIGITS`; whole numbers above that stay whole."""
    if not value or not math.isfinite(value):
        return value
    digits = SIGNIFICANT_DIGITS - 1 - math.floor(math.log10(abs(value)))
    return round(value, max(digits, 0))


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value whose rank is at least ceil(share * n): the same rule as Pathline's own histograms."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1]
