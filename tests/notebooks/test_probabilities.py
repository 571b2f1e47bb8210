"""The probabilities of grades are judged as what is served, against who knows a wine's colour only."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import probabilities
import pytest
from case import FEW, HIGH, LOW, Case
from resampling import Bootstrap
from splits import grade_of

from tests import frozen
from wine_serving.assessing import GRADES
from wine_serving.bundle import Bundle
from wine_serving.registry.folder import FolderRegistry
from wine_serving.schema import SEGMENT, TARGET, encode_columns
from wine_serving.verdict import METRIC_NAMES


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A model of a registry that is kept, on its own test wines."""
    folder = FolderRegistry(frozen.unpack_registry(tmp_path_factory.mktemp("kept"))).root
    data, bundle = folder / "wine-quality-data" / "v0", Bundle.load(folder / "wine-quality" / "v0")
    splits = {name: pd.read_parquet(data / f"{name}.parquet") for name in ("train", "calibration", "test")}
    test = splits["test"]
    nothing: dict[str, Any] = dict.fromkeys(("defect", "untraced", "incomparable"), "")
    return Case(
        **nothing,
        bundles={"candidate": bundle},
        splits=splits,
        unseen=np.full(len(test), True),
        predictions={"candidate": bundle.predict(encode_columns(test)).astype(float), "mean": np.full(len(test), 5.8)},
        resamples=Bootstrap(test["group"], 200, 0),
        rival="ridge",
        best=None,
        out_of_fold=None,
        look=1,
        trials=1,
        bounds={},
    )


def test_coverage_is_told_for_wines_by_their_score(case: Case) -> None:
    """As whoever reads a score can use it, not by the grade that nobody knows yet; every figure has a name."""
    trust, score, actual = case.trust("candidate"), case.predictions["candidate"], case.test[TARGET].to_numpy()
    reach = case.test[SEGMENT].map(case.candidate.metadata.calibration.half_width)
    inside = np.abs(actual - score) <= reach
    assert trust["coverage_scored_high"].value == pytest.approx(inside[score >= HIGH].mean())
    assert trust["coverage_scored_low"].value == pytest.approx(inside[score < LOW].mean())
    assert trust["great_scored_below_7"].value == pytest.approx((score[actual >= 8] < 7).mean())
    assert {*trust} < {*METRIC_NAMES}
    assert all(each.low <= each.value <= each.high for each in trust.values())


def test_of_few_wines_nothing_is_told(case: Case) -> None:
    """A band of fewer than 20 is no evidence; who gives no interval has none to cover."""
    flat = dict(case.predictions) | {"candidate": np.where(np.arange(len(case.test)) < FEW - 1, 7.0, 5.5)}
    few = replace(case, predictions=flat)
    assert not {"coverage_scored_high", "coverage_scored_low"} & {*few.trust("candidate")}
    assert case.trust("mean") == {}


def test_who_knows_the_colour_only_is_beaten_by_a_model_and_not_by_itself(case: Case) -> None:
    """The score is proper: the true frequencies beat any others on the wines that they were counted on."""
    trust, test = case.trust("candidate"), case.test
    assert trust["rps_skill"].low > 0.1
    assert trust["rps_skill"].value == pytest.approx(1 - trust["rps"].value / trust["rps_climatology"].value)
    often = probabilities.climatology(test, test)
    flat = np.full_like(often, 1 / len(GRADES))
    honest, sharper = (
        probabilities.ranked_probability_scores(each, test[TARGET]).mean()
        for each in (often, often**2 / (often**2).sum(1)[:, None])
    )
    assert honest < sharper < probabilities.ranked_probability_scores(flat, test[TARGET]).mean()


def test_what_is_called_probable_is_held_against_what_came_true(case: Case) -> None:
    """Every wine is in one group; who always says the frequency is right in one group."""
    said = probabilities.of_wines(case.candidate, case.test)
    for event in probabilities.EVENTS.values():
        groups = probabilities.reliability(said, case.test[TARGET], event)
        assert np.sum([each.wines for each in groups], axis=0).tolist() == [1] * len(case.test)
        assert [each.probability for each in groups] == sorted(each.probability for each in groups)
    (one,) = probabilities.reliability(np.tile(np.eye(len(GRADES))[GRADES.index(7)], (3, 1)), [7, 6, 8], range(7, 11))
    assert (one.probability, one.came_true.tolist()) == (1.0, [True, False, True])
    assert grade_of([6.5]) in probabilities.EVENTS["7 or better"]
