"""04_evaluation: a fair candidate passes, and one that was tampered with or has seen the test wines does not."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest

from tests import tiny
from tests.cells import Cells, environment
from wine_serving.bundle import Bundle
from wine_serving.registry import DATASET, MODEL, PRODUCTION
from wine_serving.registry.folder import FolderRegistry
from wine_serving.schema import FEATURES, INPUTS, MEASUREMENTS, SEGMENT, SEGMENTS, TARGET

TRIES = 20


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> FolderRegistry:
    """A registry with the dataset that 01_data makes and a fair model in production."""
    folder = FolderRegistry(tmp_path_factory.mktemp("judged") / "registry")
    with environment(folder.root):
        Cells("01_data").run()
        version = trained(0).run()["record"].version
        folder.move_alias(MODEL, PRODUCTION, version, reason="to compare with", by="a test")
    return folder


@pytest.fixture(autouse=True)
def in_that_registry(registry: FolderRegistry) -> Iterator[None]:
    """What notebooks of a test use."""
    with environment(registry.root):
        yield


def trained(seed: int, tamper: Callable[[Cells], None] | None = None, dataset: str = f"{DATASET}:v0") -> Cells:
    """03_training up to its last cell, with few folds and trees and no figures; `tamper` may change what is fitted."""
    cells = Cells("03_training", seed=seed, n_folds=2, n_estimators=40, dataset=dataset)
    cells.run(before='title="RMSE of each fold"').skip(to="model = fit(model, X, y)\n")
    if tamper:
        tamper(cells)
    return cells.run(before="importance = ").skip(to="residuals, half_width").run(before="TemporaryDirectory()")


def published(cells: Cells, registry: FolderRegistry, directory: Path, *, cover: bool = False) -> str:
    """Publish what a training made, past the checks of its last cell; `cover` makes the golden wines fit the bundle."""
    directory.mkdir()
    onnx.save(cells["exported"], directory / "model.onnx")
    (directory / "metadata.json").write_text(cells["metadata"].model_dump_json())
    (directory / "reference.json").write_text(cells["reference"].model_dump_json())
    (directory / "MODEL_CARD.md").write_text(cells["card"])
    (directory / "DATASET_CARD.md").write_text("# Wines\n")
    if cover:
        bundle, golden = Bundle.load(directory), cells["reference"].golden
        scores = bundle.predict(tiny.encode_table(pd.DataFrame([each.wine for each in golden])))
        told = [each.model_copy(update={"quality": float(score)}) for each, score in zip(golden, scores, strict=True)]
        lie = cells["reference"].model_copy(update={"golden": told})
        (directory / "reference.json").write_text(lie.model_dump_json())
    inputs = [cells["data_record"].ref]
    return registry.publish(directory, MODEL, kind="model", inputs=inputs).ref


def judged(candidate: str, **parameters: Any) -> Cells:
    """04_evaluation up to its verdict."""
    options = {"candidate": candidate, "n_resamples": 500} | parameters
    return Cells("04_evaluation", **options).run(before="table = pd.DataFrame(gates)")


def failed(cells: Cells) -> str:
    """The gates that do not hold."""
    return "; ".join(gate["gate"] for gate in cells["gates"] if not gate["passed"])


def learn_test_wines(cells: Cells) -> None:
    """Fit on the test wines, too."""
    test = pd.read_parquet(cells["folder"] / "test.parquet")
    cells.names["X"] = pd.concat([cells["X"], cells["columns"](test)], ignore_index=True)
    cells.names["y"] = pd.concat([cells["y"], test[TARGET]], ignore_index=True)
    cells.names["train"] = pd.concat([cells["train"], test], ignore_index=True)


def shuffle_labels(cells: Cells) -> None:
    """Grades that have nothing to do with the wines."""
    cells.names["y"] = pd.Series(np.random.default_rng(0).permutation(cells["y"]))


def say_one_thing(cells: Cells) -> None:
    """A constant, for all wines but one."""
    cells.names["y"] = cells["y"].where(cells["y"].index == 0, 6)


def swap_colours(cells: Cells) -> None:
    """Red called white and the reverse."""
    cells.names["X"] = cells["X"].assign(**{SEGMENT: 1 - cells["X"][SEGMENT]})


def reorder(cells: Cells) -> None:
    """The measurements in another order than the contract's."""
    cells.names["X"] = cells["X"].iloc[:, [*range(1, len(INPUTS)), 0]].set_axis(list(INPUTS), axis=1)


def confuse_reds(cells: Cells) -> None:
    """Good for white wines, useless for red ones."""
    red = cells["X"][SEGMENT] == 0
    cells.names["y"] = cells["y"].where(~red, np.random.default_rng(0).permutation(cells["y"]))


def coarsen(cells: Cells) -> None:
    """Honest, better than a straight line, and clearly worse than what stands."""
    cells["model"].set_params(min_samples_leaf=100)


@pytest.mark.parametrize(
    ("tamper", "gate"),
    [
        (learn_test_wines, "no leakage: R²"),
        (shuffle_labels, "better than ridge"),
        (say_one_thing, "better than mean"),
        (swap_colours, "golden wines|knows colours"),
        (reorder, "golden wines|better than ridge"),
        (confuse_reds, "red wines"),
        (coarsen, "not worse than production"),
    ],
)
def test_tampered_candidate_is_declined(
    registry: FolderRegistry, tmp_path: Path, tamper: Callable[[Cells], None], gate: str
) -> None:
    """Whether or not its golden wines were made to fit."""
    candidate = trained(1, tamper)
    for cover in (False, True):
        cells = judged(published(candidate, registry, tmp_path / f"covered {cover}", cover=cover))
        assert cells["verdict"] == "decline"
        assert any(each in failed(cells) for each in gate.split("|"))


def test_intervals_that_are_too_narrow_are_declined(registry: FolderRegistry, tmp_path: Path) -> None:
    """For each colour, by the law of what a correct interval may cover."""
    cells = trained(2)
    calibration = cells["metadata"].calibration
    half = {segment: width / 2 for segment, width in calibration.half_width.items()}
    narrow = calibration.model_copy(update={"half_width": half})
    cells.names["metadata"] = cells["metadata"].model_copy(update={"calibration": narrow})
    judgement = judged(published(cells, registry, tmp_path / "bundle"))
    assert judgement["verdict"] == "decline"
    assert failed(judgement) == "coverage of red wines; coverage of white wines"


def test_budgets_are_kept(registry: FolderRegistry, tmp_path: Path) -> None:
    """A model too large or too slow for where it has to run is declined for just that."""
    candidate = published(trained(2), registry, tmp_path / "bundle")
    assert failed(judged(candidate, max_megabytes=0.01)) == "size of the exported model"
    assert failed(judged(candidate, max_milliseconds=1e-6)) == "time for one wine, ms"


@pytest.mark.timeout(900)
def test_fair_candidate_passes(registry: FolderRegistry, tmp_path: Path) -> None:
    """Refitted with other seeds, a model that stands against itself is promoted in at least 95 % of tries."""
    verdicts = [
        judged(published(trained(seed), registry, tmp_path / str(seed)))["verdict"] for seed in range(2, 2 + TRIES)
    ]
    assert verdicts.count("promote") >= 0.95 * TRIES


def test_profile_for_pull_requests_leaves_production_alone(registry: FolderRegistry, tmp_path: Path) -> None:
    """`promote: first` moves nothing where something stands, and says so."""
    cells = judged(published(trained(2), registry, tmp_path / "bundle"), promote="first")
    assert (cells["verdict"], cells["moves"]) == ("promote", False)
    assert "production is left where it is" in cells["reasons"][-1]


def test_models_of_different_splits_meet_on_wines_that_neither_was_trained_on(
    registry: FolderRegistry, tmp_path: Path
) -> None:
    """Whole groups with a wine, or a near-duplicate, that production has seen are left out."""
    other = Cells("01_data", seed=7).run()["record"]
    candidate = published(trained(2, dataset=other.ref), registry, tmp_path / "bundle")
    assert registry.record(candidate).inputs == (other.ref,)
    cells = judged(candidate)
    production = registry.fetch(cells["production_record"].inputs[0])
    seen = pd.concat([pd.read_parquet(production / f"{split}.parquet") for split in ("train", "calibration")])
    assert 0 < len(cells["test"]) < len(cells["splits"]["test"])
    assert not set(cells["test"][list(INPUTS)].itertuples(index=False)) & set(
        seen[list(INPUTS)].itertuples(index=False)
    )
    assert "not comparable" in judged(candidate, min_wines=10_000)["reasons"][0]


def test_candidate_that_cannot_be_loaded_is_declined(registry: FolderRegistry, tmp_path: Path) -> None:
    """To the end of the notebook, with a report and a verdict as data."""
    cells = trained(2)
    cells.names["metadata"] = cells["metadata"].model_copy(update={"inputs": ["alcohol"]})
    broken = published(cells, registry, tmp_path / "bundle")
    done = Cells("04_evaluation", candidate=broken, n_resamples=200, n_trees=2, reports=str(tmp_path / "reports")).run()
    assert done["verdict"] == "decline"
    assert "another feature contract" in done["reasons"][0]
    assert (tmp_path / "reports" / "verdict.json").is_file()


def test_many_small_steps_down_do_not_add_up(registry: FolderRegistry, tmp_path: Path) -> None:
    """The margin holds against the best version that was ever promoted on this dataset, too."""
    best = published(trained(2, learn_test_wines), registry, tmp_path / "best").partition(":")[2]
    standing = registry.aliases(MODEL)[PRODUCTION]
    registry.move_alias(MODEL, PRODUCTION, best, reason="for a while", by="a test")
    registry.move_alias(MODEL, PRODUCTION, standing, reason="back again", by="a test")
    cells = judged(published(trained(3), registry, tmp_path / "bundle"))
    assert f"not worse than {best}, best so far" in failed(cells)


@pytest.fixture(scope="module")
def whole(registry: FolderRegistry, tmp_path_factory: pytest.TempPathFactory) -> Cells:
    """The evaluation to its end, of a candidate whose dataset holds a cellar's strong wines beside UCI's."""
    place = tmp_path_factory.mktemp("whole")
    strong = tiny.made_up_wines(400).assign(alcohol=lambda wines: wines["alcohol"] + 3)
    strong[[*MEASUREMENTS, SEGMENT, TARGET]].to_csv(place / "cellar.csv", index=False)
    with environment(registry.root):
        dataset = Cells("01_data", extra_csv=str(place / "cellar.csv")).run()["record"]
        candidate = published(trained(2, dataset=dataset.ref), registry, place / "bundle")
        options = {"candidate": candidate, "n_resamples": 500, "n_trees": 5, "reports": str(place / "reports")}
        return Cells("04_evaluation", **options).run()


def test_drift_since_production_was_trained_is_measured(whole: Cells) -> None:
    """What the cellar's wines moved is beyond chance."""
    drift = whole["drift"]["Alcohol"]
    low = float(drift["shift of the mean (sd)"].split("(")[1].split(" to ")[0])
    assert low > 0
    assert float(drift["largest gap"]) > float(drift["by chance up to"])
    assert set(whole["drift"]) == {feature.label for feature in FEATURES} | {TARGET}


def test_model_behaves_as_experts_expect(whole: Cells) -> None:
    """Directions with their intervals, and what any service must keep."""
    assert {name: each["holds"] for name, each in whole["expectations"].items()} == {
        "more volatile acidity lowers the score": True,
        "more alcohol raises the score": True,
        "the order of rows changes nothing": True,
        "a batch equals its singles": True,
    }


def test_robustness_is_a_paired_difference(whole: Cells) -> None:
    """The more noise the worse; coarser groups change next to nothing, so ours leave no twins apart."""
    errors = [float(each["RMSE"].split()[0]) for each in whole["noise"].values()]
    assert errors[-1] > errors[0]
    coarser = whole["refitted"]["coarser groups"] - whole["refitted"]["groups as in this dataset"]
    assert abs(coarser[0]) < 0.02


def test_papers_protocol_owes_its_gain_to_copies(whole: Cells) -> None:
    """Rows with a copy among those fitted on are recognized; the others are no better than distinct wines."""
    for segment in SEGMENTS:
        accuracy = {
            kind: float(row["accuracy"].split()[0])
            for (of, kind), row in whole["comparison"].items()
            if of == segment and "paper" not in kind
        }
        assert accuracy["extra trees, – with a copy"] > 0.95
        assert abs(accuracy["extra trees, – without"] - accuracy["extra trees, distinct wines"]) < 0.05
