"""A fitted recipe as one ONNX file: what `recipes.derive` computes becomes nodes of the graph, before the estimator."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any

import numpy as np
import onnx
import pandas as pd
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray
from recipes import derive
from skl2onnx import convert_sklearn
from skl2onnx.algebra import onnx_ops as nodes
from skl2onnx.common.data_types import FloatTensorType
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from wine_serving.errors import BundleError
from wine_serving.schema import INPUTS, MEASUREMENTS, encode_columns

OPSET = 18
JITTERED = 100_000
OPERATIONS: Mapping[np.ufunc, type] = {  # those that numpy and ONNX round alike
    np.add: nodes.OnnxAdd,
    np.subtract: nodes.OnnxSub,
    np.multiply: nodes.OnnxMul,
    np.divide: nodes.OnnxDiv,
    np.negative: nodes.OnnxNeg,
    np.absolute: nodes.OnnxAbs,
    np.sqrt: nodes.OnnxSqrt,
    np.maximum: nodes.OnnxMax,
    np.minimum: nodes.OnnxMin,
}


def check_exportable(pipeline: Pipeline, wines: pd.DataFrame, quality: pd.Series) -> None:
    """Fit a copy on a few wines and export it, so that a BundleError comes before the time of a training is spent."""
    fitted = clone(pipeline).fit(wines[:200], quality[:200])
    try:
        export(fitted)
    except BundleError:
        raise
    except Exception as error:  # skl2onnx and its converters raise classes of their own, and RuntimeError
        raise BundleError(f"{fitted[-1]} cannot be exported to ONNX ({error}): take another estimator") from error


def export(pipeline: Pipeline) -> onnx.ModelProto:
    """The graph of a fitted recipe: encoded wines, shape (n, len(INPUTS)), to their quality, shape (n, 1)."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Field onnx.AttributeProto")  # skl2onnx's flags are no integers
        model: onnx.ModelProto = convert_sklearn(
            with_thresholds_rounded_down(pipeline),
            name="wine-quality",  # else it is drawn at random
            initial_types=[("features", FloatTensorType([None, len(INPUTS)]))],
            final_types=[("quality", None)],  # only a name: a type would add a node that casts, and costs each request
            target_opset={"": OPSET, "ai.onnx.ml": 3},
            custom_shape_calculators={FunctionTransformer: set_width},
            custom_conversion_functions={FunctionTransformer: add_derived},
        )
    onnx.checker.check_model(model)
    return model


def parity(pipeline: Pipeline, predict: Callable[[NDArray[np.float32]], NDArray[np.float32]], wines: Any) -> float:
    """How far the exported model's `predict` is from the recipe on these wines, at most, in score points."""
    return float(np.abs(predict(encode_columns(wines)) - pipeline.predict(wines)).max())


def jittered(wines: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Made-up wines that no file has rounded: real ones, each measurement off by about a tenth of its spread."""
    random = np.random.default_rng(seed)
    made_up = wines[list(INPUTS)].sample(JITTERED, replace=True, random_state=random, ignore_index=True)
    for name in MEASUREMENTS:
        seen = wines[name]
        made_up[name] = (made_up[name] + random.normal(0, seen.std() / 10, JITTERED)).clip(seen.min(), seen.max())
    return made_up


def with_thresholds_rounded_down(pipeline: Pipeline) -> Pipeline:
    """A copy that predicts the same for wines in single precision, and still does when its thresholds are, too.

    Boosting splits at double precision, between two wines. Rounded to the nearest, a threshold may land on a wine that
    lay above it; rounded down it never passes one.
    """
    copy = deepcopy(pipeline)
    for boosting in parts(copy):
        if isinstance(boosting, HistGradientBoostingRegressor):
            for (tree,) in boosting._predictors:  # noqa: SLF001 - scikit-learn offers no other way to its trees
                tree.nodes["num_threshold"] = rounded_down(tree.nodes["num_threshold"])
    return copy


def parts(estimator: Any) -> Iterator[Any]:
    """The estimator and those that it is made of."""
    yield estimator
    for part in [each for _, each in getattr(estimator, "steps", [])] + [*getattr(estimator, "estimators_", [])]:
        yield from parts(part)


def rounded_down(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """The largest number in single precision that is not above each value.

    >>> float(rounded_down(np.array([0.1]))[0]) <= 0.1 < float(np.float32(0.1))
    True
    """
    nearest = values.astype(np.float32)
    return np.where(nearest > values, np.nextafter(nearest, np.float32(-np.inf)), nearest)


class Column(NDArrayOperatorsMixin):
    """A column of the graph that is not there yet: arithmetic on it becomes nodes."""

    def __init__(self, node: Any) -> None:
        self.node = node

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **_: Any) -> "Column":
        if ufunc not in OPERATIONS or method != "__call__":
            raise BundleError(refusal(f"numpy's {ufunc.__name__}"))
        return Column(OPERATIONS[ufunc](*map(node_of, inputs), op_version=OPSET))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # numpy asks what else a column might be
            raise AttributeError(name)
        raise BundleError(refusal(f".{name} of a column"))


def refusal(what: str) -> str:
    """What a person reads who derives a feature that the served model could not compute."""
    known = ", ".join(sorted(each.__name__ for each in OPERATIONS))
    return f"recipes.derive uses {what}, which is not exported: write the feature with {known}, or + - * /"


def node_of(value: Any) -> Any:
    """The node of a column, or a number as a constant."""
    return value.node if isinstance(value, Column) else np.array([[value]], dtype=np.float32)


def set_width(operator: Any) -> None:
    """Tell skl2onnx how many columns `recipes.columns` makes."""
    operator.outputs[0].type = FloatTensorType([None, len(INPUTS) + len(derived_from(operator.inputs[0]))])


def add_derived(scope: Any, operator: Any, container: Any) -> None:
    """Add to the graph what `recipes.columns` does to encoded wines."""
    wines, made = operator.inputs[0], operator.outputs[:1]
    derived = derived_from(wines)
    graph = (
        nodes.OnnxConcat(wines, *derived, axis=1, op_version=OPSET, output_names=made)
        if derived
        else nodes.OnnxIdentity(wines, op_version=OPSET, output_names=made)
    )
    graph.add_to(scope, container)


def derived_from(wines: Any) -> list[Any]:
    """The nodes of the derived features, each of shape (n, 1)."""
    wine = {
        name: Column(nodes.OnnxArrayFeatureExtractor(wines, np.array([number], dtype=np.int64), op_version=OPSET))
        for number, name in enumerate(INPUTS)
    }
    derived = derive(wine)
    for name, column in derived.items():
        if not isinstance(column, Column):
            raise BundleError(refusal(f"what is no arithmetic on columns for {name}"))
    return [column.node for column in derived.values()]
