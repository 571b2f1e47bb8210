"""How good the probabilities of grades are that a model gives: their score, and whether what is said comes true."""

from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from splits import grade_of

from wine_serving.assessing import GRADES, Assessor
from wine_serving.bundle import Bundle
from wine_serving.schema import INPUTS, SEGMENT, TARGET

Floats = NDArray[np.float64]
EVENTS: Final = {"7 or better": range(7, GRADES[-1] + 1), "4 or less": range(GRADES[0], 5)}  # what a reader asks
EDGES: Final = (0, 0.05, 0.1, 0.2, 0.4, 1)  # of the probabilities that are looked at together


class Said(NamedTuple):
    """Wines of which about the same was said: the mean probability, which wines, and which of them came true."""

    probability: float
    wines: NDArray[np.bool_]
    came_true: NDArray[np.bool_]


def of_wines(bundle: Bundle, wines: pd.DataFrame) -> Floats:
    """What a model says of each wine as it is served, shape (wines, len(GRADES))."""
    return Assessor(bundle).columns({name: wines[name].to_numpy() for name in INPUTS}).probabilities


def climatology(known: pd.DataFrame, wines: pd.DataFrame) -> Floats:
    """What somebody says who knows a wine's colour only: how often each grade was given to others of it."""
    grade = pd.Categorical(grade_of(known[TARGET]), GRADES)
    often = pd.crosstab(known[SEGMENT].to_numpy(), grade, normalize="index", dropna=False)
    return often.reindex(wines[SEGMENT], columns=list(GRADES)).to_numpy()


def ranked_probability_scores(probabilities: ArrayLike, quality: ArrayLike) -> Floats:
    """Each wine's score (Epstein 1969): near misses count less than far ones, and who is sure and right gets zero.

    It is in grades: what names one grade for sure scores as many as it is off.

    >>> sure_of_5, sure_of_6 = (np.array(GRADES) == grade for grade in (5, 6))
    >>> ranked_probability_scores([sure_of_5, sure_of_5, (0.5 * sure_of_5 + 0.5 * sure_of_6)], [5, 7, 5]).tolist()
    [0.0, 2.0, 0.25]
    """
    below = np.cumsum(np.asarray(probabilities, float), axis=1)
    found: Floats = ((below - (grade_of(quality)[:, None] <= np.array(GRADES))) ** 2).sum(axis=1)
    return found


def reliability(probabilities: Floats, quality: ArrayLike, event: range, least: int = 1) -> list[Said]:
    """Wines put together by how probable the event was called, from hardly to almost surely: `least` in each.

    >>> sure_of_8 = (np.array(GRADES) == 8).astype(float)
    >>> reliability(sure_of_8[None], [6], EVENTS["7 or better"])
    [Said(probability=1.0, wines=array([ True]), came_true=array([False]))]
    """
    said = probabilities[:, [GRADES.index(grade) for grade in event]].sum(axis=1).clip(0, 1)
    came_true = np.isin(grade_of(quality), event)
    bins = np.digitize(said, EDGES[1:-1])
    groups = [bins == each for each in np.unique(bins)]
    return [Said(float(said[group].mean()), group, came_true) for group in groups if group.sum() >= least]
