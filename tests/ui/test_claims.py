"""What is said of wines that are scored very high or very low: what the evaluation found, and nothing else."""

from typing import Any

import pytest

from wine_ui.claims import extremes

METRICS = {
    "coverage_scored_low": {"value": 0.87, "low": 0.73, "high": 0.94},
    "coverage_scored_high": {"value": 0.85, "low": 0.77, "high": 0.9},
    "great_scored_below_7": {"value": 0.93, "low": 0.79, "high": 0.98},
}
MODEL: dict[str, Any] = {"model_version": "v3", "evaluation": {"candidate": {"metrics": METRICS}}}


def answer(score: float) -> dict[str, Any]:
    """One of v3."""
    return {"quality": score, "interval": {"level": 0.9}, "model_version": "v3"}


def test_extremes_are_told_where_a_wine_is_scored_so() -> None:
    """Coverage in the band of scores, and how often the best are missed; in the middle there is nothing to tell."""
    (low,) = extremes(MODEL, answer(4.9))
    assert low.startswith(
        "Of test wines scored below 5, the range held the tasters' grade for 87% (73% to 94%), where 90%"
    )
    high, great = extremes(MODEL, answer(6.5))
    assert "scored 6.5 or higher, the range held the tasters' grade for 85% (77% to 90%)" in high
    assert "graded 8 or better, 93% (79% to 98%) were scored below 7" in great
    assert extremes(MODEL, answer(5.0)) == extremes(MODEL, answer(6.49)) == []


SILENT = {
    "not evaluated": MODEL | {"evaluation": None},
    "evaluated before that was measured": MODEL | {"evaluation": {"candidate": {"metrics": {}}}},
    "of the first format": MODEL | {"evaluation": {}},
    "another version": MODEL | {"model_version": "v2"},
    "away": {},
}


@pytest.mark.parametrize("model", SILENT.values(), ids=SILENT)
def test_what_was_not_measured_is_not_told(model: dict[str, Any]) -> None:
    """Nor what was measured of another version."""
    assert extremes(model, answer(7.5)) == []
