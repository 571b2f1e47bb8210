"""notebooks/splits.py: a split that stands still, whichever wines are added, and is as large as was asked."""

import near_duplicates
import numpy as np
import origin
import pandas as pd
import pytest
import splits
from numpy.typing import NDArray
from wine_tables import read_table

from wine_serving.schema import FEATURES, MEASUREMENTS, SEGMENT, SEGMENTS, TARGET

SHARES = {"test": 0.2, "calibration": 0.2, "train": 0.6}


@pytest.fixture(scope="module")
def uci() -> pd.DataFrame:
    """UCI's distinct wines."""
    tables = [read_table(origin.from_package(name), **origin.constants(name)) for name in origin.FILES]
    wines = pd.concat(tables, ignore_index=True).drop_duplicates([*MEASUREMENTS, SEGMENT], ignore_index=True)
    return wines.assign(source=origin.NAME)


def added(uci: pd.DataFrame, n: int, seed: int) -> pd.DataFrame:
    """Wines of a cellar: near UCI's, some of them so near that they link two groups, and of any grade."""
    random = np.random.default_rng(seed)
    wines = uci.sample(n, random_state=seed, replace=True).reset_index(drop=True)
    for feature in FEATURES:
        spread = random.choice([feature.step, uci[feature.name].std() / 3], n)
        moved = wines[feature.name] + random.normal(0, spread)
        wines[feature.name] = (moved / feature.step).round().abs() * feature.step
    return wines.assign(**{TARGET: random.integers(2, 11, n)}, source="cellar.csv")


def dealt(wines: pd.DataFrame, split_seed: int) -> NDArray[np.object_]:
    """The split of each wine."""
    wines = wines.assign(group=near_duplicates.groups(wines))
    return splits.deal(wines, split_seed, SHARES["test"], SHARES["calibration"])


def shares(split: NDArray[np.object_]) -> pd.Series:
    """How far the share of each split lies from what was asked."""
    return pd.Series({name: (split == name).mean() - share for name, share in SHARES.items()})


def test_added_wines_take_none_out_of_the_test(uci: pd.DataFrame) -> None:
    """One, thirty, three hundred or a thousand of them; nor is a wine that calibrates ever trained on."""
    before = dealt(uci, 0)
    order = {name: place for place, name in enumerate(splits.SPLITS)}
    for n in (1, 30, 300, 1000):
        after = dealt(pd.concat([uci, added(uci, n, seed=n)], ignore_index=True), 0)
        held_back = [np.array([order[name] for name in split]) for split in (before, after[: len(uci)])]
        assert (held_back[1] <= held_back[0]).all()
        assert shares(after).abs().max() < 0.03


@pytest.mark.parametrize("split_seed", range(4))
def test_shares_are_those_asked_and_every_grade_is_in_every_split(uci: pd.DataFrame, split_seed: int) -> None:
    """Within a percentage point, in all and for each colour; over 200 seeds never more than .3 of a point."""
    split = dealt(uci, split_seed)
    assert shares(split).abs().max() < 0.01
    for segment in SEGMENTS:
        assert shares(split[uci[SEGMENT] == segment]).abs().max() < 0.01
    assert (pd.crosstab(uci[TARGET], split) > 0).all(axis=None)


def test_lot_is_decided_by_the_wine_and_the_seed_alone(uci: pd.DataFrame) -> None:
    """Neither by its place in the table nor by digits beyond the sixth, which only some files carry."""
    some = uci.iloc[::50]
    lots = splits.draws(some, 0)
    longer = some.assign(**{name: some[name] * (1 + 1e-9) for name in MEASUREMENTS})
    np.testing.assert_array_equal(splits.draws(longer[::-1], 0), lots[::-1])
    assert not np.isin(splits.draws(some, 1), lots).any()


def test_group_stands_in_one_split_and_in_one_fold(uci: pd.DataFrame) -> None:
    """And its fold stays when other wines come or go."""
    wines = uci.assign(group=near_duplicates.groups(uci))
    split, fold = splits.deal(wines, 0, SHARES["test"], SHARES["calibration"]), splits.folds(wines, 0)
    for dealt_to in (split, fold):
        assert (pd.Series(dealt_to).groupby(wines["group"].to_numpy()).nunique() == 1).all()
    assert np.unique(fold).tolist() == list(range(10))
    train = split == "train"
    np.testing.assert_array_equal(splits.folds(wines[train], 0), fold[train])
    assert (splits.folds(wines, 1) != fold).mean() > 0.8
