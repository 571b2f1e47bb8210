"""gates: each asks one thing of a candidate, says why the bound is where it is, and sees what it is there to see."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from gates import GATES, Case, judge
from resampling import Bootstrap

from tests import tiny
from wine_serving.schema import SEGMENT, TARGET, encode_columns
from wine_serving.verdict import Gate

BOUNDS = {
    "margin": 0.02,
    "color_margin": 0.05,
    "band_margin": 0.1,
    "coverage_level": 0.01,
    "leakage_r2": 0.95,  # made-up wines are easier than real ones
    "max_megabytes": 14.0,
    "max_milliseconds": 1000.0,
    "min_wines": 300,
}


@pytest.fixture(scope="module")
def fair(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A small forest on made-up wines, beside a forest that is as good; every gate holds."""
    bundles = {
        role: tiny.write_bundle(tmp_path_factory.mktemp(role), seed=0, trees=trees)
        for role, trees in {"candidate": 40, "production": 39}.items()
    }
    known, test = tiny.made_up_wines(400), tiny.made_up_wines(600, seed=8)
    predictions = {role: bundle.predict(encode_columns(test)).astype(float) for role, bundle in bundles.items()}
    predictions["mean"] = np.full(len(test), known[TARGET].mean())
    predictions["ridge"] = predictions["mean"] + 0.3 * (test["alcohol"] - 10.5).to_numpy()
    return Case(
        bundles=bundles,
        defect="",
        splits={"train": known.iloc[:300], "calibration": known.iloc[300:]},
        test=test,
        predictions=predictions | {"v3": predictions["production"]},
        resamples=Bootstrap(test["group"], 500, 0),
        rival="production",
        best="v3",
        bounds=BOUNDS,
    )


def failing(case: Case) -> list[str]:
    """The names of the gates that do not hold."""
    return [gate.name for gate in judge(case) if gate.outcome != "holds"]


def blurred(case: Case, rows: "pd.Series[bool]", by: float) -> Case:
    """The candidate's predictions are off on some wines."""
    off = np.where(rows, by * (-1.0) ** np.arange(len(rows)), 0)
    return replace(case, predictions={**case.predictions, "candidate": case.predictions["candidate"] + off})


def told(case: Case) -> Case:
    """The candidate knows every grade."""
    return replace(case, predictions={**case.predictions, "candidate": case.test[TARGET].to_numpy(float)})


def swapped(case: Case) -> Case:
    """The dataset calls red white and white red."""
    other = {"red": "white", "white": "red"}
    train = case.splits["train"]
    return replace(case, splits={**case.splits, "train": train.assign(**{SEGMENT: train[SEGMENT].map(other)})})


def bound(name: str, value: float) -> Callable[[Case], Case]:
    """Another bound."""
    return lambda case: replace(case, bounds={**case.bounds, name: value})


def test_fair_candidate_passes_every_gate(fair: Case) -> None:
    """All of them are asked."""
    assert failing(fair) == []
    assert len(judge(fair)) == len(GATES)


WRONG: dict[str, tuple[Callable[[Case], Case], str]] = {
    "off on every wine": (lambda case: blurred(case, case.test[TARGET] > 0, 0.5), "not worse than production"),
    "worse than what stood once": (lambda case: blurred(case, case.test[TARGET] > 0, 0.5), "not worse than v3"),
    "off on red wines": (lambda case: blurred(case, case.test[SEGMENT] == "red", 0.9), "not worse on red wines"),
    "off on one grade": (lambda case: blurred(case, case.test[TARGET] == 7, 1.2), "not worse on grade 7"),
    "a constant": (lambda case: blurred(case, case.test[TARGET] > 0, 9), "better than mean"),
    "intervals that miss": (lambda case: blurred(case, case.test[SEGMENT] == "red", 1.5), "coverage of red wines"),
    "intervals too wide": (told, "coverage of white wines"),
    "knows the grades": (told, "no leakage"),
    "another dataset": (swapped, "golden wines are training wines"),
    "few wines": (bound("min_wines", 10_000), "wines seen by neither model"),
    "too large": (bound("max_megabytes", 0.001), "size of the exported model"),
    "too slow": (bound("max_milliseconds", 1e-9), "time for one wine"),
    "another calibration split": (
        lambda case: replace(case, splits={**case.splits, "calibration": case.test}),
        "calibration residuals differ by",
    ),
    "another training split": (
        lambda case: replace(case, splits={**case.splits, "train": case.test.assign(**{TARGET: 0})}),
        "fits its training wines",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_fails_its_gate(fair: Case, wrong: str) -> None:
    """By name, and named first."""
    spoil, name = WRONG[wrong]
    assert any(each.startswith(name) for each in failing(spoil(fair)))
    outcomes = [gate.outcome for gate in judge(spoil(fair))]
    assert outcomes == sorted(outcomes)  # fails, then holds


def test_every_gate_says_why_its_bound_is_where_it_is(fair: Case) -> None:
    """A sentence of its own, not the figures again; and what is a figure has a bound and a direction."""
    for gate in judge(fair):
        assert len(gate.why.split()) > 5
        assert gate.measured not in gate.why
        assert (gate.value is None) == (gate.direction is None) == (gate.bound is None)


def test_candidate_that_cannot_be_served_is_asked_nothing_more(fair: Case) -> None:
    """It is declined for that."""
    bundles = {"production": fair.bundles["production"]}
    (gate,) = judge(replace(fair, bundles=bundles, defect="its golden wines are not answered"))
    assert (gate.name, gate.outcome) == ("loads, and answers golden wines", "fails")


def test_gates_that_compare_with_nobody_are_not_asked(fair: Case) -> None:
    """Without production and without anything that was promoted before."""
    alone = replace(fair, rival="ridge", best=None)
    assert not any("not worse" in gate.name for gate in judge(alone))


def test_gate_is_added_by_a_function_and_its_name(fair: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """The smallest recipe: it is asked with the others, and fails or holds as they do."""

    def few_features(case: Case) -> Gate:
        why = "a laboratory that has to measure much more will not be asked twice"
        return Gate.judge("measurements", len(case.candidate.metadata.features), "at most", 5, why)

    monkeypatch.setattr("gates.GATES", [*GATES, few_features])
    assert failing(fair) == ["measurements"]
