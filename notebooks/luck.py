"""How much of a difference between two settings is luck, when many were tried: on folds, paired, and told honestly.

Rows are settings, columns are folds, values are RMSE minus that of the default setting on the same fold.
"""

import json
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, t

from wine_serving.verdict import Metric

Floats = NDArray[np.float64]

LEVEL: Final = 0.05  # of all settings together
RULES: Final = ("naive", "widened", "widened, Holm", "judged on fresh folds")  # whom a search calls better, simulated
SIMULATED: Final[dict[str, list[float]]] = json.loads(Path(__file__).with_name("luck.json").read_bytes())


def spread(differences: ArrayLike, n_parts: int) -> Floats:
    """Standard error of each row's mean, shape (rows,); folds are `n_parts` to a repetition.

    Folds share training wines and so agree more with each other than independent samples would: the error is widened
    as Nadeau and Bengio (2003) advise, and more repetitions do not shrink it below what the wines themselves allow.

    >>> spread([[-1.0, 0.0, 1.0, 0.0, 0.0]], 5).round(3).tolist()
    [0.474]
    """
    rows = np.atleast_2d(np.asarray(differences, float))
    n = rows.shape[1]
    found: Floats = rows.std(axis=1, ddof=1) * np.sqrt(1 / n + 1 / (n_parts - 1))
    return found


def intervals(differences: ArrayLike, n_parts: int) -> list[Metric]:
    """Each row's mean with its 95 % interval."""
    rows = np.atleast_2d(np.asarray(differences, float))
    reach = t.ppf(0.975, rows.shape[1] - 1) * spread(rows, n_parts)
    return [
        Metric(value=value, low=value - each, high=value + each)
        for value, each in zip(rows.mean(axis=1), reach, strict=True)
    ]


def by_chance(differences: ArrayLike, n_parts: int) -> Floats:
    """The chance of such a gain, or a larger one, where there is none: shape (rows,), of each row by itself."""
    rows = np.atleast_2d(np.asarray(differences, float))
    error = spread(rows, n_parts)
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = np.where(error > 0, t.cdf(rows.mean(axis=1) / error, rows.shape[1] - 1), 1.0)
    return found


def holm(chances: ArrayLike) -> Floats:
    """The chances of a gain by luck anywhere among so many settings (Holm 1979), in the order given.

    >>> holm([0.01, 0.04, 0.02]).tolist()
    [0.03, 0.04, 0.04]
    """
    given = np.asarray(chances, float)
    order = np.argsort(given)
    scaled = np.minimum(np.maximum.accumulate(given[order] * np.arange(len(given), 0, -1)), 1.0)
    found = np.empty_like(scaled)
    found[order] = scaled
    return found


def not_shown_worse(differences: Floats, costs: ArrayLike, n_parts: int) -> int:
    """The cheapest row that is not worse than the best by more than one standard error of their paired difference.

    Breiman's rule compares each with the error of the best alone, and keeps too many: what both have in common cancels.
    """
    best = differences.mean(axis=1).argmin()
    apart = differences - differences[best]
    kept = np.flatnonzero(apart.mean(axis=1) <= spread(apart, n_parts))
    return int(kept[np.asarray(costs, float)[kept].argmin()])


def best_of(n: int) -> float:
    """By how much RMSE the best of n equal settings looks better than their mean, from the simulation of some number.

    The expected smallest of n normal values, in units of what it was there (Blom 1958).
    """
    gain, there = SIMULATED["best of equals looks better by"]
    return float(gain * norm.ppf((n - 0.375) / (n + 0.25)) / norm.ppf((there - 0.375) / (there + 0.25)))
