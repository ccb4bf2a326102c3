"""The histogram's promises: at most 1 % off over the whole range, merging is adding, a quantile is a rank's value."""

from collections import Counter
from datetime import UTC, datetime
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from ingest.event import to_us
from processors.histogram import STARTS, bucket_of, pack, quantile, unpack, value_of

EARLIEST = datetime.min.replace(tzinfo=UTC)
LONGEST_US = to_us(datetime.max.replace(tzinfo=UTC)) - to_us(EARLIEST)
DURATIONS = st.integers(0, 60).flatmap(lambda bits: st.integers(0, min(2**bits, LONGEST_US)))


def stored(durations: list[int]) -> list[int]:
    return pack(Counter(map(bucket_of, durations)))


def test_every_bucket_is_at_most_one_percent_wide_to_either_side() -> None:
    assert STARTS[:3] == (0, 1, 2)
    assert STARTS[-1] > LONGEST_US
    for bucket in range(1, len(STARTS) - 1):
        first, last, value = STARTS[bucket], STARTS[bucket + 1] - 1, value_of(bucket)
        assert first <= value <= last
        assert 100 * (value - first) <= first
        assert 100 * (last - value) <= last
        assert bucket_of(first) == bucket_of(last) == bucket


def test_the_table_never_changes() -> None:
    """Stored histograms hold places in it."""
    digest = sha256(",".join(map(str, STARTS)).encode()).hexdigest()
    assert digest == "f3d7143b91c249b1d61b69b19d5948230762de75c80d6c8f9bf22e4809320026"


@given(st.lists(DURATIONS), st.lists(DURATIONS))
def test_merging_is_adding(some: list[int], others: list[int]) -> None:
    added = Counter(unpack(stored(some))) + Counter(unpack(stored(others)))
    assert pack(added) == stored(some + others)


@given(st.lists(DURATIONS, min_size=1), st.integers(1, 100))
def test_a_quantile_is_the_value_of_its_rank(durations: list[int], percent: int) -> None:
    rank = -(-len(durations) * percent // 100)
    exact = sorted(durations)[rank - 1]
    estimate = quantile(stored(durations), percent)
    assert estimate is not None
    assert 100 * abs(estimate - exact) <= exact


def test_a_quantile_of_nothing_is_none() -> None:
    assert quantile([], 50) is None
