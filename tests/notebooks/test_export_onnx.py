"""notebooks/export_onnx.py: the exported graph says what the recipe says, on whatever wines; or it is refused."""

from collections.abc import Callable
from typing import Any

import export_onnx
import numpy as np
import onnxruntime
import pandas as pd
import pytest
import recipes
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.ensemble import HistGradientBoostingRegressor, VotingRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline, make_pipeline

from tests import tiny
from wine_serving.errors import BundleError
from wine_serving.schema import MEASUREMENTS, TARGET

PARAMETERS = {"n_estimators": 20, "min_samples_leaf": 3, "max_features": 4}


@pytest.fixture(scope="module")
def wines() -> pd.DataFrame:
    """Made-up wines to fit on."""
    return tiny.made_up_wines(400)


def difference(pipeline: Pipeline, wines: pd.DataFrame) -> float:
    """How far the exported graph is from the pipeline, at most."""
    session = onnxruntime.InferenceSession(export_onnx.export(pipeline).SerializeToString())
    return export_onnx.parity(pipeline, lambda rows: session.run(None, {"features": rows})[0].ravel(), wines)


@pytest.mark.parametrize("name", recipes.ESTIMATORS)
def test_graph_says_what_the_recipe_says(wines: pd.DataFrame, name: str) -> None:
    """On the wines that it was fitted on, and on a hundred thousand that no file has rounded."""
    pipeline = recipes.recipe(name, PARAMETERS, 0).fit(wines, wines[TARGET])
    assert difference(pipeline, wines) < 1e-5
    assert difference(pipeline, export_onnx.jittered(wines, 0)) < 1e-5


def test_wine_on_a_threshold_of_boosting_goes_the_same_way(wines: pd.DataFrame) -> None:
    """A wine in single precision may lie between a threshold and what rounding makes of it."""
    pipeline = recipes.recipe("hist_gradient_boosting", PARAMETERS, 0).fit(wines, wines[TARGET])
    nodes = np.concatenate([tree.nodes for (tree,) in pipeline[-1]._predictors])  # noqa: SLF001 - its trees
    inner = nodes[(nodes["is_leaf"] == 0) & (nodes["feature_idx"] < len(MEASUREMENTS))]
    splits = {(node["feature_idx"], np.float64(np.float32(node["num_threshold"]))) for node in inner}
    on_thresholds = pd.concat([wines.assign(**{MEASUREMENTS[feature]: value}) for feature, value in splits])
    assert difference(pipeline, on_thresholds) < 1e-5


def test_same_recipe_gives_the_same_bytes(wines: pd.DataFrame) -> None:
    """No name in the graph is drawn at random."""
    pipeline = recipes.recipe("random_forest", PARAMETERS, 0).fit(wines, wines[TARGET])
    first, second = (export_onnx.export(pipeline).SerializeToString() for _ in range(2))
    assert first == second


@pytest.mark.parametrize("name", ["random_forest", "extra_trees", "hist_gradient_boosting"])
def test_trees_are_all_that_a_request_pays_for(wines: pd.DataFrame, name: str) -> None:
    """A node that casts a number to the type that it has costs each request, and says nothing new."""
    graph = export_onnx.export(recipes.recipe(name, PARAMETERS, 0).fit(wines, wines[TARGET])).graph
    assert {node.op_type for node in graph.node} - {"Identity"} == {"TreeEnsembleRegressor"}  # left out when loaded


def test_boosting_inside_another_estimator_is_exported_as_it_predicts(wines: pd.DataFrame) -> None:
    """Estimators made of others are ordinary recipes."""
    both = VotingRegressor([("line", Ridge()), ("trees", HistGradientBoostingRegressor(max_iter=20))], weights=None)
    pipeline = make_pipeline(recipes.on_columns(), both).fit(wines, wines[TARGET])
    assert difference(pipeline, export_onnx.jittered(wines, 0)) < 1e-4


NOT_EXPORTED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "a function that ONNX rounds otherwise": (lambda wine: np.log(wine["alcohol"]), "numpy's log"),
    "a comparison": (lambda wine: wine["alcohol"] > 10, "numpy's greater"),
    "a method of pandas": (lambda wine: wine["alcohol"].rank(), r"\.rank of a column"),
    "a choice": (lambda wine: np.where(wine["alcohol"] > 10, 1, 0), "numpy's greater"),
    "a number": (lambda _: 1.0, "what is no arithmetic on columns for new"),
}


@pytest.mark.parametrize(("derive", "what"), NOT_EXPORTED.values(), ids=NOT_EXPORTED)
def test_feature_that_cannot_be_exported_is_refused_saying_what_can(
    wines: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, derive: Callable[[Any], Any], what: str
) -> None:
    """Pandas could compute it, the served model could not."""
    for module in (recipes, export_onnx):
        monkeypatch.setattr(module, "derive", lambda wine: {"new": derive(wine)})
    pipeline = recipes.recipe("random_forest", PARAMETERS, 0)
    with pytest.raises(BundleError, match=rf"derive uses {what}, which is not exported: write .* with absolute"):
        export_onnx.check_exportable(pipeline, wines, wines[TARGET])


class Guess(RegressorMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn comes without types
    """An estimator of somebody's own, which skl2onnx does not know."""

    def fit(self, _: pd.DataFrame, quality: pd.Series) -> "Guess":
        self.quality_ = quality.mean()
        return self

    def predict(self, wines: pd.DataFrame) -> Any:
        return np.full(len(wines), self.quality_)


def test_estimator_that_cannot_be_exported_is_refused(wines: pd.DataFrame) -> None:
    """In a sentence that names it."""
    pipeline = make_pipeline(recipes.on_columns(), Guess())
    with pytest.raises(BundleError, match=r"Guess\(\) cannot be exported to ONNX"):
        export_onnx.check_exportable(pipeline, wines, wines[TARGET])
