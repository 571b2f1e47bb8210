"""notebooks/near_duplicates.py: one rule, whoever asks."""

from itertools import combinations

import near_duplicates
import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from wine_serving.schema import MEASUREMENTS

few_values = st.integers(0, 2).map(float)
tables = st.lists(st.tuples(*[few_values] * len(MEASUREMENTS)), min_size=2, max_size=20).map(
    lambda rows: pd.DataFrame(rows, columns=list(MEASUREMENTS))
)


@settings(max_examples=25, deadline=None)
@given(table=tables)
def test_wines_that_agree_in_all_but_a_few_measurements_share_a_group(table: pd.DataFrame) -> None:
    """Whatever the table; and who may differ in more is never parted further."""
    fine, coarse = (near_duplicates.groups(table, differing) for differing in (2, 3))
    values = table.to_numpy()
    for one, other in combinations(range(len(table)), 2):
        differing = (values[one] != values[other]).sum()
        assert differing > 2 or fine[one] == fine[other]
        assert differing > 3 or coarse[one] == coarse[other]
        assert fine[one] != fine[other] or coarse[one] == coarse[other]


@settings(max_examples=25, deadline=None)
@given(table=tables, seen=tables)
def test_known_wine_is_one_that_nearly_repeats_a_seen_one(table: pd.DataFrame, seen: pd.DataFrame) -> None:
    """Across two tables, by the same rule."""
    differing = (table.to_numpy()[:, None] != seen.to_numpy()[None]).sum(axis=2)
    np.testing.assert_array_equal(near_duplicates.known(table, seen), (differing <= 2).any(axis=1))
