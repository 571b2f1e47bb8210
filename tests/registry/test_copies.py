"""Copies of versions: `python -m wine_serving sync`, `copy` and `export`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.registry.test_wandb import directory
from tests.stand_ins.wandb_server.app import WandbServer
from wine_serving.__main__ import main
from wine_serving.registry import DATASET, EVALUATION, GRADES, MODEL, digest_files
from wine_serving.registry.copies import copy
from wine_serving.registry.folder import FolderRegistry
from wine_serving.registry.wandb import WandbRegistry

TRAIN = """
import sys
from pathlib import Path
import wandb
from wine_serving.registry.folder import FolderRegistry
with wandb.init(project="wine-quality", job_type="03_training", config={"trees": 3}) as run:
    run.log({"rmse": 0.7})
    FolderRegistry(Path(sys.argv[1])).publish(
        Path(sys.argv[2]), "wine-quality", kind="model", inputs=["wine-quality-data:v0"], run=run
    )
"""


@pytest.fixture
def wines(folder: FolderRegistry, tmp_path: Path) -> FolderRegistry:
    """A folder with a dataset."""
    folder.publish(directory(tmp_path / "wines", "wines"), DATASET, kind="dataset", metadata={"wines": 5})
    return folder


@pytest.fixture
def made_offline(wines: FolderRegistry, tmp_path: Path) -> FolderRegistry:
    """Also two models, a verdict and grades; v1 was promoted, then taken back."""
    sources = {name: directory(tmp_path / name, name) for name in ("first", "second", "verdict", "grades")}
    wines.publish(sources["first"], MODEL, kind="model", inputs=[f"{DATASET}:v0"])
    wines.move_alias(MODEL, "production", "v0", reason="first", by="ann")
    wines.publish(sources["second"], MODEL, kind="model", inputs=[f"{DATASET}:v0"], aliases=["candidate", "production"])
    wines.publish(sources["verdict"], EVALUATION, kind="report", inputs=[f"{DATASET}:v0", f"{MODEL}:v1"])
    wines.publish(sources["grades"], GRADES, kind="dataset", inputs=[f"{MODEL}:v1"])
    wines.attach_evaluation(f"{MODEL}:v1", {"verdict": "promote"})
    wines.move_alias(MODEL, "production", "v0", reason="smelt odd", by="bob")
    return wines


@pytest.fixture
def trained_offline(
    wines: FolderRegistry, wandb_server: WandbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> FolderRegistry:
    """A folder with a dataset, and a model that an offline run trained."""
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    offline = wandb_server.environment(tmp_path) | {"WANDB_MODE": "offline", "PATH": "", "HOME": str(tmp_path)}
    model = directory(tmp_path / "model", "model")
    subprocess.run([sys.executable, "-c", TRAIN, wines.root, model], env=offline, check=True, timeout=60)
    return wines


@pytest.fixture
def project(wandb_server: WandbServer, tmp_path: Path) -> WandbRegistry:
    """The project to which everything goes."""
    return WandbRegistry(wandb_server.place, tmp_path / "cache")


def sync(folder: FolderRegistry) -> int:
    return main(["sync", "--folder", str(folder.root)])


def test_everything_made_in_the_folder_comes_to_wandb(
    made_offline: FolderRegistry, project: WandbRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bytes, metadata, lineage, evaluation, aliases and their history, all as they were."""
    assert sync(made_offline) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "wine-quality:v1 → wine-quality:v1" in lines
    for name in (DATASET, MODEL, EVALUATION, GRADES):
        for ours, theirs in zip(made_offline.records(name), project.records(name), strict=True):
            assert theirs.model_copy(update={"run": None, "origin": None}) == ours
            assert theirs.origin == f"wandb:{project.place}/{theirs.ref}"
            assert digest_files(project.fetch(theirs.ref)) == ours.files
        assert project.aliases(name) == made_offline.aliases(name)
    assert project.history(MODEL) == made_offline.history(MODEL)
    assert project.used_by(f"{DATASET}:v0") == [f"{EVALUATION}:v0", f"{MODEL}:v0", f"{MODEL}:v1"]


def test_second_time_does_nothing(
    made_offline: FolderRegistry, wandb_server: WandbServer, project: WandbRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    """No run, no version, no change."""
    sync(made_offline)
    capsys.readouterr()
    wandb_server.operations.clear()
    assert sync(made_offline) == 0
    assert capsys.readouterr().out.strip() == f"{project} has it all already"
    changes = {"UpsertBucket", "CreateArtifact", "UpdateArtifact", "AddAliases", "UseArtifact", "DeleteAliases"}
    assert not changes & {*wandb_server.operations}


def test_versions_get_the_numbers_that_are_free(
    made_offline: FolderRegistry, project: WandbRegistry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A project that holds versions already keeps them, and inputs follow the new numbers."""
    project.publish(directory(tmp_path / "other", "other"), DATASET, kind="dataset")
    project.publish(directory(tmp_path / "model", "model"), MODEL, kind="model")
    assert sync(made_offline) == 0
    assert "wine-quality:v0 → wine-quality:v1" in capsys.readouterr().out
    assert project.record(f"{MODEL}:production").ref == f"{MODEL}:v1"
    assert project.record(f"{MODEL}:v2").inputs == (f"{DATASET}:v1",)
    assert [(move.previous, move.version) for move in project.history(MODEL)] == [
        (None, "v1"),
        ("v1", "v2"),
        ("v2", "v1"),
    ]


def test_alias_that_was_moved_in_wandb_since_stays(
    made_offline: FolderRegistry, project: WandbRegistry, wandb_server: WandbServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever promoted in W&B, by command or by hand, is not overruled by an older folder."""
    sync(made_offline)
    project.move_alias(MODEL, "candidate", "v0", reason="better after all", by="cyd")
    where = wandb_server.project.collections[MODEL].where
    where["production"] = wandb_server.project.version(f"{MODEL}:v1")
    capsys.readouterr()
    assert sync(made_offline) == 0
    said = capsys.readouterr().out
    assert "wine-quality:production stays on v1: it was moved there since" in said
    assert "wine-quality:candidate stays on v0" in said
    assert project.aliases(MODEL)["production"] == "v1"


def test_later_work_in_the_folder_is_pushed_too(
    made_offline: FolderRegistry, project: WandbRegistry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A new version, a promotion and a verdict made since the last time."""
    sync(made_offline)
    made_offline.publish(directory(tmp_path / "third", "third"), MODEL, kind="model")
    made_offline.move_alias(MODEL, "production", "v2", reason="best", by="ann")
    made_offline.attach_evaluation(f"{MODEL}:v0", {"verdict": "decline"})
    made_offline.attach_monitoring(f"{MODEL}:v0", {"answer": "worse", "at": "2026-11-27T06:00:00Z"})
    capsys.readouterr()
    sync(made_offline)
    assert capsys.readouterr().out.splitlines() == [
        "the evaluation of wine-quality:v0 → wine-quality:v0",
        "the monitoring of wine-quality:v0 → wine-quality:v0",
        "wine-quality:v2 → wine-quality:v2",
        "wine-quality:latest → v2",
        "wine-quality:production → v2",
    ]
    assert project.history(MODEL) == made_offline.history(MODEL)


def test_where_to_must_be_said(
    folder: FolderRegistry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder cannot be pushed into itself."""
    monkeypatch.setenv("WINE_REGISTRY", f"folder:{folder.root}")
    assert sync(folder) == 1
    assert "make sync WINE_REGISTRY=wandb:ENTITY/PROJECT" in capsys.readouterr().err


def test_offline_run_arrives_with_the_version_that_it_made(
    trained_offline: FolderRegistry,
    project: WandbRegistry,
    wandb_server: WandbServer,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What W&B refused is said and stays to be pushed; what it took is there once, and the version's run is the run."""
    wandb_server.faults.errors["UpsertBucket"] = "quota exceeded"
    assert sync(trained_offline) == 1
    assert "quota exceeded" in capsys.readouterr().err
    wandb_server.faults.errors.clear()
    assert sync(trained_offline) == 0
    assert f"1 offline run → {project.place}" in capsys.readouterr().out
    trained = wandb_server.project.version(f"{MODEL}:v0").created_by
    assert (trained.job_type, trained.parameters, trained.summary["rmse"]) == ("03_training", {"trees": 3}, 0.7)
    assert [each.artifact_sequence.name for each in trained.inputs] == [DATASET]
    assert (run := project.record(f"{MODEL}:v0").run)
    assert run.id == trained.name
    assert sync(trained_offline) == 0
    assert capsys.readouterr().out.strip() == f"{project} has it all already"


def test_copy_from_wandb_is_a_registry_in_a_folder(
    made_offline: FolderRegistry, project: WandbRegistry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With numbers, records, aliases and histories as they are there; what is there already is not copied again."""
    sync(made_offline)
    copied = FolderRegistry(tmp_path / "copied")
    assert main(["copy", f"folder:{copied.root}"]) == 0
    for name in (DATASET, MODEL, EVALUATION):
        assert copied.records(name) == project.records(name)
        assert copied.aliases(name) == project.aliases(name)
    assert copied.history(MODEL) == project.history(MODEL)
    capsys.readouterr()
    assert main(["copy", f"folder:{copied.root}"]) == 0
    assert capsys.readouterr().out == ""


def test_copy_of_one_version_leaves_out_what_stands_elsewhere(made_offline: FolderRegistry, tmp_path: Path) -> None:
    """Its own aliases and their moves come along, but none that stands on a version left behind."""
    copied = FolderRegistry(tmp_path / "copied")
    assert [*copy(made_offline, copied, [f"{MODEL}:production"])] == [
        f"{MODEL}:v0 → {MODEL}:v0",
        f"{MODEL}:production → v0",
    ]
    assert copied.records(MODEL) == [made_offline.record(f"{MODEL}:v0")]
    assert copied.aliases(MODEL) == {"production": "v0"}
    assert [(move.version, move.reason) for move in copied.history(MODEL)] == [("v0", "first"), ("v0", "smelt odd")]


def test_export_says_which_version_it_carries(
    promoted: FolderRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For whoever builds and asks the image: name, version, digest, and where its golden wines are."""
    monkeypatch.setenv("WINE_REGISTRY", f"folder:{promoted.root}")
    assert main(["export", str(tmp_path / "image"), f"{MODEL}:production"]) == 0
    release = json.loads((tmp_path / "image" / "release.json").read_text())
    record = promoted.record(f"{MODEL}:production")
    assert release == {
        "model": MODEL,
        "version": "v0",
        "digest": record.digest,
        "golden": f"{MODEL}/v0/reference.json",
    }
    assert json.loads((tmp_path / "image" / release["golden"]).read_text())["golden"]
