"""The model bundle: what it answers, and what it refuses to load."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests import tiny
from wine_serving.bundle import Bundle
from wine_serving.errors import BundleError
from wine_serving.schema import Wine

WINES = [Wine.model_validate(wine) for wine in tiny.as_wines(tiny.made_up_wines(50, seed=7))]


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path) -> Bundle:
    return Bundle.load(tiny_bundle)


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_batch_equals_its_singles_in_order(bundle: Bundle) -> None:
    """A wine is answered alike whether it comes alone or with others."""
    assert bundle.assess(WINES) == [bundle.assess([wine])[0] for wine in WINES]


def test_interval_is_centred_on_the_score_with_the_colours_half_width(bundle: Bundle) -> None:
    """Red and white wines get the width that was calibrated for them."""
    for wine, answer in zip(WINES, bundle.assess(WINES), strict=True):
        half_width = bundle.metadata.calibration.half_width[wine.color]
        assert answer["interval"]["low"] == answer["quality"] - half_width
        assert answer["interval"]["high"] == answer["quality"] + half_width


def test_grade_share_is_the_share_of_residuals_that_round_to_it(bundle: Bundle) -> None:
    """The share means what it says: calibration residuals added to the score, counted where they round to the grade."""
    for wine, answer in zip(WINES, bundle.assess(WINES), strict=True):
        moved = answer["quality"] + np.array(bundle.metadata.calibration.residuals[wine.color])
        grade = answer["grade"]
        assert grade["value"] == round(answer["quality"])
        assert grade["share"] == np.mean((moved >= grade["value"] - 0.5) & (moved < grade["value"] + 0.5))


def test_measurement_outside_the_seen_range_is_named(bundle: Bundle) -> None:
    """A possible wine unlike any in training gets a warning with field, value and range."""
    sweet = Wine.model_validate(bundle.reference.presets[0].wine | {"residual_sugar": 65.0})
    (warning,) = bundle.assess([sweet])[0]["warnings"]
    assert warning["field"] == "residual_sugar"
    assert warning["value"] == 65.0 > warning["high"]
    assert "Residual sugar 65 lies outside" in warning["message"]


def test_unusual_combination_is_said(bundle: Bundle) -> None:
    """Each measurement within its range, but together unlike the training wines: a warning without a field."""
    ranges = bundle.reference.ranges["white"]
    corner = {name: bounds[number % 2] for number, (name, bounds) in enumerate(ranges.items())}
    corner |= {
        "free_sulfur_dioxide": ranges["free_sulfur_dioxide"][0],
        "total_sulfur_dioxide": ranges["total_sulfur_dioxide"][1],
    }
    (warning,) = bundle.assess([Wine.model_validate(corner | {"color": "white"})])[0]["warnings"]
    assert warning["field"] is None
    assert warning["value"] > warning["high"]


def test_golden_wines_of_an_untouched_bundle_are_answered(bundle: Bundle) -> None:
    """The exported model says what the fitted estimator said."""
    bundle.check_golden()


def test_other_model_behind_the_same_record_fails_its_golden_wines(bundle_copy: Path, tmp_path: Path) -> None:
    """A model file swapped for another is found out by the golden wines."""
    tiny.write_bundle(tmp_path / "other", seed=1)
    (tmp_path / "other" / "model.onnx").replace(bundle_copy / "model.onnx")
    with pytest.raises(BundleError, match="golden wine 0 scores"):
        Bundle.load(bundle_copy).check_golden()


SPOILERS = {
    "truncated model": (
        lambda d: (d / "model.onnx").write_bytes((d / "model.onnx").read_bytes()[:1000]),
        "no model that onnxruntime",
    ),
    "no model": (lambda d: (d / "model.onnx").unlink(), "no model that onnxruntime"),
    "no metadata": (lambda d: (d / "metadata.json").unlink(), "metadata.json cannot be read"),
    "truncated reference": (lambda d: (d / "reference.json").write_text("{"), "reference.json does not fit format 1"),
    "other format": (lambda d: edit(d / "metadata.json", format=2), "does not fit format 1 of this code: format"),
    "other inputs": (lambda d: edit(d / "metadata.json", inputs=["alcohol"]), "another feature contract"),
    "other segments": (lambda d: edit(d / "metadata.json", segments=["white", "red"]), "another feature contract"),
}


@pytest.mark.parametrize(("spoil", "sentence"), SPOILERS.values(), ids=SPOILERS)
def test_spoiled_bundle_is_refused_with_a_reason(
    bundle_copy: Path, spoil: Callable[[Path], object], sentence: str
) -> None:
    """A corrupted, truncated or incompatible bundle is never served."""
    spoil(bundle_copy)
    with pytest.raises(BundleError, match=sentence):
        Bundle.load(bundle_copy)
