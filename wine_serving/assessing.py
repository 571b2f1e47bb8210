"""What a model says of wines: score, interval, grade, and how a wine is unlike what the model has seen.

Columns come in, arrays go out. One wine has a way of its own, in plain floats: columns of one row take longer than
predicting it. What both say is the same to the last bit.
"""

import math
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

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
    encode,
    exact_columns,
    measurements,
)

FEW: Final = 20  # up to so many wines, one by one is faster than columns


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
        return self._one(wine, self._bundle.score(wine))

    def _one(self, wine: Wine, score: float) -> Assessment:
        known, grade = self._known[getattr(wine, SEGMENT)], round(score)
        residuals = known.residuals
        inside = bisect_left(residuals, grade + 0.5 - score) - bisect_left(residuals, grade - 0.5 - score)
        return {
            "quality": score,
            "interval": {"low": score - known.half_width, "high": score + known.half_width, "level": self._level},
            "grade": {"value": grade, "share": inside / len(residuals)},
            "warnings": known.warnings(measurements(wine)),
        }

    def each(self, wines: Sequence[Wine]) -> list[Assessment]:
        """What `one` says of each wine, in order."""
        if len(wines) <= FEW:
            scores = self._bundle.predict(np.array([encode(wine) for wine in wines], dtype=np.float32)).tolist()
            return [self._one(wine, score) for wine, score in zip(wines, scores, strict=True)]
        values = [measurements(wine) for wine in wines]
        segments = [getattr(wine, SEGMENT) for wine in wines]
        found = self.columns(dict(zip(MEASUREMENTS, np.array(values).T, strict=True)) | {SEGMENT: segments})
        warnings: list[list[Unusual]] = [[] for _ in wines]
        for row in np.flatnonzero(found.unusual).tolist():
            warnings[row] = self._known[segments[row]].warnings(values[row])
        numbers = (found.quality, found.low, found.high, found.grade, found.share)
        return [
            {
                "quality": quality,
                "interval": {"low": low, "high": high, "level": self._level},
                "grade": {"value": grade, "share": share},
                "warnings": warned,
            }
            for quality, low, high, grade, share, warned in zip(*(x.tolist() for x in numbers), warnings, strict=True)
        ]

    def columns(self, table: Columns) -> Assessments:
        """What the model says of each row of `table`."""
        return self.rows(exact_columns(table))

    def rows(self, encoded: NDArray[np.float64]) -> Assessments:
        """What the model says of each of `exact_columns`' rows."""
        values, codes = encoded[:, :-1], encoded[:, -1]
        quality = self._bundle.predict(encoded.astype(np.float32)).astype(np.float64)
        grade = np.rint(quality)
        half_width, share, squared = np.empty((3, len(quality)))
        outside, beyond = np.empty(values.shape, bool), np.empty(len(quality), bool)
        for code, known in enumerate(self._known.values()):
            rows = np.flatnonzero(codes == code)
            edges = np.searchsorted(known.residuals, grade[rows] + [[-0.5], [0.5]] - quality[rows])
            half_width[rows], share[rows] = known.half_width, (edges[1] - edges[0]) / len(known.residuals)
            outside[rows] = is_unlike(values[rows], *np.transpose(known.ranges))
            squared[rows] = known.squared(values[rows])
            beyond[rows] = is_unlike(squared[rows], 0.0, known.threshold)
        low, high, unusual = quality - half_width, quality + half_width, beyond | outside.any(axis=1)
        return Assessments(quality, low, high, grade.astype(np.intp), share, unusual, outside, squared)


def is_unlike(value: Any, low: Any, high: Any) -> Any:
    """The rule by which numbers, or arrays of them, are unlike anything seen, where that goes from `low` to `high`.

    Each measurement is held against its range among the training wines of its segment, and the combination of all by
    its squared distance from them, which goes from 0 to a threshold.
    """
    return (value < low) | (value > high)


class _Known(NamedTuple):
    """What is known of one segment, laid out for assessing."""

    segment: str
    half_width: float
    residuals: "array[float]"  # ascending; both bisect and numpy search it as it is
    ranges: list[tuple[float, float]]  # of the measurements, in their order
    center: NDArray[np.float64]  # shape (len(MEASUREMENTS),)
    precision: NDArray[np.float64]
    threshold: float  # of the squared distance

    def squared(self, values: NDArray[np.float64]) -> Any:
        """Squared Mahalanobis distances of wines, shape (…, len(MEASUREMENTS)).

        The product is taken wine by wine, so that a wine's distance does not depend on how many stand beside it.
        """
        offset = values - self.center
        return np.vecdot((self.precision @ offset[..., None])[..., 0], offset)

    def warnings(self, values: Sequence[float]) -> list[Unusual]:
        """One wine's measurements that are unlike anything seen, or else their combination, if that is."""
        found = [
            _outside(feature, value, low, high, self.segment)
            for feature, value, (low, high) in zip(FEATURES, values, self.ranges, strict=True)
            if is_unlike(value, low, high)
        ]
        if not found and is_unlike(squared := float(self.squared(np.array(values))), 0.0, self.threshold):
            found.append(_unusual_combination(squared, self.threshold, self.segment))
        return found


def _known(bundle: Bundle, segment: str) -> _Known:
    calibration, novelty = bundle.metadata.calibration, bundle.reference.novelty[segment]
    return _Known(
        segment=segment,
        half_width=calibration.half_width[segment],
        residuals=array("d", calibration.residuals[segment]),
        ranges=[bundle.reference.ranges[segment][name] for name in MEASUREMENTS],
        center=np.array(novelty.center),
        precision=np.array(novelty.precision),
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
