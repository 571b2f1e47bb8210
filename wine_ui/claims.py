"""What the evaluation says of wines that are scored as high or as low as this one; nothing where it says nothing."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple


class Claim(NamedTuple):
    """A figure of the evaluation, for which scores it is told, and how."""

    metric: str
    low: float
    high: float
    sentence: str


CLAIMS: Final = (
    Claim(
        "coverage_scored_low", 0.0, 5.0,
        "Of test wines scored below 5, the range held the tasters' grade for {}, where {level:.0%} is meant.",
    ),
    Claim(
        "coverage_scored_high", 6.5, 11.0,
        "Of test wines scored 6.5 or higher, the range held the tasters' grade for {}, where {level:.0%} is meant.",
    ),
    Claim(
        "great_scored_below_7", 6.5, 11.0,
        "Of test wines that tasters graded 8 or better, {} were scored below 7: the best are seldom recognized.",
    ),
)  # fmt: skip


def extremes(model: Mapping[str, Any], prediction: Mapping[str, Any]) -> list[str]:
    """Sentences for one answer of the model that was evaluated."""
    evaluation = model.get("evaluation") or {}
    metrics = evaluation.get("candidate", {}).get("metrics", {})
    if model.get("model_version") != prediction["model_version"]:
        return []
    score, level = prediction["quality"], prediction["interval"]["level"]
    fitting = [each for each in CLAIMS if each.metric in metrics and each.low <= score < each.high]
    return [each.sentence.format(shown(metrics[each.metric]), level=level) for each in fitting]


def shown(metric: Mapping[str, float]) -> str:
    """A share with its interval."""
    return f"{metric['value']:.0%} ({metric['low']:.0%} to {metric['high']:.0%})"
