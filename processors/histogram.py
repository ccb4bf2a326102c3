"""Histograms of durations: logarithmic buckets from one table of integers. Pure.

Adding two is adding their counts bucket by bucket, so histograms of any parts of a set of requests, merged in any
order, are the histogram of the set. A quantile read from one is off by at most 1 % (docs/decisions/0012-histogram.md).
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping

LONGEST_US = 10_000 * 366 * 24 * 3600 * 1_000_000
"""More than lies between any two times that an event can have."""
COUNT_BITS = 32
"""Of a stored element, whose higher bits are the bucket's number. A count beyond 2^32 does not occur in a row."""
COUNT_MASK = (1 << COUNT_BITS) - 1


def make_starts() -> tuple[int, ...]:
    """First value of each bucket, in microseconds: one value a bucket up to 100, from there on 2 % wide.

    Integer arithmetic alone, hence the same table everywhere. Stored histograms hold places in it: it never changes.
    """
    starts = [0]
    while starts[-1] <= LONGEST_US:
        starts.append(max(starts[-1] + 1, starts[-1] * 102 // 100))
    return tuple(starts)


STARTS = make_starts()


def bucket_of(duration_us: int) -> int:
    """The bucket of a duration; 0 holds nothing but 0."""
    return bisect_right(STARTS, duration_us) - 1


def value_of(bucket: int) -> int:
    """The duration that stands for a bucket, in microseconds: at most 1 % from every one in it."""
    return (STARTS[bucket] + STARTS[bucket + 1] - 1) // 2


def pack(counts: Mapping[int, int]) -> list[int]:
    """The stored form of `bucket -> count`: sorted, one integer a bucket that is not empty."""
    return sorted([bucket << COUNT_BITS | count for bucket, count in counts.items() if count])


def unpack(stored: Iterable[int]) -> dict[int, int]:
    """`bucket -> count` of a stored histogram, in order of the buckets."""
    return {element >> COUNT_BITS: element & COUNT_MASK for element in stored}


def quantile(stored: Iterable[int], numerator: int, denominator: int = 100) -> int | None:
    """The smallest value whose rank is at least ceil(p n), p being the fraction; None when nothing was counted.

    0 < p <= 1. The fraction is one of integers, so that ranks of large counts are exact.
    """
    counts = unpack(stored)
    wanted = -(-sum(counts.values()) * numerator // denominator)
    rank = 0
    for bucket, count in counts.items():
        rank += count
        if rank >= wanted:
            return value_of(bucket)
    return None
