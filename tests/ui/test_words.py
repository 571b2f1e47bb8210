"""The verdict in words: as sure as the model is of such wines, and no surer."""

import doctest
from typing import Any

import pytest

from wine_ui import words
from wine_ui.assessment import Assessment
from wine_ui.words import verdict

FIELDS = [{"name": "iron", "label": "Iron"}, {"name": "tin", "label": "Tin"}, {"name": "pk", "label": "pK"}]
SCHEMA = {"fields": FIELDS, "category": {"name": "color", "label": "Colour"}}
UNUSUAL = {"field": "iron", "message": "Iron 9 lies outside"}


def found(moved: dict[str, float], share: float = 0.6, good: float = 0.26, **changed: Any) -> Assessment:
    """An answer: most such wines get a 6."""
    prediction = {
        "quality": 6.1,
        "interval": {"low": 5.0, "high": 7.2, "level": 0.9},
        "probabilities": {"4": (1 - share) / 2, "5": (1 - share) / 2, "6": share},
        "at_least_7": good,
        "warnings": changed.pop("warnings", []),
    }
    contributions = [{"field": name, "contribution": points} for name, points in moved.items()]
    return Assessment({}, "red", prediction, {"contributions": contributions}, **changed)


SAID = {
    "both ways": (
        found({"iron": 0.3, "tin": -0.2, "color": 0.9}),
        "Probably a 6; one in four such wines is graded 7 or better; iron speaks for it, tin against it.",
    ),
    "one way, hardly sure": (
        found({"pk": -0.2, "iron": 0.01}, share=0.49, good=0.004),
        "Most likely a 6; hardly any such wine is graded 7 or better; pK speaks against it.",
    ),
    "nothing stands out": (
        found({"iron": 0.01}, good=0.69),
        "Probably a 6; two in three such wines are graded 7 or better; no single measurement stands out.",
    ),
    "not all measured": (
        found({"iron": 0.3, "tin": 0.2}, assumed={"iron": 3.0}),
        "Roughly a 6, as not everything was measured; tin speaks for it.",
    ),
    "unlike any": (
        found({"iron": 0.3}, warnings=[UNUSUAL]),
        "This wine is unlike those that the model knows: its score is an extrapolation.",
    ),
}


@pytest.mark.parametrize(("answer", "sentence"), SAID.values(), ids=SAID)
def test_verdict_is_one_sentence(answer: Assessment, sentence: str) -> None:
    """The likeliest grade, how many such wines are good, what speaks for it; what was assumed speaks for nothing."""
    assert verdict(SCHEMA, answer) == sentence


def test_examples_are_true() -> None:
    """Those in the docstrings."""
    assert doctest.testmod(words).failed == 0
