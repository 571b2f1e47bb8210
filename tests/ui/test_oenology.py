"""What follows from measurements by rule."""

from tests import tiny
from wine_ui.oenology import facts


def test_derived_facts_follow_their_rules() -> None:
    """Molecular sulfur dioxide, sweetness, and notes above usual limits with their source."""
    wine = tiny.as_wines(tiny.made_up_wines(1))[0] | {
        "color": "red", "free_sulfur_dioxide": 40.0, "total_sulfur_dioxide": 180.0, "ph": 3.2,
        "residual_sugar": 3.0, "volatile_acidity": 1.5,
    }  # fmt: skip
    found = {fact.label: f"{fact.value} {fact.note}" for fact in facts(wine)}
    assert found["Molecular sulfur dioxide"].startswith("1.57 mg/L")
    assert found["Sweetness"].startswith("dry")
    assert "150 mg/L (2019/934" in found["Total sulfur dioxide"]
    assert "1.4 g/L (27 CFR 4.21)" in found["Volatile acidity"]
