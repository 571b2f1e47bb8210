"""A verdict as a thing: judged, written, read and told."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from tests import frozen
from tests.conftest import ROOT
from wine_serving.errors import ContractError
from wine_serving.registry import EVALUATION, MODEL
from wine_serving.registry.folder import FolderRegistry
from wine_serving.verdict import MEANING, METRIC_NAMES, Direction, Gate, Metric, Verdict

BETTER = Metric(value=-0.014, low=-0.023, high=-0.005)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> FolderRegistry:
    """The registry that the first version made."""
    return FolderRegistry(frozen.unpack_registry(tmp_path_factory.mktemp("kept")))


def test_a_figure_is_shown_with_its_interval() -> None:
    """In one way everywhere."""
    assert str(BETTER) == "-0.014 (-0.023 to -0.005)"
    assert BETTER.shown(2) == "-0.01 (-0.02 to -0.01)"
    assert Metric(value=-0.0001, low=-0.01, high=0.01).shown(2) == "0.00 (-0.01 to 0.01)"


def test_a_figure_that_leaves_nothing_open_is_said_in_words() -> None:
    """An interval of one number thrice tells nobody anything; where only its digits are too few, there are more."""
    assert [str(Metric(value=each, low=each, high=each)) for each in (0, 1)] == ["exactly zero", "exactly 1"]
    assert Metric(value=0.0204, low=0.0202, high=0.0207).shown(2) == "0.020 (0.020 to 0.021)"


GATES: dict[str, tuple[Metric | float | None, Direction, Any, str, str, str]] = {
    "clearly better": (BETTER, "upper below", 0.0, "holds", "upper end below 0", str(BETTER)),
    "not clearly better by that much": (BETTER, "upper below", -0.01, "fails", "upper end below -0.01", str(BETTER)),
    "not clearly worse": (BETTER, "lower below", 0.05, "holds", "lower end below 0.05", str(BETTER)),
    "at the bound": (BETTER, "lower at most", -0.023, "holds", "lower end at most -0.023", str(BETTER)),
    "too large": (14.5, "at most", 14.0, "fails", "at most 14", "14.5"),
    "enough": (1068, "at least", 300, "holds", "at least 300", "1068"),
    "as promised": (0.915748, "between", (0.828, 0.96), "holds", "between 0.828 and 0.96", "0.916"),
    "beyond all bounds": (math.inf, "at most", 1e-3, "fails", "at most 0.001", "nothing"),
    "not measured": (None, "at least", 1, "fails", "at least 1", "nothing"),
}


@pytest.mark.parametrize(("figure", "direction", "bound", "outcome", "asked", "measured"), GATES.values(), ids=GATES)
def test_a_gate_decides_and_says_what_was_asked_and_measured(
    figure: Metric | float | None, direction: Direction, bound: Any, outcome: str, asked: str, measured: str
) -> None:
    """Which end of an interval must keep to the bound is part of the question; what was not measured fails."""
    gate = Gate.judge("a gate", figure, direction, bound, "because")
    assert (gate.outcome, gate.asked, gate.measured) == (outcome, asked, measured)
    assert Gate.model_validate_json(gate.model_dump_json()) == gate


def test_verdicts_of_the_first_version_are_read(kept: FolderRegistry) -> None:
    """From the files, from the evaluations' metadata and from the models' records, with their numbers."""
    for record in kept.records(EVALUATION):
        read = Verdict.read((kept.fetch(record.ref) / "verdict.json").read_bytes())
        assert Verdict.read(record.metadata) == read
        judged = kept.record(f"{MODEL}:{read.candidate.version}").evaluation
        assert judged
        assert Verdict.read(judged) == read.model_copy(update={"report": record.ref})
    gates = {gate.name: gate for gate in read.gates}
    margin = gates["not worse than production: ΔRMSE"]
    assert (margin.value, margin.low, margin.high, margin.bound) == (-0.014, -0.023, -0.005, 0.02)
    assert (margin.direction, margin.outcome) == ("upper below", "holds")
    assert gates["size of the exported model"].unit == "MB"
    assert gates["coverage of red wines"].bound == (0.828, 0.96)
    assert gates["golden wines are training wines"].measured == "yes"
    assert len(read.gates) == 21
    assert read.candidate.metrics["rmse"].value == pytest.approx(0.6928, abs=1e-4)


def test_what_is_written_is_read_again(kept: FolderRegistry, tmp_path: Path) -> None:
    """Nothing is lost, as a file or as data."""
    verdict = Verdict.read(kept.record(f"{EVALUATION}:v1").metadata)
    verdict.write(tmp_path / "verdict.json")
    assert Verdict.read((tmp_path / "verdict.json").read_bytes()) == verdict
    assert Verdict.read(verdict.as_data()) == verdict


def test_what_is_no_verdict_is_said(kept: FolderRegistry) -> None:
    """With the field that does not fit."""
    verdict = kept.record(f"{EVALUATION}:v1").metadata
    with pytest.raises(ContractError, match="verdict: Input should be 'promote'"):
        Verdict.read(verdict | {"verdict": "perhaps"})
    with pytest.raises(ContractError, match="no verdict"):
        Verdict.read(b"{")


def test_a_person_at_the_terminal_is_told(kept: FolderRegistry) -> None:
    """The verdict, why, both models with intervals, and what moved."""
    told = Verdict.read(kept.record(f"{EVALUATION}:v1").metadata).told()
    assert told[0] == "Verdict: promote"
    assert told[-3].startswith("Candidate v1 on the test wines: RMSE 0.693 (0.656 to 0.729), MSE 0.480")
    assert told[-1] == "Promoted: nothing"


def test_every_verdict_and_metric_has_its_words(kept: FolderRegistry) -> None:
    """One sentence a verdict, one name a metric."""
    assert [*MEANING] == ["promote", "equivalent", "hold", "decline", "unchanged"]
    assert {*Verdict.read(kept.record(f"{EVALUATION}:v1").metadata).candidate.metrics} < {*METRIC_NAMES}


def test_the_schema_that_ships_is_that_of_what_is_written() -> None:
    """Other programs read verdict.json by it."""
    shipped = json.loads((ROOT / "wine_serving" / "verdict.schema.json").read_text(encoding="utf-8"))
    assert shipped == Verdict.model_json_schema(mode="serialization")
