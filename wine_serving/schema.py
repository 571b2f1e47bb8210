"""What a wine is: the one feature contract that notebooks, registry, API and page share.

Another table than wine starts here: the fields of `Wine`, then `SEGMENT`, `TARGET` and `PARTS`. The rest is derived.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from itertools import starmap
from operator import attrgetter, le
from typing import Annotated, Any, Final, Literal, NamedTuple, Protocol, cast, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, ValidationInfo, field_validator
from pydantic.config import JsonDict
from pydantic_core import ErrorDetails, PydanticCustomError

from wine_serving.errors import ContractError


def measurement(label: str, unit: str, low: float, high: float, *, step: float, group: str, help: str) -> Any:
    """A required number with its physical bounds, in `unit`, and what a form needs to ask for it.

    `step` is the smallest difference that laboratories report: forms count in it, and near-duplicates are told by it.
    """
    extra: JsonDict = {"unit": unit, "step": step, "group": group}
    return Field(ge=low, le=high, title=label, description=help, json_schema_extra=extra)


PARTS: Final = (("free_sulfur_dioxide", "total_sulfur_dioxide"),)  # the first is never above the second


class Wine(BaseModel):
    """One wine as a laboratory measures it: eleven numbers, within what is physically possible, and a colour."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    fixed_acidity: float = measurement(
        "Fixed acidity", "g/L as tartaric acid", 0.0, 30.0, step=0.1, group="Acidity",
        help="Acids that do not evaporate: they make a wine taste crisp.",
    )  # fmt: skip
    volatile_acidity: float = measurement(
        "Volatile acidity", "g/L as acetic acid", 0.0, 5.0, step=0.01, group="Acidity",
        help="Vinegar acid: a little is normal, much of it tastes of vinegar.",
    )  # fmt: skip
    citric_acid: float = measurement(
        "Citric acid", "g/L", 0.0, 10.0, step=0.01, group="Acidity",
        help="A fresh, lemon-like acid; small amounts are usual.",
    )  # fmt: skip
    ph: float = measurement(
        "pH", "", 2.0, 5.0, step=0.01, group="Acidity",
        help="How acidic the wine is altogether: the lower, the more acidic.",
    )  # fmt: skip
    residual_sugar: float = measurement(
        "Residual sugar", "g/L", 0.0, 400.0, step=0.1, group="Sugar and salt",
        help="Sugar left when fermentation ended: below 4 g/L a wine is dry.",
    )  # fmt: skip
    chlorides: float = measurement(
        "Chlorides", "g/L as sodium chloride", 0.0, 2.0, step=0.001, group="Sugar and salt",
        help="Salt dissolved in the wine.",
    )  # fmt: skip
    free_sulfur_dioxide: float = measurement(
        "Free sulfur dioxide", "mg/L", 0.0, 500.0, step=1.0, group="Sulfur",
        help="The part of the preservative that is still active.",
    )  # fmt: skip
    total_sulfur_dioxide: float = measurement(
        "Total sulfur dioxide", "mg/L", 0.0, 1000.0, step=1.0, group="Sulfur",
        help="Active and bound preservative together.",
    )  # fmt: skip
    sulphates: float = measurement(
        "Sulphates", "g/L as potassium sulphate", 0.0, 5.0, step=0.01, group="Sulfur",
        help="Salts of sulfuric acid, from the grapes and from preservation.",
    )  # fmt: skip
    density: float = measurement(
        "Density", "g/mL", 0.97, 1.2, step=0.0001, group="Body and alcohol",
        help="Weight of one millilitre: sugar raises it, alcohol lowers it.",
    )  # fmt: skip
    alcohol: float = measurement(
        "Alcohol", "% vol", 0.0, 25.0, step=0.1, group="Body and alcohol",
        help="Alcohol by volume, as printed on the label.",
    )  # fmt: skip
    color: Literal["red", "white"] = Field(title="Colour", description="Red or white wine.")

    @field_validator(*(whole for _, whole in PARTS))
    @classmethod
    def part_is_in_its_whole(cls, total: float, info: ValidationInfo) -> float:
        for part, whole in PARTS:
            if whole == info.field_name and (given := info.data.get(part)) is not None and given > total:
                sentence = f"{part} ({given}) is above {whole} ({total}), of which it is a part"
                raise PydanticCustomError("part_above_whole", "{sentence}", {"sentence": sentence})
        return total


BATCH_LIMIT: Final = 10_000
REFERENCE_LIMIT: Final = 64  # characters


class Asked(Wine):
    """A wine as it is asked about: with the caller's own name for it, if it has one, which the answer repeats."""

    reference: Annotated[str, Field(max_length=REFERENCE_LIMIT)] | None = None


class Batch(BaseModel):
    """Up to BATCH_LIMIT wines, to be answered in the same order."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    wines: list[Asked] = Field(min_length=1, max_length=BATCH_LIMIT)


SEGMENT: Final = "color"  # the category that calibration, ranges and slices are kept by
TARGET: Final = "quality"  # what is predicted
ALIASES: Final = {
    SEGMENT: ("colour", "type", "wine type", "wine color"),
    TARGET: ("class", "grade"),
}  # in people's tables
TARGET_LABEL: Final = "Quality: the median of at least three tasters' grades"
TARGET_RANGE: Final = (0, 10)  # the scale that tasters use

SEGMENTS: Final[tuple[str, ...]] = get_args(Wine.model_fields[SEGMENT].annotation)


class Feature(NamedTuple):
    """One measurement: its name, what people call it, its unit, physical bounds and how a form asks for it."""

    name: str
    label: str
    unit: str
    minimum: float
    maximum: float
    step: float
    group: str
    help: str


def _feature(name: str) -> Feature:
    schema = Wine.model_json_schema()["properties"][name]
    parts = ("title", "unit", "minimum", "maximum", "step", "group", "description")
    return Feature(name, *(schema[part] for part in parts))


FEATURES: Final = tuple(_feature(name) for name in Wine.model_fields if name != SEGMENT)
MEASUREMENTS: Final = tuple(feature.name for feature in FEATURES)
INPUTS: Final = (*MEASUREMENTS, SEGMENT)  # the columns that a model reads, in this order
_FIRST: Final = {  # the first wine of each of UCI's files
    "red": (7.4, 0.7, 0.0, 3.51, 1.9, 0.076, 11.0, 34.0, 0.56, 0.9978, 9.4),
    "white": (7.0, 0.27, 0.36, 3.0, 20.7, 0.045, 45.0, 170.0, 0.45, 1.001, 8.8),
}
EXAMPLES: Final = {color: dict(zip(INPUTS, (*row, color), strict=True)) for color, row in _FIRST.items()}


measurements: Final[Callable[[Wine], tuple[float, ...]]] = attrgetter(*MEASUREMENTS)  # in their units and order
_doubles: Final = struct.Struct(f"{len(MEASUREMENTS)}d").pack
_code: Final = {segment: float(code) for code, segment in enumerate(SEGMENTS)}

# The contract once more, for msgspec, which reads wines in a sixth of the time: it says yes, pydantic explains a no.
_bounded: Final = [(each.name, Annotated[float, msgspec.Meta(ge=each.minimum, le=each.maximum)]) for each in FEATURES]
_named: Final = ("reference", Annotated[str, msgspec.Meta(max_length=REFERENCE_LIMIT)] | None, None)
Quick: Final = cast("type[Asked]", msgspec.defstruct(
    "Quick", [*_bounded, (SEGMENT, Literal[SEGMENTS]), _named],
    forbid_unknown_fields=True, frozen=True, omit_defaults=True, gc=False,
))  # fmt: skip


_parts: Final = [(attrgetter(part), attrgetter(whole)) for part, whole in PARTS]


def parts_fit(wines: Sequence[Wine]) -> bool:
    """Whether no part is above its whole: the one rule of the contract that concerns two measurements."""
    for part, whole in _parts:  # noqa: SIM110 - one wine alone is told in half the time
        if not all(map(le, map(part, wines), map(whole, wines))):
            return False
    return True


def encode(wine: Wine) -> tuple[float, ...]:
    """The model's input row, shape (len(INPUTS),): measurements in their units, then the segment as its index."""
    return *measurements(wine), _code[getattr(wine, SEGMENT)]


def encode_all(wines: Sequence[Wine]) -> NDArray[np.float64]:
    """The rows of many wines as measured, in double precision; shape (n, len(INPUTS))."""
    encoded = np.empty((len(wines), len(INPUTS)))
    rows = b"".join(starmap(_doubles, map(measurements, wines)))
    encoded[:, :-1] = np.frombuffer(rows).reshape(len(wines), -1)
    encoded[:, -1] = [*map(_code.__getitem__, map(attrgetter(SEGMENT), wines))]
    return encoded


class Columns(Protocol):
    """A table by the names of its columns, each of shape (n,): a mapping of arrays or lists, or a data frame."""

    def __getitem__(self, name: str, /) -> Any:
        """The column of that name."""


def encode_columns(table: Columns) -> NDArray[np.float32]:
    """The model's input rows, shape (n, len(INPUTS)): what `encode` gives for each wine, in single precision."""
    return exact_columns(table).astype(np.float32)


def exact_columns(table: Columns) -> NDArray[np.float64]:
    """The same rows in double precision, as measured; a ContractError names a segment that is none of SEGMENTS."""
    given = np.asarray(table[SEGMENT])
    matches = np.array([given == segment for segment in SEGMENTS])
    if not matches.any(axis=0).all():
        unknown = given[~matches.any(axis=0)][0]
        raise ContractError(f"{SEGMENT} must be one of {', '.join(SEGMENTS)}, not {unknown}: correct the column")
    return np.column_stack([*(np.asarray(table[name], np.float64) for name in MEASUREMENTS), matches.argmax(axis=0)])


SHOWN: Final = 40  # characters of a value or of an unknown name


def possible(rows: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of `exact_columns`' rows `Wine` would take, shape (n,): the same rules, for very many rows at once.

    What is missing, or no segment at all, is NaN or negative there.
    """
    low, high = np.array([(feature.minimum, feature.maximum) for feature in FEATURES]).T
    values = rows[:, :-1]
    found: NDArray[np.bool_] = ((values >= low) & (values <= high)).all(axis=1) & (rows[:, -1] >= 0)
    for part, whole in PARTS:
        found &= values[:, MEASUREMENTS.index(part)] <= values[:, MEASUREMENTS.index(whole)]
    return found


_wines: Final = TypeAdapter(list[Wine])


def refusals(rows: Sequence[Mapping[str, object]]) -> "list[Problem]":
    """The rules that these rows break, by their places in `rows`."""
    try:
        _wines.validate_python(rows)
    except ValidationError as error:
        return problems(error)
    return []


class Problem(NamedTuple):
    """One broken rule: in which row of a batch, in which field, and what is wrong."""

    row: int | None
    field: str | None
    message: str


def problems(error: ValidationError, known: str = f"are {', '.join(INPUTS)}") -> list[Problem]:
    """Every broken rule in `error`, as sentences that name row and field, and which fields are `known`."""
    return [_problem(detail, known) for detail in error.errors(include_url=False, include_context=True)]


def _problem(detail: ErrorDetails, known: str) -> Problem:
    row = next((part for part in detail["loc"] if isinstance(part, int)), None)
    last = detail["loc"][-1] if detail["loc"] else None
    field = cut(last) if isinstance(last, str) else None
    return Problem(row, field, _sentence(field, detail, known))


def _sentence(field: str | None, detail: ErrorDetails, known: str) -> str:
    unit = next((f" {feature.unit}" for feature in FEATURES if feature.name == field and feature.unit), "")
    sentence = _SENTENCES.get(detail["type"], "{field} cannot be used as it is")
    value = _shown(detail["input"]) if "{value}" in sentence else ""  # it may be eight megabytes
    return sentence.format(field=field, value=value, unit=unit, known=known, **detail.get("ctx", {}))


_SENTENCES: Final = {
    "model_type": "a JSON object is needed, not {value}",
    "missing": "{field} is missing",
    "extra_forbidden": "{field} is not a known field; known {known}",
    "list_type": "{field} must be a list of wines",
    **dict.fromkeys(("too_short", "too_long"), f"{{field}} must hold 1 to {BATCH_LIMIT} wines"),
    "float_type": "{field} must be a number, not {value}",
    "finite_number": "{field} must be a finite number",
    "greater_than_equal": "{field} must be at least {ge:g}{unit}, but is {value}",
    "less_than_equal": "{field} must be at most {le:g}{unit}, but is {value}",
    "literal_error": "{field} must be {expected}, not {value}",
    "string_type": "{field} must be a text, not {value}",
    "string_too_long": "{field} must be at most {max_length} characters long",
    "part_above_whole": "{sentence}",
}


def _shown(value: object) -> str:
    return cut(f"{value:g}" if isinstance(value, float) else repr(value))


def cut(text: str) -> str:
    """A text of any length as far as an answer or a sentence shows it."""
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
