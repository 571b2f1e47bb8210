"""What follows from the measurements of a wine by rule, beside the score and never part of it."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

ASKED_FIRST: Final = "alcohol"  # of what might be different
NEEDED: Final = {
    *("color", "fixed_acidity", "volatile_acidity", "residual_sugar"),
    *("free_sulfur_dioxide", "total_sulfur_dioxide", "ph"),
}


class Fact(NamedTuple):
    """A derived figure or note, with where the rule stands."""

    label: str
    value: str
    note: str


def facts(wine: Mapping[str, Any]) -> list[Fact]:
    """The facts of one fully measured wine, in the API's units; none of what is measured otherwise."""
    return [molecular_sulfur(wine), dryness(wine), *limits(wine)] if wine.keys() >= NEEDED else []


def molecular_sulfur(wine: Mapping[str, Any]) -> Fact:
    """The share of free sulfur dioxide that protects: free / (1 + 10^(pH − 1.81)), in mg/L."""
    molecular = wine["free_sulfur_dioxide"] / (1 + 10 ** (wine["ph"] - 1.81))
    side = "below" if molecular < 0.5 else "within" if molecular <= 0.8 else "above"
    return Fact("Molecular sulfur dioxide", f"{molecular:.2f} mg/L", f"{side} the usual aim of 0.5 to 0.8 mg/L")


def dryness(wine: Mapping[str, Any]) -> Fact:
    """The class of sweetness by residual sugar and acidity (OIV)."""
    sugar, surplus = wine["residual_sugar"], wine["residual_sugar"] - wine["fixed_acidity"]
    if sugar <= 4 or (sugar <= 9 and surplus <= 2):
        name = "dry"
    elif sugar <= 12 or (sugar <= 18 and surplus <= 10):
        name = "medium dry"
    elif sugar <= 45:
        name = "semi-sweet"
    else:
        name = "sweet"
    return Fact("Sweetness", name, "class of the OIV by sugar and acidity")


def limits(wine: Mapping[str, Any]) -> list[Fact]:
    """Notes on usual legal limits that the wine is above; exceptions exist, so these are no verdicts."""
    red, total, acid = wine["color"] == "red", wine["total_sulfur_dioxide"], wine["volatile_acidity"]
    notes = []
    allowed = (150 if red else 200) + (50 if wine["residual_sugar"] >= 5 else 0)
    if total > allowed:
        source = f"above the usual EU limit of {allowed} mg/L (2019/934, Annex I B)"
        notes.append(Fact("Total sulfur dioxide", f"{total:g} mg/L", source))
    if total > 350:
        notes.append(Fact("Total sulfur dioxide", f"{total:g} mg/L", "above the US limit of 350 ppm (27 CFR 4.22)"))
    allowed_acid = 1.4 if red else 1.2
    if acid > allowed_acid:
        source = f"above the US limit of {allowed_acid} g/L (27 CFR 4.21)"
        notes.append(Fact("Volatile acidity", f"{acid:g} g/L", source))
    return notes
