"""Explanations: contributions that add up, close to exact Shapley values."""

from itertools import combinations
from math import factorial
from pathlib import Path

import numpy as np
import pytest

from tests import tiny
from wine_serving.bundle import Bundle
from wine_serving.explain import Explainer
from wine_serving.schema import INPUTS, Wine, encode

ERROR = 0.03  # score points: what sampling orders may cost any one contribution, on a scale of ten


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path) -> Bundle:
    """The small bundle."""
    return Bundle.load(tiny_bundle)


def exact(bundle: Bundle, wine: Wine) -> np.ndarray:
    """Shapley values of the inputs from every one of the 2¹² subsets, shape (12,)."""
    row, n = np.array(encode(wine), dtype=np.float32), len(INPUTS)
    background = np.array(bundle.reference.background, dtype=np.float32)
    subsets = [subset for size in range(n + 1) for subset in combinations(range(n), size)]
    worth = {}
    for subset in subsets:
        mixed = background.copy()
        mixed[:, subset] = row[list(subset)]
        worth[subset] = bundle.predict(mixed).mean(dtype=np.float64)
    values = np.zeros(n)
    for subset in subsets:
        weight = factorial(len(subset)) * factorial(n - len(subset) - 1) / factorial(n) if len(subset) < n else 0
        for column in set(range(n)) - set(subset):
            values[column] += weight * (worth[tuple(sorted((*subset, column)))] - worth[subset])
    return values


@pytest.mark.parametrize("row", [0, 1, 2])
def test_contributions_are_close_to_exact_shapley_values(bundle: Bundle, row: int) -> None:
    """Each within the stated error."""
    wine = Wine.model_validate(tiny.as_wines(tiny.made_up_wines(3, seed=5))[row])
    score = bundle.score(wine)
    found = [each["contribution"] for each in Explainer(bundle).explain(wine, score)]
    assert np.abs(np.array(found) - exact(bundle, wine)).max() <= ERROR


@pytest.mark.parametrize("row", range(5))
def test_contributions_sum_to_score_minus_typical_score(bundle: Bundle, row: int) -> None:
    """Nothing is left over."""
    wine = Wine.model_validate(tiny.as_wines(tiny.made_up_wines(5, seed=7))[row])
    score = bundle.score(wine)
    explainer = Explainer(bundle)
    total = sum(each["contribution"] for each in explainer.explain(wine, score))
    assert total == pytest.approx(score - explainer.typical, abs=1e-9)


def test_wine_is_always_explained_alike(bundle: Bundle) -> None:
    """Also by another process that has loaded the same bundle."""
    wine = Wine.model_validate(tiny.as_wines(tiny.made_up_wines(1))[0])
    assert Explainer(bundle).explain(wine, 6.0) == Explainer(bundle).explain(wine, 6.0)
