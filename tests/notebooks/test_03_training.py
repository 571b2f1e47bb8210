"""03_training: what may be changed in it, and what stays the same."""

import hashlib
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import recipes
import splits
from parameters import checked
from recipes import ESTIMATORS

from tests import tiny
from tests.cells import Cells, environment
from wine_serving.bundle import Bundle, OutOfFold
from wine_serving.errors import BundleError, VersionNotFound
from wine_serving.registry import DATASET, MODEL
from wine_serving.registry.folder import FolderRegistry
from wine_serving.schema import INPUTS, SEGMENT, TARGET, Wine, encode_columns
from wine_serving.settings import ROOT

NOTEBOOKS = ROOT / "notebooks"
QUICK = {"n_estimators": 10}


@pytest.fixture
def dataset(notebook_environment: None, folder: FolderRegistry, tmp_path: Path) -> FolderRegistry:  # noqa: ARG001
    """A registry with a small made-up dataset."""
    tiny.publish_dataset(folder, tmp_path / "wines")
    return folder


def train(**parameters: object) -> Cells:
    """The whole notebook."""
    return Cells("03_training", **(QUICK | parameters)).run()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Cells:
    """The whole notebook in a registry of its own with the same dataset, for all tests that only look at it."""
    place = tmp_path_factory.mktemp("trained")
    registry = FolderRegistry(place / "registry")
    tiny.publish_dataset(registry, place / "wines")
    with environment(registry.root):
        return train()


def test_interactive_run_leaves_candidate_where_it_is(dataset: FolderRegistry, trained: Cells) -> None:
    """A version is published, but the alias moves only when asked."""
    assert trained["registry"].aliases(MODEL) == {"latest": "v0"}
    train(publish_as="candidate")
    assert dataset.aliases(MODEL) == {"latest": "v0", "candidate": "v0"}


def test_same_training_gives_the_same_bytes(trained: Cells) -> None:
    """Nothing in a bundle varies between two runs."""
    with environment(trained["registry"].root):
        assert train()["record"].version == trained["record"].version == "v0"
    assert len(trained["registry"].records(MODEL)) == 1


def test_model_is_traced_to_its_dataset_and_back(trained: Cells) -> None:
    """Lineage both ways, by version."""
    assert trained["record"].inputs == (f"{DATASET}:v0",)
    assert trained["registry"].used_by(f"{DATASET}:latest") == [f"{MODEL}:v0"]


@pytest.mark.usefixtures("dataset")
def test_predictions_of_wines_not_seen_travel_along(trained: Cells) -> None:
    """In the dataset's order; folds depend on the split alone, so that two models can be compared wine by wine."""
    kept = []
    for cells in (trained, train(seed=1)):
        packed = OutOfFold.read(cells["registry"].fetch(cells["record"].ref))
        assert packed
        assert packed.fold == splits.folds(cells["train"], 0).tolist()
        assert packed.quality == cells["predicted"].round(6).tolist()
        kept.append(packed)
    assert kept[0].fold == kept[1].fold
    assert kept[0].quality != kept[1].quality


def test_model_and_its_interval_can_be_had_from_the_bundle_and_the_wines_alone(trained: Cells) -> None:
    """The recipe is there in full, and half widths are those of the bundle's own answers to the calibration wines."""
    bundle, calibration = trained["bundle"], trained["calibration"]
    refit = recipes.refit(bundle.metadata, trained["train"])
    assert np.abs(refit.predict(calibration) - bundle.predict(encode_columns(calibration))).max() < 1e-5
    errors = calibration[TARGET].to_numpy() - bundle.predict(encode_columns(calibration))
    for segment, width in bundle.metadata.calibration.half_width.items():
        distances = np.sort(np.abs(errors[calibration[SEGMENT] == segment]))
        assert distances[int(np.ceil(0.9 * (len(distances) + 1))) - 1] == pytest.approx(width, abs=1e-5)


def test_median_of_several_tastings_is_learnt_as_it_is(dataset: FolderRegistry, tmp_path: Path) -> None:
    """Half grades count for the higher one where grades are counted, and are fitted as halves."""
    shutil.copytree(dataset.fetch(f"{DATASET}:v0"), tmp_path / "halves")
    for name in ("train", "calibration"):
        path = tmp_path / "halves" / f"{name}.parquet"
        wines = pd.read_parquet(path)
        wines.assign(quality=wines["quality"] + 0.5 * (wines.index % 7 == 0)).to_parquet(path)
    dataset.publish(tmp_path / "halves", DATASET, kind="dataset")
    reference = train()["bundle"].reference
    assert all(type(grade) is int for counts in reference.distribution.values() for grade in counts)
    assert sum(sum(counts.values()) for counts in reference.distribution.values()) == 500


def test_search_is_told_to_who_judges_and_changes_nothing_of_the_model(dataset: FolderRegistry) -> None:
    """The largest number of settings that were tried for this very model stays in its record."""
    record = train(trials=1)["record"]
    assert (record.version, record.metadata.get("search")) == ("v0", None)
    whole = Cells("03_training", **QUICK, trials=20).run(before="publish")
    for trials in (20, 5, 1):  # the model is the same: to publish it again is all that is left
        cells = Cells("03_training").skip(to="publish")
        cells.names.update(whole.names | {"trials": trials})
        record = cells.run(before="headline")["record"]
        assert record.version == "v0"
        assert dataset.record(record.ref).metadata.get("search") == {"trials": 20}


@pytest.mark.usefixtures("dataset")
@pytest.mark.parametrize("estimator", [name for name in ESTIMATORS if name != "voting"])  # test_voting trains that one
def test_every_estimator_is_exported_as_it_predicts(estimator: str) -> None:
    """The notebook itself asserts parity before it publishes."""
    cells = train(estimator=estimator)
    assert max(cells["apart"].values()) < 1e-4
    assert cells["bundle"].metadata.estimator == estimator


@pytest.fixture
def edit_recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Edit a copy of recipes.py; notebooks then import it, and the folder that comes back holds it."""

    def edit(changes: dict[str, str]) -> Path:
        folder = tmp_path / "edited"
        folder.mkdir()
        text = (NOTEBOOKS / "recipes.py").read_text()
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        (folder / "recipes.py").write_text(text)
        monkeypatch.syspath_prepend(folder)
        for name in ("recipes", "export_onnx"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        return folder

    return edit


@pytest.mark.usefixtures("dataset")
def test_derived_feature_is_added_in_recipes_alone(edit_recipes: Callable[..., Path]) -> None:
    """One line in `derive`; who serves the bundle still sends nothing but measurements."""
    share = '"free share": wine["free_sulfur_dioxide"] / wine["total_sulfur_dioxide"]'
    root = '"root": np.sqrt(np.maximum(wine["ph"] - 3, 0) + wine["alcohol"] * 2)'
    edit_recipes({"    return {}\n": f"    return {{{share}, {root}}}\n"})
    cells = train()
    bundle = Bundle.load(cells["registry"].fetch(cells["record"].ref))
    wine = tiny.as_wines(tiny.made_up_wines(1))[0]
    by_hand = cells["model"].predict(pd.DataFrame([wine]))
    assert [*cells["seen"].columns] == [*INPUTS, "free share", "root"]
    assert bundle.score(Wine.model_validate(wine)) == pytest.approx(by_hand[0], abs=1e-4)


@pytest.mark.usefixtures("dataset")
def test_estimator_is_added_in_recipes_alone(edit_recipes: Callable[..., Path]) -> None:
    """Its name in `Estimator` and its lines in `estimator_of`; parameters typed by a person know it, too."""
    folder = edit_recipes(
        {
            "Estimator = Literal[": 'Estimator = Literal["neighbours", ',
            "    raise ValueError": (
                '        case "neighbours":\n'
                "            from sklearn.neighbors import KNeighborsRegressor\n"
                '            return KNeighborsRegressor(parameters["n_estimators"])\n'
                "    raise ValueError"
            ),
        }
    )
    shutil.copy(NOTEBOOKS / "03_training.ipynb", folder)
    checked(folder / "03_training.ipynb", {"estimator": "neighbours"})
    assert train(estimator="neighbours")["bundle"].metadata.estimator == "neighbours"


@pytest.mark.usefixtures("dataset")
def test_what_cannot_be_exported_is_refused_before_the_folds(edit_recipes: Callable[..., Path]) -> None:
    """One sentence that says what to write instead, after a second, not after a training."""
    edit_recipes({"    return {}\n": '    return {"dry": wine["residual_sugar"].clip(0, 4)}\n'})
    cells = Cells("03_training", **QUICK)
    with pytest.raises(BundleError, match=r"recipes.derive uses \.clip of a column, which is not exported: write"):
        cells.run()
    assert "folds" not in cells.names


@pytest.mark.usefixtures("dataset")
def test_export_that_says_something_else_is_not_published(trained: Cells) -> None:
    """A wrong graph stops the notebook before the registry is touched."""
    cells = Cells("03_training", **(QUICK | {"seed": 5})).run(before="bundle")
    cells.names["exported"] = trained["exported"]
    with pytest.raises(Exception, match=r"golden wine|differs from scikit-learn"):
        cells.run()


def test_intervals_reach_as_far_as_the_calibration_wines_demand(trained: Cells) -> None:
    """The promised share of calibration wines of each colour lies inside, and no narrower width would do."""
    for residuals, width in zip(trained["residuals"].values(), trained["half_width"].values(), strict=True):
        errors = np.abs(residuals)
        wanted = np.ceil(0.9 * (len(errors) + 1))
        assert (errors <= width).sum() >= wanted
        assert (errors < width).sum() < wanted


def test_test_wines_are_never_opened(dataset: FolderRegistry, trained: Cells) -> None:
    """Without them the training is the same, byte for byte."""
    test = dataset.root / DATASET / "v0" / "test.parquet"
    kept = hashlib.sha256(test.read_bytes()).hexdigest()
    opened: list[str] = []
    cells = Cells("03_training", **QUICK).run(before="begin")
    cells.names["pd"] = watched(opened)
    assert cells.run()["record"].digest == trained["record"].digest
    assert opened == ["train.parquet", "calibration.parquet"]
    assert hashlib.sha256(test.read_bytes()).hexdigest() == kept


def watched(opened: list[str]) -> object:
    """Pandas, noting which files are read."""

    class Watched:
        def __getattr__(self, name: str) -> object:
            return getattr(pd, name)

        def read_parquet(self, path: Path) -> pd.DataFrame:
            opened.append(path.name)
            return pd.read_parquet(path)

    return Watched()


@pytest.mark.usefixtures("notebook_environment")
@pytest.mark.parametrize(
    ("notebook", "advice"), [("02_eda", "make data"), ("03_training", "make data"), ("04_evaluation", "make train")]
)
def test_missing_input_names_what_to_run_first(notebook: str, advice: str) -> None:
    """An empty registry: one sentence with the command."""
    with pytest.raises(VersionNotFound, match=advice):
        Cells(notebook).run()
