"""notebooks/near_duplicates.py: one rule, whoever asks."""

from itertools import combinations

import near_duplicates
import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from wine_serving.schema import FEATURES, MEASUREMENTS

in_steps = st.sampled_from([30, 31, 32, 33, 60])  # near each other, just too far, and far
tables = st.lists(st.tuples(*[in_steps] * len(MEASUREMENTS)), min_size=2, max_size=20).map(
    lambda rows: pd.DataFrame(rows, columns=list(MEASUREMENTS)) * [feature.step for feature in FEATURES]
)


def alike(table: pd.DataFrame, other: pd.DataFrame, differing: int = 2) -> NDArray[np.bool_]:
    """Which wines of two tables are near-duplicates, shape (n, m), by the words of the rule."""
    apart = (table.to_numpy()[:, None] - other.to_numpy()[None]) / [feature.step for feature in FEATURES]
    found: NDArray[np.bool_] = ((apart != 0).sum(axis=2) <= differing) | (np.abs(apart).max(axis=2) < 2.5)
    return found


@settings(max_examples=15)
@given(table=tables)
def test_near_duplicates_share_a_group(table: pd.DataFrame) -> None:
    """Whatever the table; and who may differ in more is never parted further."""
    fine, coarse = (near_duplicates.groups(table, differing) for differing in (2, 3))
    near, nearly = (alike(table, table, differing) for differing in (2, 3))
    for one, other in combinations(range(len(table)), 2):
        assert not near[one, other] or fine[one] == fine[other]
        assert not nearly[one, other] or coarse[one] == coarse[other]
        assert fine[one] != fine[other] or coarse[one] == coarse[other]
    for group in np.unique(fine):  # and nobody else does: who is alone in it is like nobody
        inside = fine == group
        assert inside.sum() == 1 or near[np.ix_(inside, inside)].sum(axis=1).min() > 1
        assert not near[np.ix_(inside, ~inside)].any()


@settings(max_examples=25)
@given(table=tables, seen=tables)
def test_known_wine_is_one_that_nearly_repeats_a_seen_one(table: pd.DataFrame, seen: pd.DataFrame) -> None:
    """Across two tables, by the same rule."""
    np.testing.assert_array_equal(near_duplicates.known(table, seen), alike(table, seen).any(axis=1))
