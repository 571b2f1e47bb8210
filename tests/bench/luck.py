"""False winners, simulated: many settings that are equally good are searched, and it is counted who is called better.

Settings that differ by nothing are drawn from one large forest of each fold: any hundred of its trees are the default
setting under another seed. What is counted goes to notebooks/luck.json, which `06_search` shows. It takes minutes of
fitting, so it runs only when named: `make bench ONLY=search`.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t
from sklearn.ensemble import RandomForestRegressor

from tests.conftest import ROOT
from wine_serving.registry import DATASET, open_registry
from wine_serving.schema import TARGET, encode_columns
from wine_serving.settings import Settings

sys.path.insert(0, str(ROOT / "notebooks"))
import luck
import splits

FOUND: Final = ROOT / "notebooks" / "luck.json"
SEARCHES, SETTINGS, BEST = 400, 64, 5
TREES, POOL = 100, 1000
PARTS, REPEATS = 5, 6
Votes = NDArray[np.float32]


def pools(wines: pd.DataFrame, seeds: range) -> list[list[tuple[Votes, NDArray[np.float64]]]]:
    """For each seed, and each fold of it: what POOL trees say of the wines held out, and what tasters said."""
    rows, grades = encode_columns(wines), wines[TARGET].to_numpy(float)

    def one(seed: int, part: int, fold: NDArray[np.int64]) -> tuple[Votes, NDArray[np.float64]]:
        fitted, out = fold != part, fold == part
        forest = RandomForestRegressor(POOL, min_samples_leaf=3, max_features=4, random_state=PARTS * seed + part)
        forest.fit(rows[fitted], grades[fitted])
        return np.array([tree.predict(rows[out]) for tree in forest.estimators_], np.float32), grades[out]

    with ThreadPoolExecutor() as side_by_side:
        waiting = []
        for seed in seeds:
            fold = splits.folds(wines, seed, PARTS)
            waiting.append([side_by_side.submit(one, seed, part, fold) for part in range(PARTS)])
        return [[each.result() for each in parts] for parts in waiting]


def rmse(pool: list[tuple[Votes, NDArray[np.float64]]], n: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Of n settings, each any TREES of the pool, on every fold: shape (n, PARTS)."""
    found = np.empty((n, PARTS))
    for part, (votes, grades) in enumerate(pool):
        drawn = random.integers(POOL, size=(n, TREES))  # with replacement: else two settings would be too much alike
        chosen = np.array([np.bincount(row, minlength=POOL) for row in drawn], np.float32) / TREES
        found[:, part] = np.sqrt(((chosen @ votes - grades) ** 2).mean(axis=1))
    return found


def main() -> int:
    """Search among equals again and again, count, and write what was counted."""
    registry = open_registry(Settings.from_environment().registry)
    wines = pd.read_parquet(registry.fetch(f"{DATASET}:latest") / "train.parquet")
    first, *fresh = pools(wines, range(1 + REPEATS))
    random = np.random.default_rng(0)
    counts = {"naive": 0, "widened": 0, "widened, Holm": 0, "judged on fresh folds": 0}
    optimism = []
    for _ in range(SEARCHES):
        tried = rmse(first, 1 + SETTINGS, random)
        apart = tried[1:] - tried[0]
        naive = t.cdf(apart.mean(axis=1) / (apart.std(axis=1, ddof=1) / np.sqrt(PARTS)), PARTS - 1)
        chances = luck.by_chance(apart, PARTS)
        counts["naive"] += bool((naive < luck.LEVEL).any())
        counts["widened"] += bool((chances < luck.LEVEL).any())
        counts["widened, Holm"] += bool((luck.holm(chances) < luck.LEVEL).any())
        optimism.append(tried[1:].mean() - tried[1:].mean(axis=1).min())
        again = np.hstack([rmse(pool, 1 + BEST, random) for pool in fresh])
        judged = luck.holm(luck.by_chance(again[1:] - again[0], PARTS))
        counts["judged on fresh folds"] += bool((judged < luck.LEVEL).any())
    found: dict[str, list[float]] = {name: [count, SEARCHES] for name, count in counts.items()}
    found["best of equals looks better by"] = [round(float(np.mean(optimism)), 5), SETTINGS]
    FOUND.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))
    return 0
