"""Figures: ratios are taken pair by pair, and a floor is held against their median."""

import pytest

from tests.benchmarks.figures import Ceiling, Figure, quantile, rounded


def make_figure(
    runs: tuple[float, ...], ceiling: tuple[float, ...] | None = None, floor: float | None = None
) -> Figure:
    return Figure("f", "A figure", "events/s", runs, Ceiling("bare", ceiling) if ceiling else None, floor)


def test_the_ratio_is_the_median_of_the_pairs() -> None:
    # The machine was half as fast during the second pair: the medians alone would say 10 / 10.
    figure = make_figure((10.0, 5.0, 12.0), (20.0, 10.0, 10.0))

    assert figure.ratios == (0.5, 0.5, 1.2)
    assert figure.ratio == 0.5


@pytest.mark.parametrize(("floor", "holds"), [(0.5, True), (0.51, False), (None, None)])
def test_a_floor_holds_when_the_ratio_reaches_it(floor: float | None, holds: bool | None) -> None:
    assert make_figure((10.0,), (20.0,), floor).holds is holds


@pytest.mark.parametrize(("limit", "holds"), [(4.0, False), (4.01, True), (5.0, True)])
def test_a_limit_holds_when_the_ratio_stays_below_it(limit: float, holds: bool) -> None:
    ceiling = Ceiling("bare", (2.0,))
    assert Figure("f", "A figure", "ms", (8.0,), ceiling, limit=limit).holds is holds


def test_a_figure_without_a_ceiling_has_no_ratio() -> None:
    figure = make_figure((10.0, 30.0, 20.0))

    assert figure.median == 20.0
    assert figure.ratio is None
    assert figure.as_json()["ratio"] is None


@pytest.mark.parametrize(("share", "value"), [(0.5, 2), (0.51, 3), (0.75, 3), (0.95, 4), (0.0, 1), (1.0, 4)])
def test_a_quantile_is_the_smallest_value_of_sufficient_rank(share: float, value: float) -> None:
    assert quantile([4, 1, 3, 2], share) == value


@pytest.mark.parametrize(("value", "shown"), [(0.123456, 0.1235), (12345.678, 12346), (0.0, 0.0), (99.987654, 99.99)])
def test_four_digits_are_kept(value: float, shown: float) -> None:
    assert rounded(value) == shown
