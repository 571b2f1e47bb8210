"""Which wines are hardly two wines: they agree in all but a few measurements, or hardly differ in any.

Split, evaluation and comparison go by this one rule.
"""

from collections.abc import Iterator
from functools import reduce
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from wine_serving.schema import FEATURES, MEASUREMENTS

DIFFERING = 2  # measurements in which near-duplicates may differ, however much
STEPS = 2  # by which every measurement of near-duplicates may differ, each in the steps that laboratories report
REACH = STEPS + 1e-6  # in floating point, .34 is a little more than two hundredths above .32


def groups(table: pd.DataFrame, differing: int = DIFFERING) -> NDArray[np.int32]:
    """The group of each wine, shape (n,): linked directly or in a chain, whatever the colour.

    The third wine below differs from the second in two measurements and from the first in four; the fourth in three.
    The last differs from the first in all, but in each by two steps only.

    >>> wines = pd.DataFrame(10.0, index=range(5), columns=list(MEASUREMENTS))
    >>> wines.loc[1:2, ["ph", "density"]] = 20
    >>> wines.loc[2, ["alcohol", "chlorides"]] = 30
    >>> wines.loc[3, ["ph", "alcohol", "sulphates"]] = 40
    >>> wines.loc[4] += [2 * feature.step for feature in FEATURES]
    >>> groups(wines).tolist(), groups(wines, differing=3).tolist()
    ([0, 0, 0, 1, 0], [0, 0, 0, 0, 0])
    """
    number = np.arange(len(table))
    links = [_in_steps(table).query_pairs(REACH, p=np.inf, output_type="ndarray")]
    values = {name: pd.factorize(table[name])[0] for name in MEASUREMENTS}
    for kept in _kept(differing):
        alike = reduce(_both, [values[name] for name in kept])
        first = np.unique(alike, return_index=True)[1][alike]
        links.append(np.column_stack([number, first])[number != first])
    pairs = np.unique(np.concatenate(links), axis=0)
    graph = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(table), len(table)))
    group: NDArray[np.int32] = connected_components(graph, directed=False)[1]
    return group


def known(table: pd.DataFrame, seen: pd.DataFrame) -> NDArray[np.bool_]:
    """Which wines of `table`, shape (n,), are hardly another wine than one in `seen`."""
    distance, _ = _in_steps(seen).query(_in_steps(table).data, p=np.inf, distance_upper_bound=REACH)
    found: NDArray[np.bool_] = np.isfinite(distance)
    values = {name: pd.factorize(np.concatenate([table[name], seen[name]]))[0] for name in MEASUREMENTS}
    for kept in _kept(DIFFERING):
        alike = reduce(_both, [values[name] for name in kept])
        found |= np.isin(alike[: len(table)], alike[len(table) :], kind="table")
    return found


def _both(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """One code from 0 for each pair of codes, shape (n,); faster than grouping by all columns at once."""
    return pd.factorize(one * len(other) + other)[0]


def _in_steps(table: pd.DataFrame) -> cKDTree:
    """The wines as points, each measurement in the steps that laboratories report."""
    return cKDTree(table[list(MEASUREMENTS)].to_numpy(float) / [feature.step for feature in FEATURES])


def _kept(differing: int) -> Iterator[list[str]]:
    """The measurements that are left when any few are set aside."""
    for aside in combinations(MEASUREMENTS, differing):
        yield [name for name in MEASUREMENTS if name not in aside]
