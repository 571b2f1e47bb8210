"""How sure a figure is: resamples that draw whole groups of near-duplicates, their intervals, and words for them."""

from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest, norm

from wine_serving.verdict import Metric

Floats = NDArray[np.float64]

ENDS: Final = (0.025, 0.975)  # quantiles between which an interval lies
SHARES: Final = (  # metrics that are shares of wines
    *("accuracy", "within_one", "coverage", "coverage_scored_low", "coverage_scored_high", "great_scored_below_7"),
)


class Bootstrap:
    """Resamples of a table of wines, the same for whatever is averaged: so differences are those of paired wines.

    Near-duplicates do not count twice: a resample draws as many groups as there are, and each with all its wines.

    >>> bootstrap = Bootstrap([1, 1, 2], n=100, seed=0)
    >>> bootstrap.means([4, 6, 8])[0]
    np.float64(6.0)
    >>> sorted({float(mean) for mean in bootstrap.means([4, 6, 8])})  # either group twice, or both
    [5.0, 6.0, 8.0]
    """

    def __init__(self, groups: ArrayLike, n: int, seed: int) -> None:
        self.codes, names = pd.factorize(np.asarray(groups))
        self.n, self.seed, self.n_groups = n, seed, len(names)
        draws = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=n)
        self.draws = np.vstack([np.ones(len(names)), draws])  # first the wines as they are; shape (1 + n, groups)

    def means(self, values: ArrayLike, rows: ArrayLike | None = None) -> Floats:
        """Means of `values`, shape (wines,), over the wines in the mask `rows`: first the estimate, then n resamples.

        A resample without any such wine has no mean: NaN.
        """
        kept = np.ones(len(self.codes)) if rows is None else np.asarray(rows, float)
        sums, wines = (
            self.draws @ np.bincount(self.codes, weights, self.n_groups)
            for weights in (np.asarray(values) * kept, kept)
        )
        with np.errstate(invalid="ignore"):
            found: Floats = sums / wines
        return found

    def metrics(self, actual: Floats, predicted: Floats, rows: ArrayLike | None = None) -> dict[str, Floats]:
        """Each metric of some predictions, for the wines as they are and for every resample."""
        error, grade = actual - predicted, np.rint(predicted)
        mse = self.means(error**2, rows)
        variance = self.means(actual**2, rows) - self.means(actual, rows) ** 2
        with np.errstate(invalid="ignore", divide="ignore"):
            r2 = 1 - mse / variance
        return {
            "rmse": np.sqrt(mse),
            "mse": mse,
            "mae": self.means(np.abs(error), rows),
            "r2": r2,
            "accuracy": self.means(np.abs(grade - actual) < 1, rows),  # a grade between two is either
            "within_one": self.means(np.abs(grade - actual) <= 1, rows),
        }

    def interval(self, samples: ArrayLike) -> Metric:
        """A statistic with its 95 % interval, from its estimate and its resamples."""
        found = np.asarray(samples, float)
        low, high = np.nanquantile(found[1:], ENDS)
        return Metric(value=found[0], low=low, high=high)

    def share(self, samples: ArrayLike, rows: ArrayLike | None = None) -> Metric:
        """A share of wines with Wilson's interval (1927), which has a width even where all are inside, or none.

        It counts groups, not wines.

        >>> Bootstrap(range(30), n=100, seed=0).share([1.0]).shown()
        '1.000 (0.886 to 1.000)'
        """
        value = float(np.asarray(samples)[0])
        kept = np.full(len(self.codes), True) if rows is None else np.asarray(rows, bool)
        n = len(np.unique(self.codes[kept]))
        found = binomtest(round(value * n), n).proportion_ci(method="wilson")
        return Metric(value=value, low=min(value, found.low), high=max(value, found.high))

    def measured(self, name: str, samples: ArrayLike, rows: ArrayLike | None = None) -> Metric:
        """The metric of that name with the interval that suits it."""
        return self.share(samples, rows) if name in SHARES else self.interval(samples)


class Estimate(NamedTuple):
    """A figure and its standard error, for the far tails, where resamples are too few to say anything."""

    value: float
    error: float

    def interval(self, tail: float = ENDS[0]) -> Metric:
        """The figure with the interval that leaves `tail` of a normal distribution beyond either end."""
        reach = float(norm.isf(tail)) * self.error
        return Metric(value=self.value, low=self.value - reach, high=self.value + reach)


def mean_estimate(values: ArrayLike, groups: ArrayLike) -> Estimate:
    """The mean of `values`, shape (wines,), whose error counts groups, not wines.

    >>> mean_estimate([1, 1, 3, 3], [0, 0, 1, 1])
    Estimate(value=2.0, error=1.0)
    """
    each = np.asarray(values, float)
    codes, names = pd.factorize(np.asarray(groups))
    off = np.bincount(codes, each - each.mean())
    g = len(names)
    return Estimate(float(each.mean()), float(np.sqrt((off**2).sum() * g / max(g - 1, 1)) / len(each)))


def rmse_difference(ours: ArrayLike, theirs: ArrayLike, groups: ArrayLike) -> Estimate:
    """The RMSE of the errors `ours` minus that of the errors `theirs`, both of shape (wines,), on the same wines.

    >>> rmse_difference([1, -1, 1], [2, -2, 2], [0, 1, 2])
    Estimate(value=-1.0, error=0.0)
    """
    squared = [np.asarray(errors, float) ** 2 for errors in (ours, theirs)]
    first, second = (np.sqrt(each.mean()) for each in squared)
    slopes = [np.divide(each, 2 * rmse) if rmse else each for each, rmse in zip(squared, (first, second), strict=True)]
    return Estimate(float(first - second), mean_estimate(slopes[0] - slopes[1], groups).error)


def in_words(difference: Metric, other: str) -> str:
    """What a difference of errors says; below zero is better.

    >>> in_words(Metric(value=0.031, low=0.011, high=0.056), "a straight line")
    'worse than a straight line by 0.031 (0.011 to 0.056)'
    >>> in_words(Metric(value=-0.031, low=-0.056, high=-0.011), "a straight line")
    'better than a straight line by 0.031 (0.011 to 0.056)'
    >>> in_words(Metric(value=0.001, low=-0.011, high=0.056), "v0")
    'as good as v0, as far as can be told: 0.001 (-0.011 to 0.056)'
    """
    if difference.low > 0:
        return f"worse than {other} by {difference}"
    if difference.high < 0:
        turned = Metric(value=-difference.value, low=-difference.high, high=-difference.low)
        return f"better than {other} by {turned}"
    return f"as good as {other}, as far as can be told: {difference}"
