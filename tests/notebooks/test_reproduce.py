"""notebooks/reproduce.py: a version rebuilt from its record is the same, or it is said what differs."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import reproduce
from reproduce import dataset_of, likeness, main

from tests import tiny
from tests.cells import Cells
from tests.delivery.here import HAS_GIT, needs
from wine_serving.bundle import METADATA_FILE, Bundle
from wine_serving.provenance import current_commit
from wine_serving.registry import DATASET, MODEL, Record
from wine_serving.registry.folder import FolderRegistry
from wine_serving.settings import ROOT


@pytest.fixture(scope="module")
def wines() -> pd.DataFrame:
    return tiny.made_up_wines(500, seed=9)


def test_same_files_are_identical(tiny_bundle: Path, bundle_copy: Path, wines: pd.DataFrame) -> None:
    """Byte for byte."""
    found = likeness(tiny_bundle, bundle_copy, wines)
    assert found == (True, "identical: every file is the same, byte for byte")


def test_other_packages_that_answer_alike_are_named(tiny_bundle: Path, bundle_copy: Path, wines: pd.DataFrame) -> None:
    """The same answers are good enough, and what is not identical is said."""
    metadata = json.loads((bundle_copy / METADATA_FILE).read_text())
    metadata["packages"]["scikit-learn"] = "9.9"
    (bundle_copy / METADATA_FILE).write_text(json.dumps(metadata))
    found = likeness(tiny_bundle, bundle_copy, wines)
    assert found.same
    assert re.search(r"same answers: at most 0 apart on 500 wines.*metadata.json; scikit-learn \S+ → 9.9$", found.told)


def test_another_model_is_not_the_same(tiny_bundle: Path, tmp_path: Path, wines: pd.DataFrame) -> None:
    """How far its answers are apart, in which files, and what was set otherwise."""
    tiny.write_bundle(tmp_path / "other", seed=1)
    found = likeness(tiny_bundle, tmp_path / "other", wines)
    assert not found.same
    assert re.search(r"answers to 500 wines, by up to \d\.\d+; .*model.onnx.*; seed 0 → 1", found.told)


def without_commit(registry: FolderRegistry) -> None:
    change(registry, commit=None)


def of_unknown_commit(registry: FolderRegistry) -> None:
    change(registry, commit="0" * 40 + "+changes")


def of_foreign_data(registry: FolderRegistry) -> None:
    (registry.root / DATASET / "v0.json").unlink()


def change(registry: FolderRegistry, **changes: object) -> None:
    path = registry.root / MODEL / "v0.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


REFUSALS = {
    "no version named": (lambda _: None, "", 2, "make reproduce VERSION=v1"),
    "no such version": (lambda _: None, "v7", 1, "no version v7"),
    "no commit": (without_commit, "v0", 1, "names no commit"),
    "a commit that is not here": (of_unknown_commit, "v0", 1, "git fetch" if HAS_GIT else "git"),
    "a dataset that is not here": (of_foreign_data, "v0", 1, "WINE_REGISTRY"),
}


@pytest.fixture
def trained(folder: FolderRegistry, bundle_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Record:
    """A version whose dataset is there."""
    data = tiny.publish_dataset(folder, tmp_path / "wines")
    path = bundle_copy / METADATA_FILE
    metadata = json.loads(path.read_text())
    metadata["dataset"]["digest"] = data.digest
    path.write_text(json.dumps(metadata))
    monkeypatch.setenv("WINE_REGISTRY", f"folder:{folder.root}")
    return folder.publish(bundle_copy, MODEL, kind="model", inputs=[data.ref])


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize(("spoil", "version", "code", "sentence"), REFUSALS.values(), ids=REFUSALS)
def test_what_cannot_be_rebuilt_is_said_in_a_sentence(
    folder: FolderRegistry,
    capfd: pytest.CaptureFixture[str],
    spoil: Callable[[FolderRegistry], object],
    version: str,
    code: int,
    sentence: str,
) -> None:
    """Before anything is set up, with an exit code."""
    spoil(folder)
    assert main(version) == code
    said = capfd.readouterr()
    assert sentence in said.err
    assert "Traceback" not in said.err
    assert ("not committed" in said.out) == (spoil is of_unknown_commit)


def test_dataset_is_found_by_its_content(folder: FolderRegistry, trained: Record, tmp_path: Path) -> None:
    """Numbers may differ from registry to registry."""
    (tmp_path / "wines" / "more.txt").write_text("another version")
    other = folder.publish(tmp_path / "wines", DATASET, kind="dataset")
    metadata = Bundle.load(folder.fetch(trained.ref)).metadata
    assert dataset_of(folder, trained, metadata.dataset.digest).version == "v0"
    assert dataset_of(folder, trained, other.digest).version == "v1"


@needs({"a checkout by git": HAS_GIT})
def test_checkout_leaves_the_settings_of_this_one_alone(tmp_path: Path) -> None:
    """Setting up its environment tells git about notebooks, in its own settings."""
    commit = (current_commit() or "").partition("+")[0]
    checkout = reproduce.clone(commit, tmp_path / "checkout")
    shared = subprocess.check_output(["git", "rev-parse", "--git-common-dir"], cwd=ROOT, text=True).strip()
    settings = ROOT / shared / "config"  # a worktree has those of its clone
    before = settings.read_bytes()
    subprocess.run(["git", "config", "filter.nbstripout.clean", "another"], cwd=checkout, check=True)
    assert settings.read_bytes() == before
    assert (checkout / "requirements" / "environment.py").is_file()


@pytest.mark.delivery
@pytest.mark.usefixtures("notebook_environment")
def test_training_rebuilt_in_an_environment_of_its_own_is_identical(
    folder: FolderRegistry, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """From a committed state: every byte. With another seed in the record it is not the same, and that is said."""
    tiny.publish_dataset(folder, tmp_path / "wines")
    Cells("03_training", n_estimators=10, max_features=3, level=0.8).run()
    assert main("v0") == 0
    assert "v0 is identical" in capfd.readouterr().out
    spoilt = shutil.copytree(folder.fetch(f"{MODEL}:v0"), tmp_path / "spoilt")
    metadata = json.loads((spoilt / METADATA_FILE).read_text())
    metadata["parameters"]["seed"] = 1
    (spoilt / METADATA_FILE).write_text(json.dumps(metadata))
    folder.publish(spoilt, MODEL, kind="model")
    assert main("v1") == 1
    assert "v1 is not the same; what differs: answers" in capfd.readouterr().out
