"""What a model is made of: for a name and its parameters, the scikit-learn pipeline, derived features in it.

Training shows it, and whatever else fits a model takes it from here. A derived feature is added by a line in `derive`,
an estimator by its name in `Estimator` and its lines in `estimator_of`: no other file knows either.
"""

import inspect
from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from sklearn.base import RegressorMixin
from sklearn.ensemble import (
    ExtraTreesRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
    VotingRegressor,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVR

from wine_serving.bundle import Metadata, Recipe
from wine_serving.errors import BundleError
from wine_serving.schema import INPUTS, TARGET, Columns, encode_columns

Estimator = Literal["random_forest", "extra_trees", "hist_gradient_boosting", "voting"]
CANNOT = "the model cannot be fitted again"
ESTIMATORS: tuple[str, ...] = get_args(Estimator)


def derive(wine: Columns) -> dict[str, Any]:
    """New columns, by name, from the columns of `wine`: {"dryness": wine["alcohol"] / (wine["residual_sugar"] + 1)}."""
    return {}


def columns(table: Columns) -> pd.DataFrame:
    """What an estimator sees: a wine's inputs and what is derived from them, in single precision like the export."""
    inputs = pd.DataFrame(encode_columns(table), columns=list(INPUTS))
    return inputs.assign(**derive(inputs)).astype(np.float32)


def estimator_of(name: str, parameters: Mapping[str, Any], seed: int) -> RegressorMixin:
    """The estimator of that name, unfitted; it takes of the parameters what it understands."""
    forest = {option: parameters[option] for option in ("n_estimators", "min_samples_leaf", "max_features")}
    match name:
        case "random_forest":
            return RandomForestRegressor(**forest, random_state=seed)
        case "extra_trees":
            return ExtraTreesRegressor(**forest, random_state=seed)
        case "hist_gradient_boosting":
            rate = parameters.get("learning_rate", 0.05)  # records of earlier days name none
            boosting = {"max_iter": parameters["n_estimators"], "min_samples_leaf": 20, "learning_rate": rate}
            return HistGradientBoostingRegressor(**boosting, random_state=seed)
        case "voting":
            return voting(seed)
    raise ValueError(f"there is no estimator {name}: it must be one of {', '.join(ESTIMATORS)}")


def voting(seed: int) -> VotingRegressor:
    """Three models that err differently, whose weighted mean errs less; each is set as it does best in this company."""
    boosting = {"max_iter": 200, "learning_rate": 0.04, "max_leaf_nodes": 24, "l2_regularization": 1.0}
    voters = {
        "trees": ExtraTreesRegressor(n_estimators=80, min_samples_leaf=2, max_features=8, random_state=seed),
        "vectors": make_pipeline(StandardScaler(), SVR(C=1.0, gamma=0.15, epsilon=0.2)),
        "boosting": HistGradientBoostingRegressor(**boosting, min_samples_leaf=20, random_state=seed),
    }
    return VotingRegressor(list(voters.items()), weights=np.array([0.5, 0.3, 0.2]))  # the export wants an array


def recipe(name: str, parameters: Mapping[str, Any], seed: int) -> Pipeline:
    """From a table of wines to their quality: `recipe(…).fit(wines, grades).predict(others)`."""
    return make_pipeline(on_columns(), estimator_of(name, parameters, seed))


def on_columns() -> FunctionTransformer:
    """The first step of every pipeline: from a table of wines to the columns that an estimator sees."""
    return FunctionTransformer(columns)


def hyperparameters(estimator: RegressorMixin) -> dict[str, Any]:
    """All that an estimator is set to, its parts and its defaults as well, as far as these are plain values.

    >>> hyperparameters(voting(0))["weights"], hyperparameters(voting(0))["vectors__svr__gamma"]
    ([0.5, 0.3, 0.2], 0.15)
    """
    settings = {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in estimator.get_params().items()
        if not name.endswith("n_jobs")
    }
    return {name: value for name, value in settings.items() if is_plain(value)}


def is_plain(value: Any) -> bool:
    """Whether JSON can hold it as it is."""
    if isinstance(value, list):
        return all(map(is_plain, value))
    return value is None or isinstance(value, str | int | float)


def derived() -> str:
    """The text of `derive`, which travels with a model."""
    return inspect.getsource(derive)


def refit(metadata: Metadata, train: pd.DataFrame, seed: int | None = None) -> Pipeline:
    """The model that `metadata` describes, fitted again, or a BundleError that says why it cannot be.

    `train` has the rows in the order in which the model learnt from them, which forests depend on. Another `seed` than
    its own gives a model that is as good and not the same.
    """
    made_by = _recipe_of(metadata)
    try:
        model = recipe(made_by.estimator, made_by.parameters, made_by.seed if seed is None else seed)
        return model.fit(train, train[TARGET])
    except KeyError as missing:
        raise BundleError(f"{CANNOT}: its record does not say {missing}, which {made_by.estimator} takes") from None
    except (TypeError, ValueError) as error:
        raise BundleError(f"{CANNOT}: {error}") from None


def _recipe_of(metadata: Metadata) -> Recipe:
    """As the metadata say it in full, or as far as a format 1 said it."""
    if metadata.recipe is None:
        if not isinstance(seed := metadata.parameters.get("seed"), int):
            raise BundleError(f"{CANNOT}: its record names no recipe and no seed; train it again")
        return Recipe(estimator=metadata.estimator, parameters=metadata.parameters, seed=seed, derived=derived())
    if metadata.recipe.derived != derived():
        raise BundleError(f"{CANNOT}: recipes.derive was another when it was trained; check out its commit")
    return metadata.recipe
