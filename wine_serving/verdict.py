"""A verdict: what was asked of a candidate, what was measured, and what follows. Typed, written, read and told here."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError, computed_field, model_validator

from wine_serving.errors import ContractError

Word = Literal["promote", "equivalent", "hold", "decline", "unchanged"]
Direction = Literal["upper below", "upper at least", "lower below", "lower at most", "at most", "at least", "between"]
Outcome = Literal["holds", "fails", "hold", "not shown"]  # hold: a person decides; not shown: a gain is not

FORMAT: Final = 2
MIME: Final = "application/vnd.wine-quality.verdict+json"  # as a notebook's output
MEANING: Final[dict[Word, str]] = {
    "promote": "every gate holds, and the candidate is shown to be better, or a person wants it as it is no worse",
    "equivalent": "the candidate is not worse, but not shown to be better: production stays",
    "hold": "too good to be true, or not comparable: a person decides",
    "decline": "the candidate does not replace production",
    "unchanged": "the candidate is what production already is",
}
METRIC_NAMES: Final = {
    "rmse": "RMSE",
    "mse": "MSE",
    "mae": "MAE",
    "r2": "R²",
    "accuracy": "exact grade",
    "within_one": "within one",
    "coverage": "coverage",
    "coverage_scored_low": "coverage, scored below 5",
    "coverage_scored_high": "coverage, scored 6.5 or more",
    "great_scored_below_7": "8 or better, scored below 7",
    "rps": "ranked probability score",
    "rps_climatology": "the same by colour alone",
    "rps_skill": "gain over colour alone",
}
ASKED: Final[dict[Direction, str]] = {
    "upper below": "upper end below",
    "upper at least": "upper end at least",
    "lower below": "lower end below",
    "lower at most": "lower end at most",
    "at most": "at most",
    "at least": "at least",
    "between": "between",
}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Metric(_Part):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return self.shown()

    def shown(self, digits: int = 3) -> str:
        """Value (low to high), with so many digits after the point, or as many as tell them apart."""
        value, low, high = (f"{each:z.{digits}f}" for each in (self.value, self.low, self.high))
        if self.low == self.value == self.high:
            return "exactly zero" if self.value == 0 else f"exactly {self.value:.{digits + 1}g}"
        return self.shown(digits + 1) if low == value == high else f"{value} ({low} to {high})"


class Gate(_Part):
    """One question that a candidate must answer; without `value` nothing could be measured, which is no answer."""

    name: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    bound: float | tuple[float, float] | None = None
    direction: Direction | None = None  # None where yes or no was asked
    unit: str = ""
    outcome: Outcome
    why: str
    note: str = ""  # what was found, in words, where its figure does not say it

    @classmethod
    def judge(
        cls,
        name: str,
        measured: Metric | float | None,
        direction: Direction,
        bound: float | tuple[float, float],
        why: str,
        unit: str = "",
        *,
        otherwise: Outcome = "fails",
        note: str = "",
    ) -> Self:
        """The gate with its outcome: `holds` when what was measured keeps to the bound, else what `otherwise` says."""
        asked: dict[str, Any] = {"name": name, "bound": bound, "direction": direction, "unit": unit, "why": why}
        asked["note"] = note
        if measured is None or not (isinstance(measured, Metric) or math.isfinite(measured)):
            return cls(**asked, outcome=otherwise)
        figures = {"value": measured} if isinstance(measured, float | int) else measured.model_dump()
        value, low, high = figures["value"], *(figures.get(end, figures["value"]) for end in ("low", "high"))
        first, last = bound if isinstance(bound, tuple) else (bound, bound)
        holds = {
            "upper below": high < last,
            "upper at least": high >= first,
            "lower below": low < last,
            "lower at most": low <= last,
            "at most": value <= last,
            "at least": value >= first,
            "between": first <= value <= last,
        }[direction]
        return cls(**asked, **figures, outcome="holds" if holds else otherwise)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def asked(self) -> str:
        """The bound in words."""
        if self.direction is None or self.bound is None:
            return "yes"
        ends = self.bound if isinstance(self.bound, tuple) else (self.bound,)
        return f"{ASKED[self.direction]} {' and '.join(map(_number, ends))}"

    @computed_field  # type: ignore[prop-decorator]
    @property
    def measured(self) -> str:
        """The figure, with its interval where it has one."""
        if self.value is None:
            return "nothing" if self.direction else "yes" if self.outcome == "holds" else "no"
        if self.low is None or self.high is None:
            return _number(self.value)
        return str(Metric(value=self.value, low=self.low, high=self.high))

    @property
    def reason(self) -> str:
        """What it contributes to a verdict."""
        name = f"not shown to be {self.name}" if self.outcome == "not shown" else self.name
        return f"{name}: {self.note or f'{self.measured}, asked {self.asked}'}"

    @model_validator(mode="before")
    @classmethod
    def _without_what_is_computed(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            return {name: value for name, value in data.items() if name not in cls.model_computed_fields}
        return data


class Judged(_Part):
    """A model version and how it does on the test wines."""

    version: str
    metrics: dict[str, Metric] = {}


class Dataset(_Part):
    """The dataset on which it was judged."""

    version: str
    digest: str
    split_seed: int | None = None  # of its split; None where wines were dealt otherwise, as in 1.0


class Difference(_Part):
    """The candidate's figures minus those of `other`, on the same wines: RMSE by slice, and every metric."""

    other: str
    slices: dict[str, Metric] = {}
    metrics: dict[str, Metric] = {}  # the same over all wines, of each metric
    wines: dict[str, int] = {}  # how many wines of a slice both had not seen


def unlike(error: ValidationError, what: str, remedy: str) -> ContractError:
    """That data is not `what` it should be: where it first differs, and the command that makes it anew."""
    first = error.errors(include_url=False)[0]
    where = ".".join(map(str, first["loc"])) or "it"
    return ContractError(f"this is no {what}: {where}: {first['msg']}; run `{remedy}` again")


class Verdict(_Part):
    """What was decided, why, and on what grounds."""

    format: Literal[2] = FORMAT
    verdict: Word
    promoted: bool | None  # whether production moved; None where that was open when it was published: the record tells
    reasons: tuple[str, ...]
    gates: tuple[Gate, ...]
    dataset: Dataset
    candidate: Judged
    production: Judged | None  # what stood before
    difference: Difference | None = None
    slices: dict[str, dict[str, Metric | int]] = {}  # slice → metric → figure, and `wines` → how many
    coverage: dict[str, Metric] = {}
    decided_before: int = 0  # how often this test split has decided before
    parameters: dict[str, Any] = {}
    report: str | None = None  # the published evaluation, as NAME:vN

    @classmethod
    def read(cls, data: Mapping[str, Any] | bytes) -> Self:
        """A verdict as JSON or as data, also one that was written before verdicts had a format."""
        try:
            return cls.model_validate_json(data) if isinstance(data, bytes) else cls.model_validate(data)
        except ValidationError as error:
            raise unlike(error, f"verdict of format {FORMAT} or older", "make evaluate") from None

    @model_validator(mode="before")
    @classmethod
    def _from_format_1(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and "format" not in data and isinstance(data.get("gates"), list | tuple):
            return {**data, "gates": [_from_texts(each) if "gate" in each else each for each in data["gates"]]}
        return data

    @property
    def meaning(self) -> str:
        """The verdict in a sentence."""
        return MEANING[self.verdict]

    def as_data(self) -> dict[str, Any]:
        """As it is kept in records and files."""
        return self.model_dump(mode="json")

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        """A notebook's output, for people and for whoever executed the notebook."""
        return {MIME: self.as_data(), "text/plain": "\n".join(self.told())}

    def write(self, path: Path) -> None:
        """As JSON, for readers outside of this code: its schema is verdict.schema.json."""
        path.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")

    def told(self) -> list[str]:
        """The lines that a person at a terminal wants."""
        lines = [f"Verdict: {self.verdict}", *(f"  {reason}" for reason in self.reasons)]
        for role, model in {"Candidate": self.candidate, "Production": self.production}.items():
            if model:
                figures = [
                    f"{METRIC_NAMES[name]} {model.metrics[name]}"
                    for name in ("rmse", "mse", "mae", "r2")
                    if name in model.metrics
                ]
                lines.append(f"{role} {model.version} on the test wines: {', '.join(figures)}")
        promoted = f"{self.candidate.version} is now production" if self.promoted else "nothing"
        return [*lines, f"Promoted: {promoted}"]


def word_for(gates: Sequence[Gate]) -> Word:
    """What follows from the gates: one that fails is enough to decline, then one that a person must decide holds."""
    outcomes = {gate.outcome for gate in gates}
    words: dict[Outcome, Word] = {"fails": "decline", "hold": "hold", "not shown": "equivalent"}
    return next((word for outcome, word in words.items() if outcome in outcomes), "promote")


def _number(value: float) -> str:
    """A bare number, short."""
    return f"{value:.3g}" if abs(value) < 1 else f"{round(value, 3):.10g}"


# Gates of format 1 were texts, which one notebook wrote in a few forms.
_OLD_MEASURED: Final = re.compile(r"(\S+)(?: \((\S+) to (\S+)\)| (MB))?")
_OLD_ASKED: Final[dict[str, Direction]] = {
    r"upper end < (\S+)": "upper below",
    r"lower end < (\S+)": "lower below",
    r"lower end ≤ (\S+)": "lower at most",
    r"≤ ([^\s,]+)(?: MB|, as on test wines)?": "at most",
    r"≥ (\S+)": "at least",
    r"(\S+) to (\S+)": "between",
}


def _from_texts(old: Mapping[str, Any]) -> dict[str, Any]:
    gate: dict[str, Any] = {
        "name": old["gate"],
        "outcome": "holds" if old["passed"] else "fails",
        "why": f"{old['measured']}, asked {old['threshold']}",
    }
    figures = _OLD_MEASURED.fullmatch(old["measured"])
    for form, direction in _OLD_ASKED.items():
        if figures and (bound := re.fullmatch(form, old["threshold"])):
            ends = [float(end) for end in bound.groups()]
            value, low, high, unit = figures.groups()
            numbers = {"value": _finite(value), "low": _finite(low), "high": _finite(high), "unit": unit or ""}
            return gate | numbers | {"direction": direction, "bound": ends[0] if len(ends) == 1 else ends}
    return gate


def _finite(text: str | None) -> float | None:
    return float(text) if text and math.isfinite(float(text)) else None
