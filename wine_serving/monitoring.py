"""What monitoring found: whether production still does what it was promoted for. Typed, written, read and told here."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from wine_serving.verdict import Metric, unlike

Answer = Literal["as_promoted", "inputs_changed", "worse", "too_few"]
Outcome = Literal["holds", "alarm", "nothing"]  # nothing: there was nothing to look at, which is no answer

FORMAT: Final = 1
MIME: Final = "application/vnd.wine-quality.monitoring+json"  # as a notebook's output
RECORD: Final = "monitoring"  # under which the registry's record of production keeps the last one
ANSWERS: Final[dict[Answer, str]] = {
    "as_promoted": "As promoted",
    "inputs_changed": "Inputs changed",
    "worse": "Worse",
    "too_few": "Too few to tell",
}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Production(_Part):
    """The model that was looked at, and the dataset that it is held against."""

    version: str
    dataset: str


class Window(_Part):
    """Weeks of the log that are looked at together, and what would have been seen in them."""

    name: str
    since: datetime
    until: datetime  # the first moment after it
    wines: dict[str, int]  # distinct wines by colour
    seen: dict[str, float | None]  # the smallest share of a colour's wines whose move is seen in 8 cases of 10


class Look(_Part):
    """One question, what was measured, and how likely that is where nothing has changed."""

    about: Literal["inputs", "grades"]
    name: str
    window: str  # the name of one of the windows, or "since promotion"
    n: int  # wines, or grades, that were looked at
    measured: float | None  # of the statistic that `statistic` names
    statistic: str
    p: float | None
    step: float | None  # the p that Holm's procedure asks of this one
    outcome: Outcome
    why: str


class Effect(_Part):
    """What an alarm does to the scores: their move, and the share of grades that are others now."""

    window: str
    score: Metric
    grades: Metric


class Monitoring(_Part):
    """What was answered, and on what grounds."""

    format: Literal[1] = FORMAT
    answer: Answer
    sentence: str
    at: datetime  # when it was looked
    until: datetime  # the end of the last week that was looked at
    simulated: bool  # a demonstration without a log
    production: Production
    n_wines: int  # distinct wines of users in the longest window
    n_grades: int  # asked grades since promotion
    budget: float  # the chance of a false alarm a year, for inputs and for grades each
    windows: tuple[Window, ...]
    looks: tuple[Look, ...]
    effect: Effect | None = None

    @classmethod
    def read(cls, data: Mapping[str, Any] | bytes) -> Self:
        """One as JSON or as data."""
        try:
            return cls.model_validate_json(data) if isinstance(data, bytes) else cls.model_validate(data)
        except ValidationError as error:
            raise unlike(error, f"answer of monitoring in format {FORMAT}", "make monitor") from None

    @property
    def shown(self) -> str:
        """The answer as people read it."""
        return ANSWERS[self.answer]

    @property
    def alarms(self) -> list[Look]:
        """The looks that gave alarm."""
        return [look for look in self.looks if look.outcome == "alarm"]

    def as_data(self) -> dict[str, Any]:
        """As it is kept in files."""
        return self.model_dump(mode="json")

    def for_record(self) -> dict[str, Any]:
        """As the registry's record of production keeps it: of the looks the alarms only."""
        return self.model_copy(update={"looks": tuple(self.alarms)}).as_data()

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        """A notebook's output, for people and for whoever executed the notebook."""
        return {MIME: self.as_data(), "text/plain": "\n".join(self.told())}

    def write(self, path: Path) -> None:
        """As JSON, for readers outside of this code: its schema is monitoring.schema.json."""
        path.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")

    def told(self) -> list[str]:
        """The lines that a person at a terminal wants."""
        about = f"{self.production.version}, weeks up to {self.until:%Y-%m-%d}"
        return [
            f"Monitoring of {about}: {self.shown.lower()}{' (simulated weeks)' if self.simulated else ''}",
            f"  {self.sentence}",
            *(f"  {look.name}, {look.window}: {look.why}" for look in self.alarms),
        ]
