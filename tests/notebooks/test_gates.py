"""gates: each asks one thing of a candidate, says why the bound is where it is, and sees what it is there to see."""

import json
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version

import numpy as np
import pandas as pd
import pytest
from case import Case
from gates import DECIDING, GATES, SIMULATED, alpha_of, judge, look_at
from recipes import derived
from resampling import Bootstrap

from tests import tiny
from tests.conftest import ROOT
from wine_serving.bundle import Bundle, Recipe
from wine_serving.schema import SEGMENT, TARGET, encode_columns
from wine_serving.verdict import Dataset, Gate, Judged, Verdict, word_for

BOUNDS = {
    "margin": 0.02,
    "color_margin": 0.03,
    "rare_color_margin": 0.04,
    "band_margin": 0.1,
    "level": 0.9,
    "coverage_tail": 0.005,
    "max_megabytes": 14.0,
    "times_larger": 3.0,
    "max_milliseconds": 1000.0,
    "times_slower": 100.0,
    "promote_equivalent": False,
    "min_wines": 300,
}


@pytest.fixture(scope="module")
def fair(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A small forest on made-up wines, beside a forest that is as good: every gate holds, but no gain is shown."""
    bundles = {
        role: with_recipe(tiny.write_bundle(tmp_path_factory.mktemp(role), seed=0, trees=trees), trees)
        for role, trees in {"candidate": 40, "production": 39}.items()
    }
    known, test = tiny.made_up_wines(400), tiny.made_up_wines(600, seed=8)
    predictions = {role: bundle.predict(encode_columns(test)).astype(float) for role, bundle in bundles.items()}
    predictions["mean"] = np.full(len(test), known[TARGET].mean())
    predictions["ridge"] = predictions["mean"] + 0.3 * (test["alcohol"] - 10.5).to_numpy()
    calibration = known.iloc[300:].reset_index(drop=True)
    return Case(
        bundles=bundles,
        defect="",
        untraced="",
        splits={"train": known.iloc[:300], "calibration": calibration, "test": test},
        unseen=np.full(len(test), True),
        predictions=predictions | {"v3": predictions["production"]},
        resamples=Bootstrap(test["group"], 500, 0),
        rival="production",
        incomparable="",
        best="v3",
        out_of_fold=None,
        look=1,
        trials=1,
        bounds=BOUNDS,
    )


def with_recipe(bundle: Bundle, trees: int, seed: int = 0) -> Bundle:
    """What training writes down: the recipe in full, and the packages."""
    parameters = {"n_estimators": trees, "min_samples_leaf": 3, "max_features": 12}
    recipe = Recipe(estimator="random_forest", parameters=parameters, seed=seed, derived=derived())
    packages = {name: version(name) for name in DECIDING}
    return replace(bundle, metadata=bundle.metadata.model_copy(update={"recipe": recipe, "packages": packages}))


def with_candidate(case: Case, **update: object) -> Case:
    """The candidate's metadata say something else."""
    candidate = replace(case.candidate, metadata=case.candidate.metadata.model_copy(update=update))
    return replace(case, bundles={**case.bundles, "candidate": candidate})


def of_another_seed(case: Case) -> Case:
    """The candidate is not what its recipe makes: as when it has seen a wine more."""
    return replace(case, bundles={**case.bundles, "candidate": with_recipe(case.candidate, 40, seed=1)})


def of_other_packages(case: Case) -> Case:
    """The same, but other versions than those that judge may be the reason."""
    return with_candidate(of_another_seed(case), packages={})


def of_no_recipe(case: Case) -> Case:
    """The candidate cannot be fitted again."""
    return with_candidate(case, recipe=None)


def gained(case: Case, by: float, spread: float = 0) -> Case:
    """The candidate is that much closer to the grades, on every other wine a `spread` more, between them less."""
    actual = case.test[TARGET].to_numpy(float)
    share = by + spread * (-1.0) ** np.arange(len(actual))
    closer = case.predictions["candidate"] + share * (actual - case.predictions["candidate"])
    return replace(case, predictions={**case.predictions, "candidate": closer})


def failing(case: Case) -> list[str]:
    """The names of the gates that do not hold; whether a gain is shown is another matter."""
    return [gate.name for gate in judge(case) if gate.outcome in ("fails", "hold")]


def blurred(case: Case, rows: "pd.Series[bool]", by: float) -> Case:
    """The candidate's predictions are off on some wines."""
    off = np.where(rows, by * (-1.0) ** np.arange(len(rows)), 0)
    return replace(case, predictions={**case.predictions, "candidate": case.predictions["candidate"] + off})


def swapped(case: Case) -> Case:
    """The dataset calls red white and white red."""
    other = {"red": "white", "white": "red"}
    train = case.splits["train"]
    return replace(case, splits={**case.splits, "train": train.assign(**{SEGMENT: train[SEGMENT].map(other)})})


def bound(name: str, value: float) -> Callable[[Case], Case]:
    """Another bound."""
    return lambda case: replace(case, bounds={**case.bounds, name: value})


def test_fair_candidate_passes_every_gate(fair: Case) -> None:
    """All of them are asked, but for what could tip the scale; of a model that is as good, no gain is shown."""
    gates = judge(fair)
    assert [gate.name for gate in gates if gate.outcome != "holds"] == ["better than production"]
    assert len(gates) == len(GATES) - 1
    assert word_for(gates) == "equivalent"


def test_a_gain_that_is_shown_promotes(fair: Case) -> None:
    """At the first look; at the hundredth a small one is luck, and a search of many trials counts as so many looks."""
    better = gained(fair, 0.04, spread=0.15)
    assert word_for(judge(better)) == "promote"
    (asked,) = [gate for gate in judge(replace(better, look=100)) if gate.name == "better than production"]
    assert (asked.outcome, "at look 100" in asked.note) == ("not shown", True)
    assert word_for(judge(replace(better, trials=10_000))) == "equivalent"


WRONG: dict[str, tuple[Callable[[Case], Case], str]] = {
    "off on every wine": (lambda case: blurred(case, case.test[TARGET] > 0, 0.5), "not worse than production"),
    "worse than what stood once": (lambda case: blurred(case, case.test[TARGET] > 0, 0.5), "not worse than v3"),
    "off on red wines": (lambda case: blurred(case, case.test[SEGMENT] == "red", 0.9), "not worse on red wines"),
    "worse on white wines than what stood once": (
        lambda case: blurred(case, case.test[SEGMENT] == "white", 0.5),
        "not worse on white wines than v3",
    ),
    "off on one grade": (lambda case: blurred(case, case.test[TARGET] == 7, 1.2), "not worse on grade 7"),
    "a constant": (lambda case: blurred(case, case.test[TARGET] > 0, 9), "better than mean"),
    "intervals that miss": (lambda case: blurred(case, case.test[SEGMENT] == "red", 1.5), "coverage of red wines"),
    "intervals too wide": (lambda case: gained(case, 1), "coverage of white wines"),
    "another level": (bound("level", 0.5), "half widths differ by"),
    "of another recipe": (of_another_seed, "differs from its refit by"),
    "of another dataset": (lambda case: replace(case, untraced="elsewhere"), "made from the dataset of its record"),
    "many times production's size": (bound("times_larger", 0.5), "size of the exported model"),
    "many times production's time": (bound("times_slower", 0.01), "time for one wine"),
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
    assert judge(spoil(fair))[0].outcome in ("fails", "hold")


HELD: dict[str, Callable[[Case], Case]] = {
    "too few wines": lambda case: replace(case, unseen=np.arange(len(case.test)) < 299),
    "no wine at all": lambda case: replace(case, unseen=np.full(len(case.test), False)),
    "another split": lambda case: replace(case, incomparable="production was trained on another split"),
    "too good for its recipe": lambda case: gained(of_other_packages(case), 0.2),
    "too good, and no recipe": lambda case: gained(of_no_recipe(case), 0.2),
    "no recipe, and nobody to compare with": lambda case: replace(of_no_recipe(case), rival="ridge"),
}


@pytest.mark.parametrize("case", HELD.values(), ids=list(HELD))
def test_what_the_figures_cannot_decide_is_held(fair: Case, case: Callable[[Case], Case]) -> None:
    """A person decides, and is told why."""
    gates = judge(case(fair))
    assert word_for(gates) == "hold"
    assert gates[0].note


@pytest.mark.parametrize("case", [of_other_packages, of_no_recipe])
def test_what_cannot_be_fitted_again_exactly_may_be_fair(fair: Case, case: Callable[[Case], Case]) -> None:
    """Other packages, or a bundle of 1.0: it is compared otherwise, and nobody is held for that alone."""
    assert failing(case(fair)) == []


def test_looks_are_distinct_pairs_on_one_split() -> None:
    """The same pair again is no new look; added wines do not start anew, another split does; all share 5 %."""
    one, grown = (Dataset(version=name, digest=name, split_seed=0) for name in ("v0", "v1"))
    other = Dataset(version="v2", digest="v2", split_seed=1)
    earlier = [
        Verdict(verdict="decline", promoted=False, reasons=(), gates=(), dataset=on, candidate=model(c), production=p)
        for on, c, p in (
            (one, "v0", None),
            (one, "v1", model("v0")),
            (grown, "v2", model("v0")),
            (one, "v1", model("v0")),
        )
    ]
    assert look_at(earlier, "v1", "v0", grown) == 1
    assert look_at(earlier, "v3", "v0", grown) == 3
    assert look_at(earlier, "v3", "v0", other) == 1
    assert sum(alpha_of(look) for look in range(1, 1000)) < 0.05
    assert alpha_of(2, trials=4) == alpha_of(2) / 4


def model(name: str) -> Judged:
    """A version that was judged."""
    return Judged(version=name)


def test_gates_cite_what_was_simulated(fair: Case) -> None:
    """Counts that lie beside them, in words: never figures typed by hand."""
    counts = json.loads((ROOT / "notebooks" / "gates.json").read_text())
    assert counts == SIMULATED
    stopped = counts["not worse"]["fair candidates stopped"]
    (gate,) = [gate for gate in judge(fair) if gate.name == "not worse than production"]
    assert f"{stopped['found']} of {stopped['of']} fair candidates stopped" in gate.why


def test_every_gate_says_why_its_bound_is_where_it_is(fair: Case) -> None:
    """A sentence of its own, not the figures again; and what is a figure has a bound and a direction."""
    for gate in judge(fair):
        assert len(gate.why.split()) > 5
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
