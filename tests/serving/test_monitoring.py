"""What monitoring found, as a thing: written, read and told."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.conftest import ROOT
from wine_serving.errors import ContractError
from wine_serving.monitoring import Effect, Look, Monitoring, Production, Window
from wine_serving.verdict import Metric

MONDAY = datetime(2026, 11, 23, tzinfo=UTC)
ALARM = Look(
    about="inputs",
    name="Alcohol of red wines",
    window="the week",
    n=40,
    measured=0.4,
    statistic="D",
    p=1e-6,
    step=1.3e-5,
    outcome="alarm",
    why="higher than in the reference",
)
FOUND = Monitoring(
    answer="inputs_changed",
    sentence="Red wines are stronger than those that v3 was promoted on.",
    at=datetime(2026, 11, 24, 8, tzinfo=UTC),
    until=MONDAY,
    simulated=False,
    production=Production(version="v3", dataset="wine-quality-data:v1"),
    n_wines=200,
    n_grades=0,
    budget=0.05,
    windows=(Window(name="the week", since=MONDAY, until=MONDAY, wines={"red": 40}, seen={"red": 0.44}),),
    looks=(ALARM, ALARM.model_copy(update={"outcome": "holds"})),
    effect=Effect(
        window="the week", score=Metric(value=0.1, low=0, high=0.2), grades=Metric(value=0.2, low=0.1, high=0.3)
    ),
)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    """With every number, from the file and from the record."""
    FOUND.write(tmp_path / "monitor.json")
    assert Monitoring.read((tmp_path / "monitor.json").read_bytes()) == Monitoring.read(FOUND.as_data()) == FOUND


def test_a_record_keeps_the_answer_and_its_alarms() -> None:
    """It is read with every model that is loaded, and some dozens of looks that held tell nobody anything there."""
    kept = Monitoring.read(FOUND.for_record())
    assert (kept.answer, kept.looks, kept.windows) == (FOUND.answer, (ALARM,), FOUND.windows)


def test_what_is_no_answer_of_monitoring_is_refused_in_a_sentence() -> None:
    """Which field, and what to do."""
    with pytest.raises(ContractError, match=r"in format 1: answer: .*run `make monitor` again"):
        Monitoring.read(FOUND.as_data() | {"answer": "fine"})


def test_a_person_is_told_the_answer_and_every_alarm() -> None:
    """And nothing of what held."""
    assert FOUND.told() == [
        "Monitoring of v3, weeks up to 2026-11-23: inputs changed",
        "  Red wines are stronger than those that v3 was promoted on.",
        "  Alcohol of red wines, the week: higher than in the reference",
    ]


def test_the_schema_is_that_of_what_is_written() -> None:
    """Readers outside of this code hold monitor.json against it."""
    shipped = json.loads((ROOT / "wine_serving" / "monitoring.schema.json").read_text(encoding="utf-8"))
    assert shipped == Monitoring.model_json_schema(mode="serialization"), "write it anew"
