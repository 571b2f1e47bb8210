"""What follows from the measurements by rule, beside the score and never part of it."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Fact(NamedTuple):
    """A derived figure or note, with where the rule stands."""

    label: str
    value: str
    note: str


def derived(wine: Mapping[str, Any]) -> list[Fact]:
    """The facts of one fully measured wine, in the API's units."""
    return [molecular_sulfur(wine), dryness(wine), *limits(wine)]


def molecular_sulfur(wine: Mapping[str, Any]) -> Fact:
    """The share of free sulfur dioxide that protects: free / (1 + 10^(pH − 1.81)), in mg/L."""
    molecular = wine["free_sulfur_dioxide"] / (1 + 10 ** (wine["ph"] - 1.81))
    if molecular < 0.5:
        judgement = "below the usual aim of 0.5 to 0.8 mg/L"
    elif molecular <= 0.8:
        judgement = "within the usual aim of 0.5 to 0.8 mg/L"
    else:
        judgement = "above the usual aim of 0.5 to 0.8 mg/L"
    return Fact("Molecular sulfur dioxide", f"{molecular:.2f} mg/L", judgement)


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
    notes = []
    allowed = {"red": 150, "white": 200}[wine["color"]] + (50 if wine["residual_sugar"] >= 5 else 0)
    if wine["total_sulfur_dioxide"] > allowed:
        value = f"{wine['total_sulfur_dioxide']:g} mg/L"
        notes.append(
            Fact("Total sulfur dioxide", value, f"above the usual EU limit of {allowed} mg/L (2019/934, Annex I B)")
        )
    if wine["total_sulfur_dioxide"] > 350:
        value = f"{wine['total_sulfur_dioxide']:g} mg/L"
        notes.append(Fact("Total sulfur dioxide", value, "above the US limit of 350 ppm (27 CFR 4.22)"))
    volatile = {"red": 1.4, "white": 1.2}[wine["color"]]
    if wine["volatile_acidity"] > volatile:
        value = f"{wine['volatile_acidity']:g} g/L"
        notes.append(Fact("Volatile acidity", value, f"above the US limit of {volatile} g/L (27 CFR 4.21)"))
    return notes
