"""One wine assessed: what the API says of it, what had to be assumed, and how much that matters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from wine_ui.client import Client, Measured, Purpose, Schema

STEPS: Final = 5  # values between which an assumed measurement is moved
POINTS: Final = 41  # of a what-if curve


@dataclass(frozen=True)
class Assessment:
    """What the API said of a wine; `assumed` are the measurements that were not given, `spread` where each leads."""

    wine: Measured
    category: str  # the wine's, such as red
    prediction: dict[str, Any]
    explanation: dict[str, Any]
    assumed: dict[str, float] = field(default_factory=dict)
    spread: dict[str, tuple[float, float]] = field(default_factory=dict)
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def unlike(self) -> list[str]:
        """In which ways the wine is unlike any that the model knows: its score is an extrapolation."""
        return [warning["message"] for warning in self.prediction["warnings"]]

    @property
    def vouched(self) -> bool:
        """Whether what the model says of its own sureness holds for such wines: all measured, and none of it unlike."""
        return not self.assumed and not self.unlike

    @property
    def likely(self) -> tuple[int, float]:
        """The grade that tasters most probably give, and its share of such wines."""
        shares: dict[str, float] = self.prediction["probabilities"]
        grade = max(shares, key=shares.__getitem__)
        return int(grade), shares[grade]

    @property
    def low(self) -> float:
        """The interval's lower end; where something was assumed, as low as plausible values take it."""
        lowest = min((low for low, _ in self.spread.values()), default=self.prediction["quality"])
        return float(self.prediction["interval"]["low"] + min(0.0, lowest - self.prediction["quality"]))

    @property
    def high(self) -> float:
        """The interval's upper end; where something was assumed, as high as plausible values take it."""
        highest = max((high for _, high in self.spread.values()), default=self.prediction["quality"])
        return float(self.prediction["interval"]["high"] + max(0.0, highest - self.prediction["quality"]))

    def warnings(self, name: str | None) -> list[str]:
        """What is unusual about a measurement, or about the combination (None)."""
        return [warning["message"] for warning in self.prediction["warnings"] if warning["field"] == name]


def assess(
    client: Client, schema: Schema, category: str, numbers: Mapping[str, float], purpose: Purpose = "user"
) -> Assessment:
    """Ask the API about one wine; what is not in `numbers` is taken as typical for its category."""
    assumed = {field["name"]: field["typical"][category] for field in schema["fields"] if field["name"] not in numbers}
    wine: Measured = {schema["category"]["name"]: category, **numbers, **assumed}
    presets = [preset["wine"] for preset in schema["presets"]]
    prediction = client.predict(wine, "what_if" if wine in presets else purpose, assumed)
    explanation = client.explain(wine)
    usual = {field["name"]: field["usual"][category] for field in schema["fields"] if field["name"] in assumed}
    return Assessment(wine, category, prediction, explanation, assumed, _spread(client, wine, usual))


def _spread(client: Client, wine: Measured, usual: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """For each assumed measurement the lowest and highest score while it moves through what is usual; one batch."""
    moved = [(name, {**wine, name: value}) for name, (low, high) in usual.items() for value in evenly(low, high, STEPS)]
    if not moved:
        return {}
    answers = client.predict_each([each for _, each in moved])
    scores: dict[str, list[float]] = {name: [] for name in usual}
    for (name, _), answer in zip(moved, answers, strict=True):
        if not isinstance(answer, list):
            scores[name].append(answer["quality"])
    return {name: (min(found), max(found)) for name, found in scores.items() if found}


def what_if(client: Client, wine: Measured, name: str, low: float, high: float) -> list[tuple[float, float | None]]:
    """The score as one measurement moves from `low` to `high` and all else stays; None where the wine is impossible.

    The wine's own value is among them: a score may jump between two values that lie close.
    """
    values = sorted({*evenly(low, high, POINTS), float(wine[name])})
    answers = client.predict_each([{**wine, name: value} for value in values])
    return [
        (value, None if isinstance(answer, list) else answer["quality"])
        for value, answer in zip(values, answers, strict=True)
    ]


def evenly(low: float, high: float, count: int) -> Sequence[float]:
    """`count` values from `low` to `high`."""
    return [low + (high - low) * step / (count - 1) for step in range(count)]
