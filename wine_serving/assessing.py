"""What a model says of wines: score, interval, grade, and how a wine is unlike what the model has seen.

Columns come in, arrays go out. One wine has a way of its own, in plain floats: building arrays for it takes longer than
predicting it. What both say is the same to the last bit.
"""

import math
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypedDict  # pydantic takes typing's own from Python 3.12

from wine_serving.bundle import Bundle
from wine_serving.schema import (
    FEATURES,
    MEASUREMENTS,
    SEGMENT,
    SEGMENTS,
    Columns,
    Feature,
    Wine,
    encode_columns,
    measured_columns,
    measurements,
    segment_codes,
)


class Interval(TypedDict):
    """Where the tasters' grade of such a wine lies with probability `level`."""

    low: float
    high: float
    level: float


class Grade(TypedDict):
    """The nearest whole grade, and the share of calibration residuals that puts the wine there."""

    value: int
    share: float


class Unusual(TypedDict):
    """One way in which a wine is unlike the training wines; `field` is None for the combination of all measurements."""

    field: str | None
    value: float
    low: float
    high: float
    message: str


class Assessment(TypedDict):
    """What the model says of one wine."""

    quality: float
    interval: Interval
    grade: Grade
    warnings: list[Unusual]


class Assessments(NamedTuple):
    """What the model says of n wines: arrays of shape (n,), `outside` of shape (n, len(MEASUREMENTS))."""

    quality: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    grade: NDArray[np.intp]
    share: NDArray[np.float64]
    unusual: NDArray[np.bool_]  # whether the wine is unlike anything seen, in a measurement or in their combination
    outside: NDArray[np.bool_]  # which measurements lie outside the range of the training wines of that segment
    squared: NDArray[np.float64]  # Mahalanobis distance from the training wines of that segment


class Assessor:
    """Assesses wines with one bundle."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._level = bundle.metadata.calibration.level
        self._known = {segment: _known(bundle, segment) for segment in SEGMENTS}

    def one(self, wine: Wine) -> Assessment:
        """What the model says of one wine."""
        known, values = self._known[getattr(wine, SEGMENT)], measurements(wine)
        score = self._bundle.score(wine)
        grade = round(score)
        residuals = known.residuals
        inside = bisect_left(residuals, grade + 0.5 - score) - bisect_left(residuals, grade - 0.5 - score)
        unusual, outside, squared = known.unlike(values)
        return {
            "quality": score,
            "interval": {"low": score - known.half_width, "high": score + known.half_width, "level": self._level},
            "grade": {"value": grade, "share": inside / len(residuals)},
            "warnings": known.warnings(values, outside, squared) if unusual else [],
        }

    def each(self, wines: Sequence[Wine]) -> list[Assessment]:
        """What `one` says of each wine, in order, by way of the columns."""
        values = [measurements(wine) for wine in wines]
        segments = [getattr(wine, SEGMENT) for wine in wines]
        found = self.columns(dict(zip(MEASUREMENTS, np.array(values).T, strict=True)) | {SEGMENT: np.array(segments)})
        warnings: list[list[Unusual]] = [[] for _ in wines]
        for row in np.flatnonzero(found.unusual).tolist():
            squared = float(found.squared[row])
            warnings[row] = self._known[segments[row]].warnings(values[row], found.outside[row].tolist(), squared)
        numbers = (column.tolist() for column in found[:5])
        return [
            {
                "quality": quality,
                "interval": {"low": low, "high": high, "level": self._level},
                "grade": {"value": grade, "share": share},
                "warnings": warned,
            }
            for quality, low, high, grade, share, warned in zip(*numbers, warnings, strict=True)
        ]

    def columns(self, table: Columns) -> Assessments:
        """What the model says of each row of `table`."""
        values, codes = measured_columns(table), segment_codes(table)
        quality = self._bundle.predict(encode_columns(table)).astype(np.float64)
        grade = np.rint(quality)
        half_width, share, squared = np.empty((3, len(quality)))
        unusual, outside = np.empty(len(quality), bool), np.empty((len(quality), len(values)), bool)
        for code, known in enumerate(self._known.values()):
            rows = np.flatnonzero(codes == code)
            edges = np.searchsorted(known.residuals, grade[rows] + [[-0.5], [0.5]] - quality[rows])
            half_width[rows], share[rows] = known.half_width, (edges[1] - edges[0]) / len(known.residuals)
            unusual[rows], beyond, squared[rows] = known.unlike([column[rows] for column in values])
            outside[rows] = np.transpose(beyond)
        low, high = quality - half_width, quality + half_width
        return Assessments(quality, low, high, grade.astype(np.intp), share, unusual, outside, squared)


class _Known(NamedTuple):
    """What is known of one segment, laid out for assessing."""

    segment: str
    half_width: float
    residuals: "array[float]"  # ascending; both bisect and numpy search it as it is
    lowest: list[float]
    highest: list[float]
    center: list[float]
    weights: list[list[float]]  # rows of the precision's upper triangle, each from its diagonal on
    threshold: float  # of the squared distance

    def unlike(self, values: Sequence[Any]) -> tuple[Any, list[Any], Any]:
        """Whether a wine is unlike anything seen, in which measurements, and its squared distance.

        `values` are numbers or columns: the rule stands here once, in operations that mean the same for both. That is
        why the products are added one after the other; a product of matrices adds them in an order of its own.
        """
        outside = [(x < low) | (x > high) for x, low, high in zip(values, self.lowest, self.highest, strict=True)]
        offsets = [x - center for x, center in zip(values, self.center, strict=True)]
        squared: Any = 0.0
        for number, weights in enumerate(self.weights):
            total: Any = 0.0
            for weight, offset in zip(weights, offsets[number:], strict=True):
                total += weight * offset
            squared += total * offsets[number]
        unusual = squared > self.threshold
        for each in outside:
            unusual = unusual | each
        return unusual, outside, squared

    def warnings(self, values: Sequence[float], outside: Sequence[bool], squared: float) -> list[Unusual]:
        """An unusual wine's measurements outside the range seen, or else its unusual combination."""
        seen = zip(FEATURES, values, self.lowest, self.highest, strict=True)
        return [
            _outside(*each, self.segment) for each, is_outside in zip(seen, outside, strict=True) if is_outside
        ] or [_unusual_combination(squared, self.threshold, self.segment)]


def _known(bundle: Bundle, segment: str) -> _Known:
    calibration, novelty = bundle.metadata.calibration, bundle.reference.novelty[segment]
    ranges = [bundle.reference.ranges[segment][name] for name in MEASUREMENTS]
    precision = np.array(novelty.precision)
    doubled = np.triu(precision) + np.tril(precision, -1).T
    return _Known(
        segment=segment,
        half_width=calibration.half_width[segment],
        residuals=array("d", calibration.residuals[segment]),
        lowest=[low for low, _ in ranges],
        highest=[high for _, high in ranges],
        center=novelty.center,
        weights=[row[number:].tolist() for number, row in enumerate(doubled)],
        threshold=novelty.threshold,
    )


def _outside(feature: Feature, value: float, low: float, high: float, segment: str) -> Unusual:
    unit = f" {feature.unit}" if feature.unit else ""
    message = (
        f"{feature.label} {value:g} lies outside the {segment} wines that the model has seen "
        f"({low:g} to {high:g}{unit})"
    )
    return {"field": feature.name, "value": value, "low": low, "high": high, "message": message}


def _unusual_combination(squared: float, threshold: float, segment: str) -> Unusual:
    message = (
        f"Each measurement is usual, but hardly any {segment} wine that the model has seen combines them like this"
    )
    return {"field": None, "value": math.sqrt(squared), "low": 0.0, "high": math.sqrt(threshold), "message": message}
