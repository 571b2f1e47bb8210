"""What a model says of wines, in columns and one by one."""

import math
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests import tiny
from wine_serving.assessing import Assessor
from wine_serving.bundle import Bundle
from wine_serving.schema import FEATURES, INPUTS, MEASUREMENTS, SEGMENT, SEGMENTS, Wine, measurements

TABLE = tiny.made_up_wines(50, seed=7)
WINES = [Wine.model_validate(wine) for wine in tiny.as_wines(TABLE)]


def possible(wine: dict[str, object], changes: dict[str, object]) -> Wine | None:
    """The wine with these changes, where there can be such a wine."""
    try:
        return Wine.model_validate(wine | changes)
    except ValidationError:
        return None


changes = st.fixed_dictionaries(
    {}, optional={each.name: st.floats(each.minimum, each.maximum) | st.floats(0.9, 1.1) for each in FEATURES}
)
anywhere = st.builds(possible, st.sampled_from(tiny.as_wines(TABLE)), changes).filter(bool)
near = st.sampled_from(WINES)


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path) -> Bundle:
    return Bundle.load(tiny_bundle)


@pytest.fixture(scope="module")
def assessor(bundle: Bundle) -> Assessor:
    return Assessor(bundle)


def test_batch_equals_its_singles_in_order(assessor: Assessor) -> None:
    """A wine is answered alike whether it comes alone or with others."""
    assert assessor.each(WINES) == [assessor.one(wine) for wine in WINES]


@given(st.lists(near | anywhere, min_size=1, max_size=40))
def test_columns_say_what_one_wine_is_told(assessor: Assessor, wines: list[Wine]) -> None:
    """To the last bit, wherever the wines lie and whichever stand beside them."""
    table = {name: [getattr(wine, name) for wine in wines] for name in INPUTS}
    found, singles = assessor.columns(table), [assessor.one(wine) for wine in wines]
    assert assessor.each(wines) == singles
    assert found.quality.tolist() == [each.quality for each in singles]
    assert found.low.tolist() == [each.interval.low for each in singles]
    assert found.high.tolist() == [each.interval.high for each in singles]
    assert found.grade.tolist() == [each.grade.value for each in singles]
    assert found.share.tolist() == [each.grade.share for each in singles]
    assert found.unusual.tolist() == [bool(each.warnings) for each in singles]
    for outside, squared, each in zip(found.outside, found.squared.tolist(), singles, strict=True):
        named = [warning.field for warning in each.warnings]
        assert named in ([np.array(MEASUREMENTS)[outside].tolist(), [None]] if named else [[]])
        if named == [None]:
            assert not outside.any()
            assert each.warnings[0].value == math.sqrt(squared)


def test_data_frame_is_a_table_of_columns(assessor: Assessor) -> None:
    """Notebooks and tables of any size are assessed as they are."""
    assert assessor.columns(TABLE).quality.tolist() == [assessor.one(wine).quality for wine in WINES]


def test_value_at_the_edge_of_what_was_seen_is_not_outside(assessor: Assessor, bundle: Bundle) -> None:
    """Ranges are in double precision, though the model reads single: rounding makes no wine unusual."""
    edges = {name: list(bundle.reference.ranges[SEGMENTS[0]][name]) for name in MEASUREMENTS}
    assert not assessor.columns(edges | {SEGMENT: [SEGMENTS[0]] * 2}).outside.any()


def test_combination_beyond_the_threshold_is_unusual(assessor: Assessor, bundle: Bundle) -> None:
    """The distance is the squared Mahalanobis distance that the training recorded its threshold of."""
    squared = assessor.columns(TABLE).squared
    for wine, found in zip(WINES, squared, strict=True):
        novelty = bundle.reference.novelty[wine.color]
        offset = np.array(measurements(wine)) - novelty.center
        assert found == pytest.approx(offset @ np.array(novelty.precision) @ offset, rel=1e-9)


def test_interval_is_centred_on_the_score_with_the_colours_half_width(assessor: Assessor, bundle: Bundle) -> None:
    """Red and white wines get the width that was calibrated for them."""
    for wine, answer in zip(WINES, assessor.each(WINES), strict=True):
        half_width = bundle.metadata.calibration.half_width[wine.color]
        assert answer.interval.low == answer.quality - half_width
        assert answer.interval.high == answer.quality + half_width


def test_grade_share_is_the_share_of_residuals_that_round_to_it(assessor: Assessor, bundle: Bundle) -> None:
    """The share means what it says: calibration residuals added to the score, counted where they round to the grade."""
    for wine, answer in zip(WINES, assessor.each(WINES), strict=True):
        moved = answer.quality + np.array(bundle.metadata.calibration.residuals[wine.color])
        grade = answer.grade
        assert grade.value == round(answer.quality)
        assert grade.share == np.mean((moved >= grade.value - 0.5) & (moved < grade.value + 0.5))


def test_probabilities_are_the_shares_of_residuals_at_each_grade(assessor: Assessor) -> None:
    """They sum to 1, the nearest grade's is its share, and those from 7 on are `at_least_7`; alone as in columns."""
    found = assessor.columns({name: [getattr(wine, name) for wine in WINES] for name in INPUTS})
    for row, answer in enumerate(assessor.each(WINES)):
        shares = msgspec.json.decode(msgspec.json.encode(answer.probabilities))
        assert [*shares] == [str(grade) for grade in range(11)]
        assert sum(shares.values()) == pytest.approx(1, abs=1e-12)
        assert shares[str(answer.grade.value)] == answer.grade.share
        assert answer.at_least_7 == pytest.approx(sum(shares[grade] for grade in ("7", "8", "9", "10")), abs=1e-12)
        assert found.probabilities[row].tolist() == [*shares.values()]
        assert found.good[row] == answer.at_least_7


def test_measurement_outside_the_seen_range_is_named(assessor: Assessor, bundle: Bundle) -> None:
    """A possible wine unlike any in training gets a warning with field, value and range."""
    sweet = Wine.model_validate(bundle.reference.presets[0].wine | {"residual_sugar": 65.0})
    (warning,) = assessor.one(sweet).warnings
    assert warning.field == "residual_sugar"
    assert warning.value == 65.0 > warning.high
    assert "Residual sugar 65 lies outside" in warning.message


def test_unusual_combination_is_said(assessor: Assessor, bundle: Bundle) -> None:
    """Each measurement within its range, but together unlike the training wines: a warning without a field."""
    ranges = bundle.reference.ranges["white"]
    corner = {name: bounds[number % 2] for number, (name, bounds) in enumerate(ranges.items())}
    corner |= {
        "free_sulfur_dioxide": ranges["free_sulfur_dioxide"][0],
        "total_sulfur_dioxide": ranges["total_sulfur_dioxide"][1],
    }
    (warning,) = assessor.one(Wine.model_validate(corner | {"color": "white"})).warnings
    assert warning.field is None
    assert warning.value > warning.high
