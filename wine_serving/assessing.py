"""What a model says of wines: score, interval, grade, and how a wine is unlike what the model has seen.

Columns come in, arrays go out. One wine has a way of its own, in plain floats: columns of one row take longer than
predicting it. What both say is the same to the last bit.
"""

import math
import struct
from array import array
from bisect import bisect
from collections.abc import Sequence
from functools import lru_cache
from itertools import repeat
from operator import lt
from typing import Any, Final, Literal, NamedTuple

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType
from numpy.typing import NDArray

from wine_serving.bundle import Bundle
from wine_serving.schema import (
    FEATURES,
    INPUTS,
    MEASUREMENTS,
    SEGMENT,
    SEGMENTS,
    TARGET_RANGE,
    Columns,
    Feature,
    Wine,
    encode,
    encode_all,
    exact_columns,
)
from wine_serving.told import Told

FEW: Final = 20  # up to so many wines, one by one is faster than columns
KEPT: Final = 2048  # outcomes of a segment that are kept as they are answered, 1 KB each
GRADES: Final = range(TARGET_RANGE[0], TARGET_RANGE[1] + 1)
GOOD: Final = 7  # from this grade on, tasters call a wine good
_row: Final = struct.Struct(f"{len(INPUTS)}d").pack


class Interval(Told):
    """Where the tasters' grade of such a wine lies with probability `level`."""

    low: float
    high: float
    level: float


class Grade(Told):
    """The nearest whole grade, and the share of calibration residuals that puts the wine there."""

    value: int
    share: float


class Unusual(Told):
    """One way in which a wine is unlike the training wines; `field` is null for the combination of all measurements."""

    code: Literal["outside_range", "unusual_combination"]
    field: str | None
    value: float
    low: float
    high: float
    message: str


class Assessment(Told):
    """What the model says of one wine, under an id that the prediction log repeats, and the caller's own name for it.

    `probabilities` are the shares of calibration residuals that put it at each grade, and sum to 1.
    """

    quality: float
    interval: Interval
    grade: Grade
    probabilities: dict[str, float]  # as JSON, msgspec.Raw, as they repeat from wine to wine
    at_least_7: float
    warnings: Sequence[Unusual]
    prediction_id: str = ""  # this and what follows are given by whoever passes it on
    reference: str | UnsetType = UNSET


class Assessments(NamedTuple):
    """What the model says of n wines: arrays of shape (n,), `outside` of shape (n, len(MEASUREMENTS))."""

    quality: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    grade: NDArray[np.intp]
    share: NDArray[np.float64]
    probabilities: NDArray[np.float64]  # shape (n, len(GRADES))
    good: NDArray[np.float64]  # the probability of GOOD and more
    place: NDArray[np.intp]  # where the score lies among those at which the segment's probabilities change
    unusual: NDArray[np.bool_]  # whether the wine is unlike anything seen, in a measurement or in their combination
    outside: NDArray[np.bool_]  # which measurements lie outside the range of the training wines of that segment
    squared: NDArray[np.float64]  # Mahalanobis distance from the training wines of that segment


class Assessor:
    """Assesses wines with one bundle."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._level = bundle.metadata.calibration.level
        self._known = {segment: _Known(bundle, segment) for segment in SEGMENTS}
        self._score = _Row(bundle)

    def one(self, wine: Wine) -> Assessment:
        """What the model says of one wine; asked by one thread only."""
        row = encode(wine)
        return self._one(wine, row, self._score(row))

    def _one(self, wine: Wine, row: Sequence[float], score: float) -> Assessment:
        known, grade = self._known[getattr(wine, SEGMENT)], round(score)
        outcome = known.outcomes.at(known.outcomes.place(score))
        return Assessment(
            score,
            Interval(score - known.half_width, score + known.half_width, self._level),
            Grade(grade, outcome.shares[min(max(grade, GRADES[0]), GRADES[-1]) - GRADES[0]]),
            outcome.told,
            outcome.good,
            known.warnings(row),
        )

    def each(self, wines: Sequence[Wine]) -> list[Assessment]:
        """What `one` says of each wine, in order."""
        if len(wines) <= FEW:
            rows = [*map(encode, wines)]
            return [*map(self._one, wines, rows, self._bundle.predict(np.array(rows, np.float32)).tolist())]
        encoded = encode_all(wines)
        found = self.rows(encoded)
        known = [self._known[getattr(wine, SEGMENT)] for wine in wines]
        warnings: list[Sequence[Unusual]] = [()] * len(wines)
        for row in np.flatnonzero(found.unusual).tolist():
            warnings[row] = known[row].warnings(encoded[row].tolist())
        columns = (found.quality, found.low, found.high, found.grade, found.share, found.good, found.place)
        quality, low, high, grade, share, good, places = (column.tolist() for column in columns)
        intervals = map(Interval, low, high, repeat(self._level))
        told = [each.outcomes.at(place).told for each, place in zip(known, places, strict=True)]
        return [*map(Assessment, quality, intervals, map(Grade, grade, share), told, good, warnings)]

    def columns(self, table: Columns) -> Assessments:
        """What the model says of each row of `table`."""
        return self.rows(exact_columns(table))

    def rows(self, encoded: NDArray[np.float64]) -> Assessments:
        """What the model says of each of `exact_columns`' rows."""
        values, codes, measured = encoded[:, :-1], encoded[:, -1], encoded.copy()
        measured[:, -1] = 1.0
        place = np.empty(len(encoded), np.intp)
        quality = self._bundle.predict(encoded.astype(np.float32)).astype(np.float64)
        grade = np.rint(quality).astype(np.intp)
        half_width, squared = np.empty((2, len(quality)))
        shares = np.empty((len(quality), len(GRADES) + 1))
        outside, beyond = np.empty(values.shape, bool), np.empty(len(quality), bool)
        for code, known in enumerate(self._known.values()):
            rows = np.flatnonzero(codes == code)
            place[rows] = known.outcomes.places(quality[rows])
            shares[rows] = known.outcomes.shares[place[rows]]
            half_width[rows] = known.half_width
            outside[rows] = is_unlike(values[rows], known.lowest, known.highest)
            squared[rows] = known.squared(measured[rows])
            beyond[rows] = is_unlike(squared[rows], 0.0, known.threshold)
        probabilities, good = shares[:, :-1], shares[:, -1]
        share = probabilities[np.arange(len(grade)), np.clip(grade, GRADES[0], GRADES[-1]) - GRADES[0]]
        low, high, unusual = quality - half_width, quality + half_width, beyond | outside.any(axis=1)
        return Assessments(quality, low, high, grade, share, probabilities, good, place, unusual, outside, squared)


class _Row:
    """Scores one wine at a time: a row and its score lie where ONNX Runtime was told once, which saves it a third."""

    def __init__(self, bundle: Bundle) -> None:
        self._run, self._bound = bundle.session.run_with_iobinding, bundle.session.io_binding()
        self._row, self._score = np.zeros((1, len(INPUTS)), np.float32), np.zeros((1, 1), np.float32)
        self._put = struct.Struct(f"{len(INPUTS)}f").pack_into
        self._bound.bind_input("features", "cpu", 0, np.float32, self._row.shape, self._row.ctypes.data)
        self._bound.bind_output("quality", "cpu", 0, np.float32, self._score.shape, self._score.ctypes.data)

    def __call__(self, encoded: Sequence[float]) -> float:
        self._put(self._row.data, 0, *encoded)
        self._run(self._bound)
        return self._score.item()


class Outcome(NamedTuple):
    """The probability of each grade, of GOOD and more, and the former as JSON; both ends hold what lies beyond."""

    shares: list[float]
    good: float
    told: Any


class Outcomes:
    """The shares of calibration residuals that put a wine at each grade, and at GOOD and more, by its score.

    They change where the score carries a residual past the edge between two grades, so one search finds them all.
    """

    def __init__(self, residuals: Sequence[float]) -> None:
        edges = np.arange(GRADES[0] + 0.5, GRADES[-1])
        passing = np.subtract.outer(edges, residuals)  # the score at which that residual passes that edge
        order = passing.argsort(axis=None, kind="stable")
        upwards, grade = np.zeros((order.size + 1, len(GRADES)), np.int32), order // len(residuals)
        upwards[0, 0] = len(residuals)  # so low a score that none has passed any
        upwards[1:][np.arange(order.size), grade], upwards[1:][np.arange(order.size), grade + 1] = -1, 1
        counts = upwards.cumsum(axis=0)
        good = counts[:, GOOD - GRADES[0] :].sum(axis=1, keepdims=True)
        self._scores = passing.ravel()[order]
        self._listed = array("d", self._scores.tobytes())  # the same, for one score
        self.shares = np.hstack([counts, good]) / len(residuals)  # shape (places, len(GRADES) + 1)
        self.at = lru_cache(KEPT)(self._at)

    def place(self, score: float) -> int:
        """The row of `shares` that is one score's."""
        return bisect(self._listed, score)

    def places(self, scores: NDArray[np.float64]) -> NDArray[np.intp]:
        """The rows that are many scores'."""
        return np.searchsorted(self._scores, scores, side="right")

    def _at(self, place: int) -> Outcome:
        *shares, good = self.shares[place].tolist()
        return Outcome(shares, good, msgspec.Raw(msgspec.json.encode(dict(zip(map(str, GRADES), shares, strict=True)))))


def is_unlike(value: Any, low: Any, high: Any) -> Any:
    """The rule by which numbers, or arrays of them, are unlike anything seen, where that goes from `low` to `high`.

    Each measurement is held against its range among the training wines of its segment, and the combination of all by
    its squared distance from them, which goes from 0 to a threshold.
    """
    return (value < low) | (value > high)


class _Known:
    """What is known of one segment, laid out for assessing."""

    def __init__(self, bundle: Bundle, segment: str) -> None:
        calibration, novelty = bundle.metadata.calibration, bundle.reference.novelty[segment]
        ranges = [bundle.reference.ranges[segment][name] for name in MEASUREMENTS]
        spread, axes = np.linalg.eigh(novelty.precision)
        whitening = (
            np.sqrt(np.clip(spread, 0, None))[:, None] * axes.T
        )  # its square is the precision; it exists for any
        self._segment = segment
        self.half_width = calibration.half_width[segment]
        self.outcomes = Outcomes(calibration.residuals[segment])
        self.lowest, self.highest = ([ends[end] for ends in ranges] for end in (0, 1))  # of each measurement
        # A wine's measurements and 1 → as many numbers of mean 0 and variance 1, uncorrelated.
        self._whitening = np.column_stack([whitening, -whitening @ novelty.center])
        self.threshold = novelty.threshold  # of the squared distance

    def squared(self, values: NDArray[np.float64]) -> Any:
        """Squared Mahalanobis distances of wines: measurements and 1, shape (…, len(MEASUREMENTS) + 1).

        The product is taken wine by wine, so that a wine's distance does not depend on how many stand beside it.
        """
        white = (self._whitening @ values[..., None])[..., 0]
        return np.vecdot(white, white)

    def warnings(self, row: Sequence[float]) -> Sequence[Unusual]:
        """One encoded wine's measurements that are unlike anything seen, or else their combination, if that is."""
        if any(map(lt, row, self.lowest)) or any(map(lt, self.highest, row)):
            return tuple(
                self._outside(feature, value, low, high)
                for feature, value, low, high in zip(FEATURES, row, self.lowest, self.highest, strict=False)
                if is_unlike(value, low, high)
            )
        white = self._whitening.dot(np.frombuffer(_row(*row[:-1], 1.0)))
        squared = float(white.dot(white))  # what `squared` says, in half the time
        return (self._combination(squared),) if squared > self.threshold else ()

    def _outside(self, feature: Feature, value: float, low: float, high: float) -> Unusual:
        unit = f" {feature.unit}" if feature.unit else ""
        message = (
            f"{feature.label} {value:g} lies outside the {self._segment} wines that the model has seen "
            f"({low:g} to {high:g}{unit})"
        )
        return Unusual("outside_range", feature.name, value, low, high, message)

    def _combination(self, squared: float) -> Unusual:
        message = (
            f"Each measurement is usual, but hardly any {self._segment} wine that the model has seen "
            "combines them like this"
        )
        return Unusual("unusual_combination", None, math.sqrt(squared), 0.0, math.sqrt(self.threshold), message)
