"""resampling: how sure a figure is, from resamples that draw whole groups."""

import doctest

import numpy as np
import pytest
import resampling
from resampling import Bootstrap

from tests import tiny
from wine_serving.schema import TARGET

WINES = tiny.made_up_wines(300)
ACTUAL = WINES[TARGET].to_numpy(float)


def test_examples_in_its_text_are_true() -> None:
    """They say more than words."""
    assert doctest.testmod(resampling).failed == 0


def test_first_is_the_estimate_and_then_come_the_resamples() -> None:
    """Of every metric, for a mask of wines as for all; the same seed draws the same."""
    some = ACTUAL >= 6
    for rows in (None, some):
        drawn, again = (Bootstrap(WINES["group"], 200, 1).means(ACTUAL, rows) for _ in range(2))
        assert drawn.shape == (201,)
        assert drawn[0] == pytest.approx(ACTUAL[slice(None) if rows is None else rows].mean())
        assert (drawn == again).all()


def test_near_duplicates_do_not_count_twice() -> None:
    """Every wine listed five times, as one group: the interval is as wide as if it were listed once."""
    once = Bootstrap(np.arange(300), 500, 0)
    fivefold = Bootstrap(np.repeat(np.arange(300), 5), 500, 0)
    assert fivefold.interval(fivefold.means(np.repeat(ACTUAL, 5))) == once.interval(once.means(ACTUAL))


def test_paired_difference_is_surer_than_either_figure() -> None:
    """Two models that miss the same odd wines are told apart by what they do not share."""
    resamples, noise = Bootstrap(WINES["group"], 500, 0), np.random.default_rng(0).normal(0, 1, 300)
    one, other = (resamples.metrics(ACTUAL, ACTUAL + noise + shift)["rmse"] for shift in (0, 0.3))
    apart, alone = resamples.interval(other - one), resamples.interval(one)
    assert apart.high - apart.low < (alone.high - alone.low) / 2


def test_share_has_a_width_even_where_all_are_inside() -> None:
    """Wilson's interval; it counts groups."""
    groups = np.repeat(np.arange(30), 10)
    inside = Bootstrap(groups, 100, 0).share([1.0])
    assert inside.value == inside.high == 1
    assert 0.85 < inside.low < 0.95
