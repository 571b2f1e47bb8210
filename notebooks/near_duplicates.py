"""Which wines are hardly two wines: they agree in all but a few measurements. Split and judgement go by this rule."""

from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from wine_serving.schema import MEASUREMENTS

DIFFERING = 2  # measurements in which near-duplicates may differ


def groups(table: pd.DataFrame, differing: int = DIFFERING) -> NDArray[np.int32]:
    """The group of each wine, shape (n,): linked directly or in a chain, whatever the colour.

    The third wine below differs from the second in two measurements and from the first in four; the last in three.

    >>> wines = pd.DataFrame(1.0, index=range(4), columns=list(MEASUREMENTS))
    >>> wines.loc[1:2, ["ph", "density"]] = 2
    >>> wines.loc[2, ["alcohol", "chlorides"]] = 3
    >>> wines.loc[3, ["ph", "alcohol", "sulphates"]] = 4
    >>> groups(wines).tolist(), groups(wines, differing=3).tolist()
    ([0, 0, 0, 1], [0, 0, 0, 0])
    """
    number = np.arange(len(table))
    links = []
    for aside in combinations(MEASUREMENTS, differing):
        alike = table.groupby([name for name in MEASUREMENTS if name not in aside]).ngroup().to_numpy()
        first = pd.Series(number).groupby(alike).transform("first").to_numpy()
        links.append(np.column_stack([number, first])[number != first])
    pairs = np.unique(np.concatenate(links), axis=0)
    graph = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(table), len(table)))
    group: NDArray[np.int32] = connected_components(graph, directed=False)[1]
    return group


def known(table: pd.DataFrame, seen: pd.DataFrame, differing: int = DIFFERING) -> NDArray[np.bool_]:
    """Which wines of `table`, shape (n,), agree with one in `seen` in all but a few measurements."""
    found = np.zeros(len(table), dtype=bool)
    for aside in combinations(MEASUREMENTS, differing):
        kept = [name for name in MEASUREMENTS if name not in aside]
        found |= pd.MultiIndex.from_frame(table[kept]).isin(pd.MultiIndex.from_frame(seen[kept]))
    return found
