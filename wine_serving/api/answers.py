"""What the API answers, as its OpenAPI document says it."""

from collections.abc import Sequence
from typing import Any, Literal, get_type_hints

import msgspec
from msgspec import UNSET, UnsetType
from typing_extensions import TypedDict

from wine_serving.assessing import Assessment
from wine_serving.explain import Contribution
from wine_serving.registry import AliasMove, Record
from wine_serving.schema import SEGMENT, Feature, Problem
from wine_serving.tables import Fault
from wine_serving.told import Told, typed_dict


class Prediction(Assessment, kw_only=True):
    """What the model says of one wine, and which model said it."""

    model_version: str
    request_id: str


class BatchPrediction(Told):
    """What the model says of each wine, in the order of the request."""

    predictions: list[Assessment]
    model_version: str
    request_id: str


# What the model says of one row of a table (1 is the first below the column names), and as what it was scored.
ScoredRow: Any = msgspec.defstruct(
    "ScoredRow", [("row", int), (SEGMENT, str), *get_type_hints(Assessment).items()], bases=(Told,)
)
RefusedCell: Any = typed_dict(Fault, "RefusedCell")


class Summary(Told):
    """How many rows there are, and what came of them."""

    rows: int
    scored: int
    refused: int
    faults: int


class TablePrediction(Told):
    """What the model says of each row that is a wine, and the first hundred reasons why others are none."""

    rows: list[ScoredRow]
    refused: list[RefusedCell]
    summary: Summary
    model_version: str
    request_id: str


class Explanation(Told):
    """Contributions that sum to `quality` minus `typical`."""

    quality: float
    typical: float
    contributions: list[Contribution]
    model_version: str
    request_id: str


class Field(typed_dict(Feature)):  # type: ignore[misc]
    """One measurement: how to ask for it, what is typical, and what the model has seen."""

    typical: dict[str, float]
    usual: dict[str, tuple[float, float]]
    ranges: dict[str, tuple[float, float]]


class Category(TypedDict):
    """What wines differ in beside their measurements; `colors` lists its values."""

    name: str
    label: str


class Target(TypedDict):
    """What is predicted, and on which scale."""

    name: str
    minimum: int
    maximum: int
    label: str


class Start(TypedDict):
    """A real wine to start from, with the tasters' grade."""

    name: str
    label: str
    wine: dict[str, float | str]
    quality: float


class Form(TypedDict):
    """All that a form needs in order to ask for a wine."""

    fields: list[Field]
    category: Category
    colors: list[str]
    target: Target
    presets: list[Start]
    distribution: dict[str, dict[str, int]]
    batch_limit: int
    model_version: str


class DatasetOrigin(TypedDict):
    """The dataset that the model was trained on."""

    name: str
    version: str | None
    digest: str
    sources: dict[str, str]  # each file that it was made from → its SHA-256


class ServedModel(TypedDict):
    """Which model answers, where it comes from, and how it was judged. Without a registry there is no record."""

    model_version: str
    project_version: str
    aliases: list[str]  # when it was loaded
    promotion: AliasMove | None  # who made it production, when and why
    dataset: DatasetOrigin
    commit: str | None
    evaluation: dict[str, Any] | None
    monitoring: dict[str, Any] | None  # what was found last of whether it still does what it was promoted for
    metadata: dict[str, Any]
    record: Record | None
    card: str
    dataset_card: str


class Health(TypedDict):
    """Whether the loaded model has just answered its golden wines correctly."""

    status: Literal["ok", "degraded", "unhealthy"]
    model_version: str | None
    reason: str | None


class Alive(TypedDict):
    """The process runs."""

    status: Literal["alive"]


BrokenRule: Any = typed_dict(Problem, "BrokenRule")


class Refusal(Told):
    """Why there is no answer. `errors` holds broken rules and `n_errors` counts them: 100 means at least so many."""

    detail: str
    errors: Sequence[BrokenRule]
    n_errors: int
    request_id: str
    candidates: dict[str, list[str]] | UnsetType = UNSET  # column that a table lacks → its columns that may be meant


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For the OpenAPI document of a route: each of these statuses comes with a refusal."""
    return {status: {"model": Refusal} for status in statuses}
