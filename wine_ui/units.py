"""Numbers as laboratories write them: decimal commas, and other units than the API's."""

from typing import Final, NamedTuple


class NotANumber(ValueError):
    """A text that is no number; the message says so."""


def read_number(text: str | None) -> float | None:
    """The number in `text`, with a decimal point or comma; None where nothing was entered."""
    cleaned = (text or "").strip().replace("\N{NO-BREAK SPACE}", "").replace(" ", "")
    if not cleaned:
        return None
    if "," in cleaned and "." not in cleaned and cleaned.count(",") == 1:
        cleaned = cleaned.replace(",", ".")
    try:
        number = float(cleaned)
    except ValueError:
        raise NotANumber(f"“{text}” is not a number: write 10.5 or 10,5") from None
    if number != number or number in (float("inf"), float("-inf")):
        raise NotANumber(f"“{text}” is not a finite number")
    return number


class Conversion(NamedTuple):
    """A laboratory's unit: what it is called and what makes it the API's."""

    label: str
    factor: float


class Part(NamedTuple):
    """A measurement that the laboratory's figure holds and ours does not: `factor` times it is taken off."""

    field: str
    factor: float
    rule: str


class LabFigure(NamedTuple):
    """A measurement that laboratories call by another name or give in other units."""

    field: str
    label: str
    conversions: tuple[Conversion, ...]
    part: Part | None = None

    @property
    def needs(self) -> set[str]:
        """The measurements that a form must have for this to be converted."""
        return {self.field, self.part.field} if self.part else {self.field}


# Acids are compared by what they neutralize, per proton: acetic 60.05 g/mol, tartaric 75.04, sulfuric 49.04.
VOLATILE: Final = LabFigure(
    "volatile_acidity",
    "Volatile acidity",
    (
        Conversion("g/L as acetic acid", 1.0),
        Conversion("g/L as sulfuric acid (H₂SO₄)", 1.22),
        Conversion("g/100 mL as acetic acid", 10.0),
    ),
)
TITRATABLE: Final = LabFigure(
    "fixed_acidity",
    "Titratable (total) acidity",
    (
        Conversion("g/L as tartaric acid", 1.0),
        Conversion("g/L as sulfuric acid (H₂SO₄)", 1.53),
        Conversion("g/100 mL as tartaric acid", 10.0),
    ),
    Part("volatile_acidity", 1.25, "Fixed acidity is titratable less volatile acidity"),  # 75.04 / 60.05
)
LAB_FIGURES: Final = (VOLATILE, TITRATABLE)  # each after those that it needs
LAB_QUESTION: Final = "My laboratory reports acidity in another way"


def decimals(step: float) -> int:
    """How many decimals a step has: 2 for 0.01."""
    return max(0, len(f"{step:.10f}".rstrip("0").partition(".")[2]))
