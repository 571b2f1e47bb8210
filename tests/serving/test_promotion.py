"""The one door: production moves by a verdict, or by a person with `python -m wine_serving promote` and `rollback`."""

import copy
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest
from starlette.requests import ClientDisconnect

from tests import frozen, tiny
from tests.cells import Cells, environment
from tests.conftest import ROOT
from tests.forked import Forks
from tests.serving.carrying_out import carry_out, judged
from tests.stand_ins.wandb_server.app import WandbServer
from wine_serving import promotion
from wine_serving.__main__ import main
from wine_serving.errors import AliasMoved, RegistryError
from wine_serving.registry import DATASET, EVALUATION, MODEL, PRODUCTION, Registry, claims
from wine_serving.registry.folder import FolderRegistry
from wine_serving.registry.wandb import WandbRegistry
from wine_serving.verdict import Verdict, Word


@pytest.fixture
def two_versions(
    folder: FolderRegistry, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> FolderRegistry:
    """v0 in production, v1 the candidate; the command line uses this registry."""
    folder.publish(tiny_bundle, MODEL, kind="model", aliases=["production"])
    tiny.write_bundle(tmp_path / "second", seed=1)
    folder.publish(tmp_path / "second", MODEL, kind="model", aliases=["candidate"])
    monkeypatch.setenv("WINE_REGISTRY", f"folder:{folder.root}")
    return folder


def test_promotion_by_hand_keeps_who_when_and_why(
    two_versions: FolderRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    """The move and its reason are in the history, and the command says what it did."""
    assert main(["promote", "v1", "--reason", "tasted and approved"]) == 0
    assert "v0 → wine-quality:v1 (tasted and approved)" in capsys.readouterr().out
    last = two_versions.history(MODEL)[-1]
    assert (last.previous, last.version, last.reason) == ("v0", "v1", "tasted and approved")


def test_rollback_returns_to_the_version_before(two_versions: FolderRegistry) -> None:
    """One command undoes the last promotion; the version taken back stays in the registry."""
    main(["promote", "candidate", "--reason", "better"])
    assert main(["rollback"]) == 0
    assert two_versions.aliases(MODEL)["production"] == "v0"
    assert two_versions.history(MODEL)[-1].reason == "rollback from v1"


def publish_models(registry: Registry, place: Path, number: int) -> None:
    """Versions that can be promoted."""
    for seed in range(number):
        tiny.write_bundle(place / f"model-{seed}", seed=seed)
        registry.publish(place / f"model-{seed}", MODEL, kind="model")


@pytest.fixture(params=["folder", "wandb"])
def four_versions(request: pytest.FixtureRequest, tmp_path: Path) -> Registry:
    """v0 to v3, promoted one after the other, in each kind of registry."""
    registry: Registry = FolderRegistry(tmp_path / "registry")
    if request.param == "wandb":
        registry = WandbRegistry(request.getfixturevalue("wandb_server").place, tmp_path / "cache")
    publish_models(registry, tmp_path, 4)
    for number in range(4):
        promotion.by_hand(registry, f"v{number}", "better")
    return registry


def test_rollback_again_goes_further_back_and_never_to_what_was_rolled_back_from(four_versions: Registry) -> None:
    """Until a person promotes that again; a reason of one's own changes nothing of that."""

    def back(reason: str = "") -> str:
        promotion.back(four_versions, reason)
        return four_versions.aliases(MODEL)[PRODUCTION]

    assert [back(), back("smelt odd")] == ["v2", "v1"]
    assert four_versions.history(MODEL)[-1].reason == "rollback from v2: smelt odd"
    promotion.by_hand(four_versions, "v3", "tasted again")
    assert [back(), back()] == ["v1", "v0"]
    with pytest.raises(RegistryError, match=r"nothing to roll back to: .*make promote VERSION=vN"):
        back()
    promotion.by_hand(four_versions, "v2", "tasted again")
    promotion.by_hand(four_versions, "v3", "tasted again")
    assert [back(), back()] == ["v2", "v0"]


def test_verdict_that_comes_again_gives_no_leave_to_roll_back_to_a_version(four_versions: Registry) -> None:
    """Only a person does."""
    promotion.back(four_versions, "")
    four_versions.move_alias(MODEL, PRODUCTION, "v3", reason="evaluation: every gate holds", by="ci")
    promotion.by_hand(four_versions, "v0", "the old one")
    promotion.back(four_versions, "")
    assert four_versions.aliases(MODEL)[PRODUCTION] == "v2"


def test_rollback_passes_over_what_was_deleted(two_versions: FolderRegistry, tmp_path: Path) -> None:
    """Also when it is production that was deleted."""
    publish_models(two_versions, tmp_path, 3)
    for version in ("v1", "v2"):
        promotion.by_hand(two_versions, version, "better")
    for version in ("v1", "v2"):
        (two_versions.root / MODEL / f"{version}.json").unlink()
    promotion.back(two_versions, "")
    assert two_versions.aliases(MODEL)[PRODUCTION] == "v0"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    {
        "no reason": (["promote", "v1", "--reason", " "], "names a version and a reason"),
        "unknown version": (["promote", "v9", "--reason", "x"], "no version v9"),
        "nothing before": (["rollback"], "nothing to roll back to"),
    }.values(),
)
def test_impossible_move_is_refused_in_one_sentence(
    two_versions: FolderRegistry, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    """Nothing moves, the exit code says so, and stderr says why."""
    assert main(arguments) == 1
    assert sentence in capsys.readouterr().err
    assert two_versions.aliases(MODEL)["production"] == "v0"


def test_model_that_fails_its_golden_wines_is_not_promoted(
    two_versions: FolderRegistry, bundle_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A person cannot promote by hand what could not be served."""
    (tmp_path / "second" / "model.onnx").replace(bundle_copy / "model.onnx")
    two_versions.publish(bundle_copy, MODEL, kind="model")
    assert main(["promote", "v2", "--reason", "in a hurry"]) == 1
    assert "golden wine" in capsys.readouterr().err
    assert two_versions.aliases(MODEL)["production"] == "v0"


@pytest.mark.usefixtures("two_versions")
def test_history_lists_every_move(capsys: pytest.CaptureFixture[str]) -> None:
    """Who moved production, when and why, a line each."""
    main(["promote", "v1", "--reason", "better"])
    capsys.readouterr()
    assert main(["history"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("UTC  ")[1].split("  by")[0] for line in lines] == ["nothing → v0", "v0 → v1"]


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_terminal_without_an_arrow_shows_something_else(encoding: str, two_versions: FolderRegistry) -> None:
    """What cannot be encoded is replaced, never fatal."""
    command = [sys.executable, "-m", "wine_serving", "history"]
    given = os.environ | {"PYTHONIOENCODING": encoding, "WINE_REGISTRY": f"folder:{two_versions.root}"}
    said = subprocess.run(command, capture_output=True, check=True, env=given).stdout.decode(encoding)
    assert "nothing ? v0" in said


def test_a_verdict_is_published_attached_and_carried_out(two_versions: FolderRegistry, tmp_path: Path) -> None:
    """The evaluation with its pages, the candidate's record, and production, which says why."""
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "04_evaluation.html").write_text("<p>Promote</p>")
    done = promotion.by_verdict(two_versions, judged(), move=True, pages=tmp_path / "pages")
    assert (done.promoted, done.report) == (True, f"{EVALUATION}:v0")
    published = two_versions.record(f"{EVALUATION}:v0")
    assert set(published.files) == {"verdict.json", "04_evaluation.html"}
    assert published.inputs == (f"{DATASET}:v0", f"{MODEL}:v1", f"{MODEL}:v0")
    assert Verdict.read(published.metadata) == done.model_copy(update={"report": None, "promoted": None})
    assert two_versions.record(f"{MODEL}:v1").evaluation == published.evaluation == done.as_data()
    last = two_versions.history(MODEL)[-1]
    assert (last.previous, last.version, last.reason) == ("v0", "v1", "evaluation: every gate holds")


def test_a_verdict_carried_out_again_changes_nothing(two_versions: FolderRegistry) -> None:
    """A cell may be run twice."""
    assert promotion.by_verdict(two_versions, judged(), move=True) == promotion.by_verdict(
        two_versions, judged(), move=True
    )
    assert len(two_versions.records(EVALUATION)) == 1
    assert len(two_versions.history(MODEL)) == 2


@pytest.mark.parametrize("word", ["equivalent", "hold", "decline"])
def test_only_a_promoted_candidate_moves_production(two_versions: FolderRegistry, word: Word) -> None:
    """Every other verdict is published, and production stays."""
    assert not promotion.by_verdict(two_versions, judged(word), move=True).promoted
    assert not promotion.by_verdict(two_versions, judged(), move=False).promoted
    assert two_versions.aliases(MODEL)["production"] == "v0"
    assert [record.metadata["verdict"] for record in two_versions.records(EVALUATION)] == [word, "promote"]


def test_unchanged_is_no_evaluation(two_versions: FolderRegistry) -> None:
    """Nothing was decided, so nothing is published."""
    verdict = judged("unchanged")
    assert promotion.by_verdict(two_versions, verdict, move=True) == verdict
    assert two_versions.records(EVALUATION) == []


def test_verdict_on_what_is_no_longer_production_is_not_carried_out(two_versions: FolderRegistry) -> None:
    """Somebody moved it meanwhile: nothing is published and nothing moves."""
    stale = judged().model_copy(update={"production": None})
    with pytest.raises(AliasMoved, match="production is v0, not unset"):
        promotion.by_verdict(two_versions, stale, move=True)
    assert two_versions.records(EVALUATION) == []
    assert two_versions.aliases(MODEL)["production"] == "v0"


def test_the_evaluation_run_cell_by_cell_goes_through_the_door(tmp_path: Path) -> None:
    """In JupyterLab as under make: no production without a published evaluation that says why."""
    registry = FolderRegistry(frozen.unpack_registry(tmp_path))
    options = {"promote": "always", "n_resamples": 200, "n_trees": 2, "reports": str(tmp_path / "reports")}
    with environment(registry.root):
        Cells("04_evaluation", **options).run()
    published = registry.record(f"{EVALUATION}:latest")
    assert published.version == "v2"
    assert published.metadata["promoted"] is None
    assert registry.record(f"{MODEL}:production").version == published.metadata["candidate"]["version"] == "v1"
    assert registry.record(f"{MODEL}:v1").evaluation == published.metadata | {"report": published.ref, "promoted": True}


# Killed between every two writes


@contextmanager
def carrying_out(uri: str, place: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Another process, in a session of its own, that carries out the verdict on v1."""
    place.mkdir()
    with subprocess.Popen(
        [sys.executable, "-m", "tests.serving.carrying_out", uri, str(place)],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        yield process


def publish_two(registry: Registry, place: Path) -> None:
    """A dataset, v0 in production, and v1 the candidate."""
    versions = {
        "wines": (DATASET, "dataset", []),
        "first": (MODEL, "model", [PRODUCTION]),
        "second": (MODEL, "model", []),
    }
    for name, (collection, kind, aliases) in versions.items():
        (place / name).mkdir(parents=True)
        (place / name / "content").write_text(name)
        registry.publish(place / name, collection, kind=kind, aliases=aliases)


def said_of_v1(registry: Registry) -> list[object]:
    """Wherever a registry says whether v1 was promoted: what it says there."""
    evaluations = registry.records(EVALUATION)
    files = [json.loads((registry.fetch(each.ref) / "verdict.json").read_text()) for each in evaluations]
    attached = [each.evaluation for each in [*evaluations, registry.record(f"{MODEL}:v1")] if each.evaluation]
    return [each["promoted"] for each in [*(each.metadata for each in evaluations), *files, *attached]]


def check_nothing_is_said_that_is_not_so(registry: Registry) -> bool:
    """Right after the kill; whether v1 is in production."""
    moved = registry.aliases(MODEL)[PRODUCTION] == "v1"
    assert [move.version for move in registry.history(MODEL)] == ["v0", "v1"][: 1 + moved]
    assert moved or True not in said_of_v1(registry)
    assert not moved or registry.record(f"{MODEL}:v1").evaluation
    return moved


def check_all_is_there(registry: Registry, done: Verdict, *, moved: bool) -> None:
    """After the evaluation was run again; `moved` says whether the alias had moved before that."""
    assert (done.verdict, done.promoted) == (("unchanged", False) if moved else ("promote", True))
    (before, last) = registry.history(MODEL)
    assert (before.version, last.previous, last.version) == ("v0", "v0", "v1")
    assert (last.reason, registry.aliases(MODEL)[PRODUCTION]) == ("evaluation: every gate holds", "v1")
    evaluations = registry.records(EVALUATION)
    assert {(each.metadata["candidate"]["version"], each.inputs) for each in evaluations} == {
        ("v1", (f"{DATASET}:v0", f"{MODEL}:v1", f"{MODEL}:v0"))  # one decision, however often it was begun
    }
    assert registry.aliases(EVALUATION)["latest"] == evaluations[-1].version
    said = evaluations[-1].metadata | {"promoted": True, "report": evaluations[-1].ref}
    assert registry.record(f"{MODEL}:v1").evaluation == evaluations[-1].evaluation == said


CARRYING_OUT = "import runpy; runpy.run_module('tests.serving.carrying_out', run_name='__main__')"


@pytest.fixture
def forks() -> Iterator[Forks]:
    """Processes that have imported what carries a verdict out."""
    with Forks("wine_serving.promotion", "wine_serving.registry.folder") as ready:
        yield ready


def test_evaluation_that_is_killed_before_any_write_is_completed_by_the_next(
    folder: FolderRegistry, forks: Forks
) -> None:
    """In a folder: nothing is recorded as promoted that was not, and running it again adds what is missing."""
    place = folder.root.parent
    publish_two(folder, place / "two")
    for number in count(1):
        registry = FolderRegistry(shutil.copytree(folder.root, place / f"registry-{number}"))
        (place / f"pages-{number}").mkdir()
        words = (f"folder:{registry.root}", str(place / f"pages-{number}"), str(number))
        done = forks.run(CARRYING_OUT, *words, env={**os.environ})
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        moved = check_nothing_is_said_that_is_not_so(registry)
        check_all_is_there(registry, carry_out(registry, place / f"pages-{number}"), moved=moved)
    assert number > 8  # files, record, history and alias of the evaluation; the record twice; history and alias of v1
    check_all_is_there(registry, carry_out(registry, place / f"pages-{number}"), moved=True)


SEEN = {"CreateArtifact", "CommitArtifact", "AddAliases", "UpdateArtifact"}  # mutations that others see


class Killer:
    """Kills a process, and W&B's own beside it, before it changes something for the n-th time."""

    def __init__(self, process: subprocess.Popen[str], n: int) -> None:
        self.process, self.left, self.killed = process, n, False

    def __call__(self, mutation: str) -> None:
        self.left -= mutation in SEEN
        if self.left == 0 and not self.killed:
            self.killed = True  # first: whoever waits for the process looks at this at once
            os.killpg(self.process.pid, signal.SIGKILL)
        if self.killed:
            raise ClientDisconnect


@pytest.mark.delivery
def test_evaluation_that_is_killed_before_any_change_in_wandb_is_completed_by_the_next(
    wandb_server: WandbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same promises; the server kills who asks for a change, and does not make it."""
    monkeypatch.setattr(claims, "LASTS", timedelta(seconds=2))
    place, environment = wandb_server.place, wandb_server.environment(tmp_path / "home")
    publish_two(WandbRegistry(place, tmp_path / "cache"), tmp_path / "two")
    kept = copy.deepcopy(wandb_server.store)
    for number in count(1):
        wandb_server.store = copy.deepcopy(kept)
        with carrying_out(f"wandb:{place}", tmp_path / f"pages-{number}", **environment) as process:
            wandb_server.faults.change = killer = Killer(process, number)
            errors = process.communicate(timeout=60)[1]
        wandb_server.faults.change = None
        registry = WandbRegistry(place, tmp_path / "cache")
        if process.returncode == 0:
            break
        assert killer.killed, errors
        moved = check_nothing_is_said_that_is_not_so(registry)
        check_all_is_there(registry, carry_out(registry, tmp_path / f"pages-{number}"), moved=moved)
    assert number > 8
    check_all_is_there(registry, carry_out(registry, tmp_path / f"pages-{number}"), moved=True)
