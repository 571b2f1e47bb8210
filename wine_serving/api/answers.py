"""What the API answers, as its OpenAPI document says it."""

from typing import Any, Literal

from typing_extensions import TypedDict

from wine_serving.assessing import Assessment
from wine_serving.explain import Contribution
from wine_serving.registry import AliasMove, Record


class Prediction(Assessment):
    """What the model says of one wine, and which model said it."""

    model_version: str
    request_id: str


class BatchPrediction(TypedDict):
    """What the model says of each wine, in the order of the request."""

    predictions: list[Assessment]
    model_version: str
    request_id: str


class Explanation(TypedDict):
    """Contributions that sum to `quality` minus `typical`."""

    quality: float
    typical: float
    contributions: list[Contribution]
    model_version: str
    request_id: str


class Field(TypedDict):
    """One measurement: how to ask for it, what is typical, and what the model has seen."""

    name: str
    label: str
    unit: str
    minimum: float
    maximum: float
    step: float
    group: str
    help: str
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


class ServedModel(TypedDict):
    """Which model answers, where it comes from, and how it was judged. Without a registry there is no record."""

    model_version: str
    aliases: list[str]  # when it was loaded
    promotion: AliasMove | None  # who made it production, when and why
    dataset: DatasetOrigin
    commit: str | None
    evaluation: dict[str, Any] | None
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


class BrokenRule(TypedDict):
    """One broken rule: in which row of a batch, in which field, and what is wrong."""

    row: int | None
    field: str | None
    message: str


class Refusal(TypedDict):
    """Why there is no answer. `errors` holds the first broken rules, `n_errors` counts them all."""

    detail: str
    errors: list[BrokenRule]
    n_errors: int
    request_id: str


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For the OpenAPI document of a route: each of these statuses comes with a refusal."""
    return {status: {"model": Refusal} for status in statuses}
