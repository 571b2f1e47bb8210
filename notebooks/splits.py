"""Which wines are held back: every wine draws its lot from what it is, so that other wines do not change it."""

import hashlib
from collections.abc import Mapping
from typing import Any

import near_duplicates
import numpy as np
import origin
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from wine_serving.schema import MEASUREMENTS, SEGMENT, TARGET

SPLITS = ("test", "calibration", "train")  # the more held back, the earlier


def draws(table: pd.DataFrame, split_seed: int) -> NDArray[np.float64]:
    """A number from 0 up to 1 for each wine, shape (n,), that only its measurements, its colour and the seed decide.

    >>> wines = pd.DataFrame(1.0, index=range(2), columns=list(MEASUREMENTS)).assign(**{SEGMENT: ["red", "white"]})
    >>> draws(wines, 0).round(3).tolist(), draws(wines[1:], 0).round(3).tolist()
    ([0.476, 0.422], [0.422])
    """
    measured = table[list(MEASUREMENTS)].to_numpy(float) + 0.0  # a negative zero is a zero
    return np.array(
        [
            _lot(split_seed, *(f"{value:.6g}" for value in row), segment)
            for row, segment in zip(measured.tolist(), table[SEGMENT], strict=True)
        ]
    )


def deal(wines: pd.DataFrame, split_seed: int, test: float, calibration: float) -> NDArray[np.object_]:
    """One of SPLITS for each wine, shape (n,); `wines` have a `source`, a `group` and the grade that they are dealt by.

    A wine is held back if its draw is among the lowest of its colour and grade. What is low is taken from the
    origin's own wines, which are always there, so more wines change nothing of it. A group goes where the most held
    back of its wines goes: more wines can only hold it back further, and none ever leaves the test.
    """
    draw, grade = draws(wines, split_seed), grade_of(wines[TARGET])
    own = (wines["source"] == origin.NAME).to_numpy()
    lowest = pd.Series(draw[own]).groupby(near_duplicates.groups(wines[own])).transform("min")
    strata = lowest.groupby([wines.loc[own, SEGMENT].to_numpy(), grade[own]])
    limits = strata.quantile(np.array([test, test + calibration])).unstack()
    place = (draw[:, None] >= [test, test + calibration]).sum(axis=1)  # of a colour that the origin has none of
    for segment, limit in limits.groupby(level=0):
        of_segment = (wines[SEGMENT] == segment).to_numpy()
        grades = limit.index.get_level_values(1).to_numpy()
        nearest = np.abs(grade[of_segment, None] - grades).argmin(axis=1)
        place[of_segment] = (draw[of_segment, None] >= limit.to_numpy()[nearest]).sum(axis=1)
    held_back = pd.Series(place).groupby(wines["group"].to_numpy()).transform("min")
    return np.array(SPLITS, dtype=object)[held_back]


def folds(table: pd.DataFrame, split_seed: int, n: int = 10) -> NDArray[np.int64]:
    """The fold of each wine, shape (n,), from 0: by the smallest draw of its group, whichever other wines there are."""
    smallest = pd.Series(draws(table, split_seed)).groupby(table["group"].to_numpy()).transform("min")
    return np.array([int(n * _lot(split_seed, "fold", repr(draw))) for draw in smallest.tolist()], np.int64)


def grade_of(quality: ArrayLike) -> NDArray[np.int64]:
    """The grade that a quality counts for, a half for the higher one.

    >>> grade_of([5, 5.5, 6.5, 6.4]).tolist()
    [5, 6, 7, 6]
    """
    return np.floor(np.asarray(quality, float) + 0.5).astype(np.int64)


def seed_of(facts: Mapping[str, Any]) -> int:
    """The seed that a dataset was split with, from its dataset.json of any format.

    >>> seed_of({"format": 2, "split_seed": 7}), seed_of({"format": 1, "seed": 7})
    (7, 7)
    """
    return int(facts["split_seed" if "split_seed" in facts else "seed"])


def _lot(*parts: object) -> float:
    """A number from 0 up to 1, by chance, but always the same for the same parts."""
    digest = hashlib.blake2b("\n".join(map(str, parts)).encode(), digest_size=8).digest()
    return (int.from_bytes(digest) >> 11) / 2**53  # as many bits as a float holds exactly
