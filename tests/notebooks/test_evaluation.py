"""04_evaluation: a fair candidate passes, and one that was tampered with or has seen the test wines does not."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from gates import DECIDING, SIMULATED
from onnx import helper, numpy_helper
from sklearn.base import clone
from sklearn.preprocessing import FunctionTransformer

from tests.cells import Cells, environment
from wine_serving import bundle
from wine_serving.errors import VersionNotFound
from wine_serving.promotion import by_verdict
from wine_serving.registry import DATASET, EVALUATION, MODEL, PRODUCTION
from wine_serving.registry.folder import FolderRegistry
from wine_serving.schema import INPUTS, SEGMENT, SEGMENTS, TARGET, encode_columns
from wine_serving.verdict import Verdict

FOREST = {
    "n_estimators": 15,
    "min_samples_leaf": 10,
}  # small enough to be quick, and clearly better than a straight line
REFIT = "differs from its refit by"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> FolderRegistry:
    """A registry with the dataset that 01_data makes and a fair model in production."""
    folder = FolderRegistry(tmp_path_factory.mktemp("judged") / "registry")
    with environment(folder.root):
        Cells("01_data").run()
        version = trained(0).run()["record"].version
        folder.move_alias(MODEL, PRODUCTION, version, reason="to compare with", by="a test")
    return folder


@pytest.fixture(scope="module")
def before_fit(registry: FolderRegistry) -> dict[str, Any]:
    """What a training knows when all that is left is to fit: what is tampered with starts from there."""
    with environment(registry.root):
        cells = Cells("03_training", seed=2, **FOREST).run(before="fit")
        return dict(cells.names)


@pytest.fixture(scope="module")
def fair(registry: FolderRegistry) -> str:
    """A candidate that differs from production by its seed."""
    with environment(registry.root):
        ref: str = trained(2).run()["record"].ref
    return ref


@pytest.fixture
def own(registry: FolderRegistry, fair: str, tmp_path: Path) -> Iterator[FolderRegistry]:  # noqa: ARG001 - it is in it
    """A copy that a test may change."""
    copy = FolderRegistry(shutil.copytree(registry.root, tmp_path / "registry"))
    with environment(copy.root):
        yield copy


@pytest.fixture(autouse=True)
def in_that_registry(registry: FolderRegistry) -> Iterator[None]:
    """What notebooks of a test use."""
    with environment(registry.root):
        yield


def trained(seed: int, dataset: str = f"{DATASET}:v0", **given: Any) -> Cells:
    """03_training up to where it packs a bundle, with few trees."""
    options = FOREST | {"seed": seed, "dataset": dataset} | given
    return Cells("03_training", **options).run(before="bundle")


def tampered(before_fit: dict[str, Any], tamper: Callable[[Cells], None]) -> Cells:
    """03_training up to where it packs a bundle, but for what `tamper` changes before the fit."""
    cells = Cells("03_training").skip(to="fit")
    cells.names.update(before_fit | {"model": clone(before_fit["model"])})
    tamper(cells)
    return cells.run(before="importance").skip(to="residuals").run(before="bundle")  # a picture that nobody looks at


def published(cells: Cells, registry: FolderRegistry, directory: Path, *, cover: bool = False) -> str:
    """Publish what a training made, past its last checks; `cover` makes the golden wines fit the bundle."""
    directory.mkdir()
    onnx.save(cells["exported"], directory / bundle.MODEL_FILE)
    (directory / bundle.METADATA_FILE).write_text(cells["metadata"].model_dump_json())
    (directory / bundle.REFERENCE_FILE).write_text(cells["reference"].model_dump_json())
    (directory / bundle.OUT_OF_FOLD_FILE).write_text(cells["out_of_fold"].model_dump_json())
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


def edited(
    candidate: str,
    registry: FolderRegistry,
    directory: Path,
    change: Callable[[Path], None] = lambda _: None,
    **record: Any,
) -> str:
    """A version beside `candidate`, with what `change` does to its files, or with something else in its record."""
    shutil.copytree(registry.fetch(candidate), directory)
    change(directory)
    (directory / "CHANGED").write_text(directory.name)
    return registry.publish(
        directory, MODEL, kind="model", **{"inputs": registry.record(candidate).inputs} | record
    ).ref


def in_metadata(**update: Any) -> Callable[[Path], None]:
    """Another text in the metadata."""

    def change(directory: Path) -> None:
        path = directory / bundle.METADATA_FILE
        path.write_text(json.dumps(json.loads(path.read_text()) | update))

    return change


def judged(candidate: str, **parameters: Any) -> Cells:
    """04_evaluation with its verdict, neither drawn nor carried out."""
    options = {"candidate": candidate, "n_resamples": 100} | parameters
    return Cells("04_evaluation", **options).run(before="headline")


def failed(cells: Cells) -> list[str]:
    """The gates that do not hold; whether a gain is shown is another matter."""
    return [gate.name for gate in cells["gates"] if gate.outcome in ("fails", "hold")]


def fit_on(cells: Cells, wines: pd.DataFrame) -> None:
    """Let the estimator learn from other wines than its record says."""
    cells.names["learnt"] = wines.reset_index(drop=True)
    cells.change("fit", "model.fit(train, y)", f"model.fit(learnt, learnt[{TARGET!r}])")


def learn_test_wines(cells: Cells) -> None:
    """Fit on the test wines, too."""
    fit_on(cells, pd.concat([cells["train"], pd.read_parquet(cells["folder"] / "test.parquet")]))


def learn_one_test_wine(cells: Cells) -> None:
    """A single one, which no figure can show."""
    fit_on(cells, pd.concat([cells["train"], pd.read_parquet(cells["folder"] / "test.parquet")[:1]]))


def learn_a_fifth_of_the_test_wines(cells: Cells) -> None:
    """So few that the figures stay plausible."""
    fit_on(cells, pd.concat([cells["train"], pd.read_parquet(cells["folder"] / "test.parquet")[::5]]))


def forget_reds(cells: Cells) -> None:
    """Hardly a red wine is learnt from: on reds alone, some hundredths of a point are lost."""
    train = cells["train"]
    fit_on(cells, train[(train[SEGMENT] == "white") | (np.arange(len(train)) % 10 == 0)])


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
        (learn_test_wines, REFIT),
        (learn_one_test_wine, REFIT),
        (forget_reds, "not worse on red wines"),
        (shuffle_labels, "better than ridge"),
        (say_one_thing, "better than mean"),
        (swap_colours, "golden wines|knows colours"),
        (reorder, "golden wines|better than ridge"),
        (confuse_reds, "not worse on red wines"),
        (coarsen, "not worse than production"),
    ],
)
def test_tampered_candidate_is_declined(
    registry: FolderRegistry, before_fit: dict[str, Any], tmp_path: Path, tamper: Callable[[Cells], None], gate: str
) -> None:
    """Whether or not its golden wines were made to fit."""
    candidate = tampered(before_fit, tamper)
    for cover in (False, True):
        cells = judged(published(candidate, registry, tmp_path / f"covered {cover}", cover=cover))
        assert cells["verdict"] == "decline"
        assert any(each in "; ".join(failed(cells)) for each in gate.split("|"))
        if tamper is learn_one_test_wine:
            assert failed(cells) == [REFIT], "nothing else shows it"


def test_honest_calibration_at_another_level_is_declined(registry: FolderRegistry, fair: str, tmp_path: Path) -> None:
    """Every visitor is promised nine in ten: a model that calls half of that its level keeps its own promise only."""
    calibration = bundle.Bundle.load(registry.fetch(fair)).metadata.calibration
    half = {color: float(np.median(np.abs(each))) for color, each in calibration.residuals.items()}
    honest = calibration.model_copy(update={"level": 0.5, "half_width": half}).model_dump()
    cells = judged(edited(fair, registry, tmp_path / "level", in_metadata(calibration=honest)))
    assert cells["verdict"] == "decline"
    assert failed(cells) == ["half widths differ by", "coverage of red wines", "coverage of white wines"]


@pytest.mark.parametrize("missing", [{"inputs": []}, {"inputs": [f"{DATASET}:v9"]}], ids=["no inputs", "gone"])
def test_record_that_leads_to_no_dataset_is_declined(
    own: FolderRegistry, fair: str, tmp_path: Path, missing: Any
) -> None:
    """With a sentence, and to the end of the notebook."""
    candidate = edited(fair, own, tmp_path / "untraced", **missing)
    done = Cells("04_evaluation", candidate=candidate, n_resamples=100, reports=str(tmp_path / "reports")).run()
    assert done["verdict"] == "decline"
    assert "dataset" in done["reasons"][0]


def test_without_any_dataset_nothing_can_be_judged(own: FolderRegistry, fair: str) -> None:
    """No verdict is made up: the sentence says what makes one possible."""
    shutil.rmtree(own.root / DATASET)
    with pytest.raises(VersionNotFound, match=f"no dataset to judge {fair} on: make data, then make train"):
        judged(fair)


def test_bundle_of_another_dataset_is_declined(registry: FolderRegistry, fair: str, tmp_path: Path) -> None:
    """Its own word for where it comes from counts, and must be that of its record."""
    foreign = in_metadata(dataset={"name": DATASET, "digest": "1" * 64})
    cells = judged(edited(fair, registry, tmp_path / "foreign", foreign))
    assert cells["verdict"] == "decline"
    assert "made from dataset 111111111111" in cells["reasons"][0]


def stuff(directory: Path) -> None:
    """Forty matrix products more that change no score by more than rounding does."""
    path = directory / bundle.MODEL_FILE
    model = onnx.load(path)
    wider = np.eye(len(INPUTS), 2000, dtype=np.float32)  # and back
    model.graph.initializer.extend(numpy_helper.from_array(each, name) for each, name in ((wider, "0"), (wider.T, "1")))
    names = ["features", *(f"product{number}" for number in range(40))]
    for node in model.graph.node:
        node.input[:] = [names[-1] if name == "features" else name for name in node.input]
    products = [
        helper.make_node("MatMul", [one, str(number % 2)], [following])
        for number, (one, following) in enumerate(pairwise(names))
    ]
    nodes = [*products, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, path)


def test_what_costs_many_times_as_much_is_declined(registry: FolderRegistry, fair: str, tmp_path: Path) -> None:
    """However far below the budget it stays."""
    assert failed(judged(edited(fair, registry, tmp_path / "stuffed", stuff))) == ["time for one wine"]
    assert failed(judged(fair, times_larger=0.9)) == ["size of the exported model"]


def test_budgets_are_kept(fair: str) -> None:
    """A model too large or too slow for where it has to run is declined for just that."""
    assert failed(judged(fair, max_megabytes=0.01)) == ["size of the exported model"]
    assert failed(judged(fair, max_milliseconds=1e-6)) == ["time for one wine"]


def test_equal_candidate_is_equivalent(fair: str) -> None:
    """Production stays, whether or not this run may move it, unless a person wants the candidate."""
    cells = judged(fair, promote="always")
    assert (cells["verdict"], cells["moves"], failed(cells)) == ("equivalent", False, [])
    assert "4257 wines: test wines and out-of-fold predictions" in cells["reasons"][0]
    wanted = judged(fair, promote="always", promote_equivalent=True)
    assert (wanted["verdict"], wanted["moves"]) == ("promote", True)
    assert wanted["reasons"][0].startswith("a person wants it")


@pytest.mark.parametrize(
    ("gate", "what", "least", "most"),
    [
        ("all of these together", "fair candidates stopped", 0, 0.05),
        ("another seed", "fair candidates stopped", 0, 0.02),
        ("another seed", "with 10% of the test wines leaked found", 0.9, 1),
        ("better", "equal seeds promoted at look 1", 0, 0.05),
        ("better", "gains of .* shown at look 1", 0.9, 1),
        ("looks", "sequences of 50 with a false promotion, shared out", 0, 0.05),
    ],
)
def test_gates_err_as_seldom_as_is_promised(gate: str, what: str, least: float, most: float) -> None:
    """What was simulated speaks against none of it, two standard errors allowed."""
    (counted,) = [each for name, each in SIMULATED[gate].items() if re.fullmatch(what, name)]
    share, reach = counted["found"] / counted["of"], 2 * counted["error"]
    assert least - reach <= share <= most + reach


def test_profile_for_pull_requests_leaves_production_alone(fair: str) -> None:
    """`promote: first` moves nothing where something stands, and says so."""
    cells = judged(fair, promote="first", promote_equivalent=True)
    assert (cells["verdict"], cells["moves"]) == ("promote", False)
    assert "production is left where it is" in cells["reasons"][-1]


def without_production(registry: FolderRegistry) -> None:
    """As before the first promotion."""
    path = registry.root / MODEL / "aliases.json"
    aliases = json.loads(path.read_text())
    path.write_text(json.dumps({name: each for name, each in aliases.items() if name != PRODUCTION}))


def test_first_promotion_is_against_what_costs_nothing(own: FolderRegistry, fair: str, tmp_path: Path) -> None:
    """Where nothing stands, the mean and a straight line are the rivals; what its folds said is fitted again."""
    without_production(own)
    cells = judged(fair, promote="first")
    assert (cells["verdict"], cells["moves"], cells["rival"]) == ("promote", True, "ridge")
    assert "out-of-fold refits differ by" in [gate.name for gate in cells["gates"]]
    unknown = edited(fair, own, tmp_path / "unknown", in_metadata(recipe=None, parameters={}))
    assert judged(unknown)["verdict"] == "hold"


def test_gain_that_is_shown_promotes_and_one_that_is_made_up_does_not(
    own: FolderRegistry, fair: str, tmp_path: Path
) -> None:
    """Against a smaller model; the folds that tip the scale are fitted again."""
    small = trained(3, n_estimators=5, min_samples_leaf=3).run()["record"].version
    standing = own.aliases(MODEL)[PRODUCTION]
    own.move_alias(MODEL, PRODUCTION, small, reason="worse", by="a test")
    cells = judged(fair, promote="always")
    assert (cells["verdict"], cells["moves"]) == ("promote", True)
    assert "better than production" in cells["reasons"][1]
    own.move_alias(MODEL, PRODUCTION, standing, reason="back", by="a test")
    lying = judged(edited(fair, own, tmp_path / "lying", know_the_grades))
    assert (lying["verdict"], failed(lying)) == ("decline", ["out-of-fold refits differ by"])


def know_the_grades(directory: Path) -> None:
    """Predictions out of fold that nobody made."""
    path = directory / bundle.OUT_OF_FOLD_FILE
    kept = json.loads(path.read_text())
    train = pd.read_parquet(directory.parent / "registry" / DATASET / "v0" / "train.parquet")
    path.write_text(json.dumps(kept | {"quality": (0.9 * np.array(kept["quality"]) + 0.1 * train[TARGET]).tolist()}))


def test_looks_and_trials_are_counted(own: FolderRegistry, fair: str, tmp_path: Path) -> None:
    """Every pair that was judged on this split, by hand or not, makes the next gain harder to show."""
    reports = str(tmp_path / "reports")
    Cells("04_evaluation", candidate=fair, n_resamples=100, reports=reports).run()
    found = edited(fair, own, tmp_path / "found", metadata={"search": {"trials": 20}})
    for candidate, look, trials in ((fair, 1, 1), (found, 2, 20)):
        cells = judged(candidate)
        assert (cells["look"], cells["trials"]) == (look, trials)
    assert "at look 2 after 20 trials, one-sided at 0.00042" in cells["reasons"][0]


def of_other_versions(directory: Path) -> None:
    """Packages of another year."""
    in_metadata(packages=dict.fromkeys(DECIDING, "0.1"))(directory)


def test_where_packages_differ_a_twin_of_another_seed_judges(
    registry: FolderRegistry, fair: str, before_fit: dict[str, Any], tmp_path: Path
) -> None:
    """Who is fair passes, as it still repeats itself or is as good as its twin; who has seen test wines is held."""
    assert judged(edited(fair, registry, tmp_path / "older", of_other_versions))["verdict"] == "equivalent"
    leaked = published(tampered(before_fit, learn_a_fifth_of_the_test_wines), registry, tmp_path / "leaked")
    cells = judged(edited(leaked, registry, tmp_path / "leaked older", of_other_versions))
    assert cells["verdict"] == "hold"
    assert failed(cells) == ["no better than its recipe, fitted by another seed"]
    assert "make promote" in cells["reasons"][-1]


def test_models_of_different_splits_are_a_case_for_a_person(own: FolderRegistry, tmp_path: Path) -> None:
    """Whole groups with a wine, or a near-duplicate, that production has seen are left out, and too few remain."""
    other = Cells("01_data", split_seed=7).run()["record"]
    candidate = published(trained(2, dataset=other.ref), own, tmp_path / "bundle")
    cells = judged(candidate)
    seen = cells["met"]["production"][2]
    compared = cells["test"][cells["unseen"]]
    assert 0 < len(compared) < len(cells["test"])
    assert not set(compared[list(INPUTS)].itertuples(index=False)) & set(seen[list(INPUTS)].itertuples(index=False))
    assert (cells["verdict"], failed(cells)) == ("hold", ["wines seen by neither model"])
    assert "another split" in cells["reasons"][0]
    assert f"make promote VERSION={candidate.partition(':')[2]}" in cells["reasons"][0]


def test_too_few_wines_are_held(fair: str) -> None:
    """Fewer than are asked for decide nothing."""
    cells = judged(fair, min_wines=10_000)
    assert (cells["verdict"], failed(cells)) == ("hold", ["wines seen by neither model"])


def test_no_wine_to_compare_on_is_held_to_the_end(own: FolderRegistry, fair: str, tmp_path: Path) -> None:
    """Production has learnt from every test wine."""
    wines = tmp_path / "wines"
    shutil.copytree(own.fetch(f"{DATASET}:v0"), wines)
    pd.read_parquet(wines / "test.parquet").to_parquet(wines / "calibration.parquet")
    inputs = [own.publish(wines, DATASET, kind="dataset").ref]
    knowing = edited(fair, own, tmp_path / "knowing", inputs=inputs).partition(":")[2]
    own.move_alias(MODEL, PRODUCTION, knowing, reason="to compare with", by="a test")
    done = Cells("04_evaluation", candidate=fair, n_resamples=100, reports=str(tmp_path / "reports")).run()
    assert (done["unseen"].sum(), done["verdict"]) == (0, "hold")
    assert Verdict.read((tmp_path / "reports" / "verdict.json").read_bytes()).production


def test_candidate_that_cannot_be_loaded_is_declined(registry: FolderRegistry, tmp_path: Path) -> None:
    """To the end of the notebook, with a report and a verdict as data."""
    cells = trained(2)
    cells.names["metadata"] = cells["metadata"].model_copy(update={"inputs": ["alcohol"]})
    broken = published(cells, registry, tmp_path / "bundle")
    done = Cells("04_evaluation", candidate=broken, n_resamples=200, reports=str(tmp_path / "reports")).run()
    assert done["verdict"] == "decline"
    assert "another feature contract" in done["reasons"][0]
    assert (tmp_path / "reports" / "verdict.json").is_file()


def test_run_by_hand_is_carried_out_as_make_does_it(own: FolderRegistry, fair: str, tmp_path: Path) -> None:
    """Cell by cell, with `promote` set: the evaluation is published and attached, and the alias moves last."""
    options = {"promote": "always", "promote_equivalent": True, "n_resamples": 100}
    Cells("04_evaluation", candidate=fair, **options, reports=str(tmp_path / "reports")).run()
    version = fair.partition(":")[2]
    evaluation = own.records(EVALUATION)[-1]
    assert evaluation.metadata["candidate"]["version"] == version
    assert own.record(fair).evaluation == evaluation.metadata | {"report": evaluation.ref, "promoted": True}
    assert own.aliases(MODEL)[PRODUCTION] == version
    assert f"{EVALUATION}:" in own.used_by(fair)[0]


def test_one_verdict_is_one_published_evaluation(own: FolderRegistry, fair: str, tmp_path: Path) -> None:
    """The cell that carries it out may be run again."""
    options = {"candidate": fair, "promote": "always", "promote_equivalent": True}
    cells = Cells("04_evaluation", **options, n_resamples=100, reports=str(tmp_path / "reports")).run()
    published_so_far = len(own.records(EVALUATION))
    again = by_verdict(own, cells["judgement"], move=True)
    assert again == cells["judgement"]
    assert len(own.records(EVALUATION)) == published_so_far


def test_verdict_is_data_about_each_slice(
    own: FolderRegistry, fair: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What readers of verdict.json find: slices with their wines, differences, coverage, parameters, and no secret."""
    reports = str(tmp_path / "reports")
    monkeypatch.setenv("DEPLOY_TOKEN", reports)
    Cells("04_evaluation", candidate=fair, n_resamples=200, reports=reports).run()
    verdict = Verdict.read((tmp_path / "reports" / "verdict.json").read_bytes())
    assert verdict.difference
    assert verdict.difference.other == "production"
    assert set(verdict.difference.slices) == set(verdict.slices) >= {"all wines", "red wines", "white wines", "grade 6"}
    wines = {name: row["wines"] for name, row in verdict.slices.items()}
    assert sum(int(str(wines[f"{color} wines"])) for color in SEGMENTS) == wines["all wines"]
    assert set(verdict.coverage) == set(SEGMENTS)
    assert verdict.parameters["n_resamples"] == 200
    published = own.records(EVALUATION)[-1]
    assert verdict.parameters["reports"] == published.metadata["parameters"]["reports"] == "[redacted]"
    assert reports not in (own.fetch(published.ref) / "verdict.json").read_text()
    assert {"margin", "color_margin", "rare_color_margin", "min_wines", "seed"} <= set(verdict.parameters)


def test_many_small_steps_down_do_not_add_up(
    own: FolderRegistry, fair: str, before_fit: dict[str, Any], tmp_path: Path
) -> None:
    """The margins hold against the best version that was ever promoted on this split, too, also for each colour."""
    best = published(tampered(before_fit, learn_test_wines), own, tmp_path / "best").partition(":")[2]
    standing = own.aliases(MODEL)[PRODUCTION]
    own.move_alias(MODEL, PRODUCTION, best, reason="for a while", by="a test")
    own.move_alias(MODEL, PRODUCTION, standing, reason="back again", by="a test")
    cells = judged(fair)
    parts = ("", " on red wines", " on white wines")
    assert failed(cells) == [f"not worse{part} than {best}, best so far" for part in parts]


def test_version_that_was_deleted_stops_no_evaluation(own: FolderRegistry, fair: str, tmp_path: Path) -> None:
    """Also one that stood in production for a while: it is no longer the best that ever stood."""
    standing = own.record(f"{MODEL}:{PRODUCTION}")
    gone = edited(standing.ref, own, tmp_path / "gone").partition(":")[2]
    own.move_alias(MODEL, PRODUCTION, gone, reason="for a while", by="a test")
    own.move_alias(MODEL, PRODUCTION, standing.version, reason="back again", by="a test")
    shutil.rmtree(own.root / MODEL / gone)
    (own.root / MODEL / f"{gone}.json").unlink()
    cells = judged(fair)
    assert failed(cells) == []
    assert cells["verdict"] in ("promote", "equivalent")
