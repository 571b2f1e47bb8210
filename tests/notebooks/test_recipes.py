"""notebooks/recipes.py: a model is fitted again from what its metadata say, or it is said why it cannot be."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import recipes

from tests import tiny
from wine_serving.bundle import Bundle, Metadata, Recipe
from wine_serving.errors import BundleError
from wine_serving.schema import TARGET

PARAMETERS = {"n_estimators": 8, "min_samples_leaf": 3, "max_features": 4}


@pytest.fixture(scope="module")
def wines() -> pd.DataFrame:
    return tiny.made_up_wines(300)


@pytest.fixture
def metadata(tiny_bundle: Path) -> Metadata:
    """Of a bundle of format 2."""
    recipe = Recipe(estimator="random_forest", parameters=PARAMETERS, seed=3, derived=recipes.derived())
    return Bundle.load(tiny_bundle).metadata.model_copy(update={"recipe": recipe})


def of_format_1(metadata: Metadata, **parameters: object) -> Metadata:
    return metadata.model_copy(update={"format": 1, "recipe": None, "parameters": parameters})


@pytest.mark.parametrize("estimator", recipes.ESTIMATORS)
def test_model_fitted_again_is_the_model(metadata: Metadata, wines: pd.DataFrame, estimator: str) -> None:
    """To the last bit, for every estimator; also from an old record that says as much."""
    first = recipes.recipe(estimator, PARAMETERS, 3).fit(wines, wines[TARGET]).predict(wines)
    assert metadata.recipe
    named = metadata.recipe.model_copy(update={"estimator": estimator})
    new = metadata.model_copy(update={"recipe": named})
    old = of_format_1(metadata.model_copy(update={"estimator": estimator}), **PARAMETERS, seed=3)
    for each in (new, old):
        assert np.array_equal(recipes.refit(each, wines).predict(wines), first)


def test_another_seed_gives_another_model(metadata: Metadata, wines: pd.DataFrame) -> None:
    """For who wants to know how much of a figure is luck."""
    same, other = (recipes.refit(metadata, wines, seed).predict(wines) for seed in (None, 4))
    assert np.abs(same - other).max() > 1e-3


def test_rows_in_another_order_give_another_forest(metadata: Metadata, wines: pd.DataFrame) -> None:
    """Which is why a dataset's order is kept."""
    shuffled = wines.sample(frac=1, random_state=0)
    assert np.abs(
        recipes.refit(metadata, shuffled).predict(wines) - recipes.refit(metadata, wines).predict(wines)
    ).any()


def test_what_cannot_be_fitted_again_says_why(metadata: Metadata, wines: pd.DataFrame) -> None:
    """An estimator that nobody knows, other derived features, a parameter that is missing or makes no sense."""
    assert metadata.recipe
    changes: dict[str, dict[str, object]] = {
        "there is no estimator oracle": {"estimator": "oracle"},
        "recipes.derive was another": {"derived": "def derive(wine):\n    return {'dry': wine['alcohol']}\n"},
        "does not say 'max_features'": {"parameters": {"n_estimators": 8, "min_samples_leaf": 3}},
        "n_estimators": {"parameters": PARAMETERS | {"n_estimators": -1}},
    }
    for sentence, change in changes.items():
        other = metadata.model_copy(update={"recipe": metadata.recipe.model_copy(update=change)})
        with pytest.raises(BundleError, match=f"cannot be fitted again.*{sentence}"):
            recipes.refit(other, wines)
    with pytest.raises(BundleError, match="names no recipe and no seed"):
        recipes.refit(of_format_1(metadata, **PARAMETERS), wines)
