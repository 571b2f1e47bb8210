"""04_evaluation: a fair candidate passes, and one that was tampered with or has seen the test wines does not."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from sklearn.preprocessing import FunctionTransformer

from tests.cells import Cells, environment
from wine_serving import bundle
from wine_serving.promotion import by_verdict
from wine_serving.registry import DATASET, EVALUATION, MODEL, PRODUCTION
from wine_serving.registry.folder import FolderRegistry
from wine_serving.schema import INPUTS, SEGMENT, SEGMENTS, TARGET, encode_columns
from wine_serving.verdict import Verdict

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
    """03_training up to where it packs a bundle, with few folds and trees; `tamper` may change what is fitted."""
    cells = Cells("03_training", seed=seed, n_folds=2, n_estimators=40, dataset=dataset).run(before="fit")
    if tamper:
        tamper(cells)
    return cells.run(before="bundle")


def published(cells: Cells, registry: FolderRegistry, directory: Path, *, cover: bool = False) -> str:
    """Publish what a training made, past its last checks; `cover` makes the golden wines fit the bundle."""
    directory.mkdir()
    onnx.save(cells["exported"], directory / bundle.MODEL_FILE)
    (directory / bundle.METADATA_FILE).write_text(cells["metadata"].model_dump_json())
    (directory / bundle.REFERENCE_FILE).write_text(cells["reference"].model_dump_json())
    (directory / bundle.CARD_FILE).write_text(cells["card"])
    (directory / bundle.DATASET_CARD_FILE).write_text("# Wines\n")
    if cover:
        loaded, golden = bundle.Bundle.load(directory), cells["reference"].golden
        scores = loaded.predict(encode_columns(pd.DataFrame([each.wine for each in golden])))
        told = [each.model_copy(update={"quality": float(score)}) for each, score in zip(golden, scores, strict=True)]
        lie = cells["reference"].model_copy(update={"golden": told})
        (directory / bundle.REFERENCE_FILE).write_text(lie.model_dump_json())
    inputs = [cells["data_record"].ref]
    return registry.publish(directory, MODEL, kind="model", inputs=inputs).ref


def judged(candidate: str, **parameters: Any) -> Cells:
    """04_evaluation with its verdict, neither drawn nor carried out."""
    options = {"candidate": candidate, "n_resamples": 500} | parameters
    return Cells("04_evaluation", **options).run(before="headline")


def failed(cells: Cells) -> list[str]:
    """The gates that do not hold."""
    return [gate.name for gate in cells["gates"] if gate.outcome != "holds"]


def learn_test_wines(cells: Cells) -> None:
    """Fit on the test wines, too."""
    test = pd.read_parquet(cells["folder"] / "test.parquet")
    cells.names["y"] = pd.concat([cells["y"], test[TARGET]], ignore_index=True)
    cells.names["train"] = pd.concat([cells["train"], test], ignore_index=True)


def shuffle_labels(cells: Cells) -> None:
    """Grades that have nothing to do with the wines."""
    cells.names["y"] = pd.Series(np.random.default_rng(0).permutation(cells["y"]))


def say_one_thing(cells: Cells) -> None:
    """A constant, as no leaf is large enough."""
    cells["model"][-1].set_params(min_samples_leaf=10_000)


def feed(cells: Cells, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """Let the estimator see other columns than the exported model will."""
    first = cells["model"].steps[0][0]
    cells["model"].set_params(**{first: FunctionTransformer(lambda table: change(cells["recipes"].columns(table)))})


def swap_colours(cells: Cells) -> None:
    """Red called white and the reverse."""
    feed(cells, lambda columns: columns.assign(**{SEGMENT: 1 - columns[SEGMENT]}))


def reorder(cells: Cells) -> None:
    """The measurements in another order than the contract's."""
    order = [*range(1, len(INPUTS)), 0]
    feed(cells, lambda columns: columns.iloc[:, order].set_axis(list(INPUTS), axis=1))


def confuse_reds(cells: Cells) -> None:
    """Good for white wines, useless for red ones."""
    white = cells["train"][SEGMENT] == "white"
    cells.names["y"] = cells["y"].where(white, np.random.default_rng(0).permutation(cells["y"]))


def coarsen(cells: Cells) -> None:
    """Honest, better than a straight line, and clearly worse than what stands."""
    cells["model"][-1].set_params(min_samples_leaf=100)


@pytest.mark.parametrize(
    ("tamper", "gate"),
    [
        (learn_test_wines, "no leakage"),
        (shuffle_labels, "better than ridge"),
        (say_one_thing, "better than mean"),
        (swap_colours, "golden wines|knows colours"),
        (reorder, "golden wines|better than ridge"),
        (confuse_reds, "not worse on red wines"),
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
        assert any(each in "; ".join(failed(cells)) for each in gate.split("|"))


def test_intervals_that_are_too_narrow_are_declined(registry: FolderRegistry, tmp_path: Path) -> None:
    """For each colour, by the law of what a correct interval may cover."""
    cells = trained(2)
    calibration = cells["metadata"].calibration
    half = {segment: width / 2 for segment, width in calibration.half_width.items()}
    narrow = calibration.model_copy(update={"half_width": half})
    cells.names["metadata"] = cells["metadata"].model_copy(update={"calibration": narrow})
    judgement = judged(published(cells, registry, tmp_path / "bundle"))
    assert judgement["verdict"] == "decline"
    assert failed(judgement) == ["coverage of red wines", "coverage of white wines"]


def test_budgets_are_kept(registry: FolderRegistry, tmp_path: Path) -> None:
    """A model too large or too slow for where it has to run is declined for just that."""
    candidate = published(trained(2), registry, tmp_path / "bundle")
    assert failed(judged(candidate, max_megabytes=0.01)) == ["size of the exported model"]
    assert failed(judged(candidate, max_milliseconds=1e-6)) == ["time for one wine"]


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
    done = Cells("04_evaluation", candidate=broken, n_resamples=200, reports=str(tmp_path / "reports")).run()
    assert done["verdict"] == "decline"
    assert "another feature contract" in done["reasons"][0]
    assert (tmp_path / "reports" / "verdict.json").is_file()


def test_run_by_hand_is_carried_out_as_make_does_it(registry: FolderRegistry, tmp_path: Path) -> None:
    """Cell by cell, with `promote` set: the evaluation is published and attached, and the alias moves last."""
    own = FolderRegistry(shutil.copytree(registry.root, tmp_path / "registry"))
    candidate = published(trained(2), own, tmp_path / "bundle")
    with environment(own.root):
        Cells(
            "04_evaluation", candidate=candidate, promote="always", n_resamples=500, reports=str(tmp_path / "reports")
        ).run()
    version = candidate.partition(":")[2]
    evaluation = own.records(EVALUATION)[-1]
    assert evaluation.metadata["candidate"]["version"] == version
    assert own.record(candidate).evaluation == evaluation.metadata | {"report": evaluation.ref}
    assert own.aliases(MODEL)[PRODUCTION] == version
    assert f"{EVALUATION}:" in own.used_by(candidate)[0]


def test_one_verdict_is_one_published_evaluation(registry: FolderRegistry, tmp_path: Path) -> None:
    """The cell that carries it out may be run again."""
    own = FolderRegistry(shutil.copytree(registry.root, tmp_path / "registry"))
    options = {"candidate": published(trained(2), own, tmp_path / "bundle"), "promote": "always"}
    with environment(own.root):
        cells = Cells("04_evaluation", **options, n_resamples=500, reports=str(tmp_path / "reports")).run()
        published_so_far = len(own.records(EVALUATION))
        again = by_verdict(own, cells["judgement"], move=True)
    assert again == cells["judgement"]
    assert len(own.records(EVALUATION)) == published_so_far


def test_verdict_is_data_about_each_slice(registry: FolderRegistry, tmp_path: Path) -> None:
    """What readers of verdict.json find: slices with their wines, differences, coverage, parameters."""
    candidate = published(trained(2), registry, tmp_path / "bundle")
    reports = str(tmp_path / "reports")
    Cells("04_evaluation", candidate=candidate, n_resamples=200, reports=reports).run()
    verdict = Verdict.read((tmp_path / "reports" / "verdict.json").read_bytes())
    assert verdict.difference
    assert verdict.difference.other == "production"
    assert set(verdict.difference.slices) == set(verdict.slices) >= {"all wines", "red wines", "white wines", "grade 6"}
    wines = {name: row["wines"] for name, row in verdict.slices.items()}
    assert sum(int(str(wines[f"{color} wines"])) for color in SEGMENTS) == wines["all wines"]
    assert set(verdict.coverage) == set(SEGMENTS)
    assert verdict.parameters["n_resamples"] == 200
    assert {"margin", "color_margin", "min_wines", "seed"} <= set(verdict.parameters)


def test_many_small_steps_down_do_not_add_up(registry: FolderRegistry, tmp_path: Path) -> None:
    """The margin holds against the best version that was ever promoted on this dataset, too."""
    best = published(trained(2, learn_test_wines), registry, tmp_path / "best").partition(":")[2]
    standing = registry.aliases(MODEL)[PRODUCTION]
    registry.move_alias(MODEL, PRODUCTION, best, reason="for a while", by="a test")
    registry.move_alias(MODEL, PRODUCTION, standing, reason="back again", by="a test")
    cells = judged(published(trained(3), registry, tmp_path / "bundle"))
    assert failed(cells) == [f"not worse than {best}, best so far"]
