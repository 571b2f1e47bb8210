"""The answer in words: one sentence before the figures."""

import re
from collections.abc import Mapping
from typing import Any, Final

from wine_ui.assessment import Assessment
from wine_ui.client import Schema

COUNTS: Final = 0.05  # score points from which on a measurement is worth a word
SHARES: Final = (
    (0.0, "hardly any such wine is"),
    (1 / 20, "one in twenty such wines is"),
    (1 / 10, "one in ten such wines is"),
    (1 / 5, "one in five such wines is"),
    (1 / 4, "one in four such wines is"),
    (1 / 3, "one in three such wines is"),
    (2 / 5, "two in five such wines are"),
    (1 / 2, "half of such wines are"),
    (3 / 5, "three in five such wines are"),
    (2 / 3, "two in three such wines are"),
    (3 / 4, "three in four such wines are"),
    (4 / 5, "four in five such wines are"),
    (9 / 10, "nine in ten such wines are"),
    (1.0, "nearly all such wines are"),
)


def verdict(schema: Schema, found: Assessment) -> str:
    """What to think of the wine, and only as far as the model knows such wines."""
    likely, share = found.likely
    if found.unlike:
        return "This wine is unlike those that the model knows: its score is an extrapolation."
    if found.assumed:
        return f"Roughly {article(likely)}, as not everything was measured; {reasons(schema, found)}."
    sure = "Probably" if share >= 0.5 else "Most likely"
    good = f"{nearest(found.prediction['at_least_7'])} graded 7 or better"
    return f"{sure} {article(likely)}; {good}; {reasons(schema, found)}."


def reasons(schema: Schema, found: Assessment) -> str:
    """The measurement that speaks most for the wine, and the one that speaks most against it; none that was assumed."""
    fields = [field for field in schema["fields"] if field["name"] not in found.assumed]
    labels = {field["name"]: lowered(field["label"]) for field in fields}
    moved = {each["field"]: each["contribution"] for each in found.explanation["contributions"]}
    moved = {name: points for name, points in moved.items() if name in labels and abs(points) >= COUNTS}
    best, worst = (max(moved, key=moved.__getitem__), min(moved, key=moved.__getitem__)) if moved else ("", "")
    good, bad = moved.get(best, 0) > 0, moved.get(worst, 0) < 0
    if good and bad:
        return f"{labels[best]} speaks for it, {labels[worst]} against it"
    if good or bad:
        return f"{labels[best]} speaks for it" if good else f"{labels[worst]} speaks against it"
    return "no single measurement stands out"


def nearest(share: float) -> str:
    """A share as one says it.

    >>> nearest(0.26)
    'one in four such wines is'
    """
    return min(SHARES, key=lambda each: abs(each[0] - share))[1]


def percent(share: float) -> str:
    """A share in whole per cents, but never as certain as that makes it look.

    >>> percent(0.004), percent(0.26), percent(0.999)
    ('under 1%', '26%', 'over 99%')
    """
    return "under 1%" if share < 0.005 else "over 99%" if share > 0.995 else f"{share:.0%}"


def article(grade: int) -> str:
    """A grade with its article.

    >>> article(6), article(8)
    ('a 6', 'an 8')
    """
    return f"{'an' if grade == 8 else 'a'} {grade}"


def lowered(label: str) -> str:
    """A label within a sentence.

    >>> lowered("Iron"), lowered("pK")
    ('iron', 'pK')
    """
    return label if label[1:2].isupper() else label[:1].lower() + label[1:]


def named(text: str, schema: Mapping[str, Any]) -> str:
    """A sentence of the API with the labels of measurements, as the form has them, in place of their names.

    >>> named("free_iron is above iron", {"fields": [{"name": "iron", "label": "Iron"},
    ...     {"name": "free_iron", "label": "Free iron"}], "category": {"name": "color", "label": "Colour"}})
    'Free iron is above iron'
    """
    labels = {each["name"]: each["label"] for each in (*schema["fields"], schema["category"])}
    names = "|".join(sorted(map(re.escape, labels), key=len, reverse=True))
    said = re.sub(rf"\b({names})\b", lambda found: lowered(labels[found[0]]), text)
    return said if said[1:2].isupper() else said[:1].upper() + said[1:]
