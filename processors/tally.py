"""What became of records, counted: every record once, and conflicts among the duplicates once more."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import astuple, dataclass


@dataclass(slots=True)
class Stored:
    """What became of records: new events, spans that are only links of a trace, copies of stored ones, those among the
    copies with other content, dead letters, dropped records that were passed over, and those that start before what is
    stored of their project."""

    new: int = 0
    structural: int = 0
    duplicates: int = 0
    conflicts: int = 0
    dead_letters: int = 0
    drops: int = 0
    expired: int = 0


Tally = defaultdict[int, Stored]
"""Partition -> what became of its records."""


def total(counts: Iterable[Stored]) -> Stored:
    """The sum of counts."""
    return Stored(*(sum(column) for column in zip(*map(astuple, counts), strict=True)))
