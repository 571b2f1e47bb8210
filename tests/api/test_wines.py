"""What the API says of wines, over real HTTP."""

from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest

from tests import tiny
from wine_serving.assessing import Assessor
from wine_serving.bundle import Bundle
from wine_serving.schema import Wine

WINES = tiny.as_wines(tiny.made_up_wines(60, seed=3))


def test_batch_singles_and_bundle_say_the_same(client: httpx.Client, tiny_bundle: Path) -> None:
    """To the last bit, in order."""
    batch = client.post("/predict/batch", json={"wines": WINES}).raise_for_status().json()["predictions"]
    singles = [client.post("/predict", json=wine).raise_for_status().json() for wine in WINES]
    by_hand = Assessor(Bundle.load(tiny_bundle)).each([Wine.model_validate(wine) for wine in WINES])
    assert (
        [assessed(each) for each in batch]
        == [assessed(each) for each in singles]
        == msgspec.json.decode(msgspec.json.encode(by_hand))
    )


def assessed(answer: dict[str, Any]) -> dict[str, Any]:
    """What the model says in an answer, without ids."""
    return {name: answer[name] for name in ("quality", "interval", "grade", "probabilities", "at_least_7", "warnings")}


def test_interval_is_the_calibrated_one_of_the_colour(client: httpx.Client, tiny_bundle: Path) -> None:
    """Score plus and minus the half width, at the calibrated level."""
    calibration = Bundle.load(tiny_bundle).metadata.calibration
    for wine in WINES[:8]:
        answer = client.post("/predict", json=wine).json()
        width = calibration.half_width[str(wine["color"])]
        assert answer["interval"] == {
            "low": answer["quality"] - width, "high": answer["quality"] + width, "level": calibration.level,
        }  # fmt: skip


def test_share_of_the_grade_is_counted_among_calibration_residuals(client: httpx.Client, tiny_bundle: Path) -> None:
    """How many of them would put the wine at the nearest whole grade."""
    residuals = Bundle.load(tiny_bundle).metadata.calibration.residuals
    for wine in WINES[:8]:
        answer = client.post("/predict", json=wine).json()
        outcomes = answer["quality"] + np.array(residuals[str(wine["color"])])
        grade = round(answer["quality"])
        expected = np.mean((outcomes >= grade - 0.5) & (outcomes < grade + 0.5))
        assert answer["grade"] == {"value": grade, "share": pytest.approx(expected)}


def test_unusual_measurement_is_named_with_the_range_seen(client: httpx.Client, tiny_bundle: Path) -> None:
    """Which one, its value, and from where to where training wines of that colour went."""
    low, high = Bundle.load(tiny_bundle).reference.ranges["white"]["alcohol"]
    wine = next(wine for wine in WINES if wine["color"] == "white") | {"alcohol": 20.0}
    (warning,) = client.post("/predict", json=wine).json()["warnings"]
    assert (warning["field"], warning["value"], warning["low"], warning["high"]) == ("alcohol", 20.0, low, high)
    assert f"{low:g} to {high:g} % vol" in warning["message"]


def test_unusual_combination_is_warned_of(client: httpx.Client, tiny_bundle: Path) -> None:
    """Each measurement within its range, but hardly any training wine near by."""
    ranges = Bundle.load(tiny_bundle).reference.ranges["white"]
    corner = {name: ends[number % 2] for number, (name, ends) in enumerate(ranges.items())} | {"color": "white"}
    (warning,) = client.post("/predict", json=corner).json()["warnings"]
    assert warning["field"] is None
    assert warning["value"] > warning["high"]


def test_batch_of_the_largest_size_is_answered(client: httpx.Client) -> None:
    """10,000 wines in one call, in order."""
    wines = [WINES[number % len(WINES)] for number in range(10_000)]
    answers = client.post("/predict/batch", json={"wines": wines}, timeout=60).raise_for_status().json()["predictions"]
    assert len(answers) == 10_000
    first, second = ([assessed(each) for each in answers[start:][: len(WINES)]] for start in (0, len(WINES)))
    assert first == second
