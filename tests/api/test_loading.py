"""The API's life: what it says before, while and after it can answer."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import servers, tiny
from tests.servers import Server
from wine_serving.registry import MODEL, PRODUCTION
from wine_serving.registry.folder import FolderRegistry

WINE = tiny.as_wines(tiny.made_up_wines(1))[0]


def serving(registry: FolderRegistry, log: Path, **variables: str) -> Server:
    """The API on this registry, not started yet."""
    return servers.api(log, WINE_REGISTRY=f"folder:{registry.root}", **variables)


def test_nothing_promoted_is_unhealthy_and_names_the_command(folder: FolderRegistry, tmp_path: Path) -> None:
    """503 everywhere but on /live, and the way out."""
    with serving(folder, tmp_path / "log") as server:
        for path in ("/health", "/schema", "/model"):
            answer = server.get(path)
            assert answer.status_code == 503
            assert "make pipeline" in answer.text
            assert str(folder.root.parent) not in answer.text
        refused = server.post("/predict", json=WINE)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")


def test_model_that_is_promoted_later_is_served_without_a_restart(
    folder: FolderRegistry, tiny_bundle: Path, tmp_path: Path
) -> None:
    """It keeps trying until it has a first model."""
    with serving(folder, tmp_path / "log") as server, server.client() as client:
        assert client.get("/health").status_code == 503
        folder.publish(tiny_bundle, MODEL, kind="model", aliases=[PRODUCTION])
        while (answer := client.get("/health")).status_code == 503:
            assert answer.json()["status"] == "unhealthy"
        assert answer.json() == {"status": "ok", "model_version": "v0", "reason": None}


def test_served_version_does_not_follow_the_alias(promoted: FolderRegistry, tmp_path: Path) -> None:
    """Promotion and deployment are two things: a running service stays with what it has loaded."""
    with serving(promoted, tmp_path / "log") as server:
        tiny.write_bundle(tmp_path / "next", seed=1)
        promoted.publish(tmp_path / "next", MODEL, kind="model", aliases=[PRODUCTION])
        assert server.get("/health").json()["model_version"] == "v0"


SPOILERS: dict[str, Callable[[Path], object]] = {
    "one byte changed": lambda d: (d / "model.onnx").write_bytes(b"\0" + (d / "model.onnx").read_bytes()[1:]),
    "truncated": lambda d: (d / "model.onnx").write_bytes((d / "model.onnx").read_bytes()[:100]),
    "file gone": lambda d: (d / "reference.json").unlink(),
}


@pytest.mark.parametrize("spoil", SPOILERS.values(), ids=SPOILERS)
def test_corrupted_version_is_refused_with_a_reason(
    promoted: FolderRegistry, tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    """What was published is what is served, or nothing."""
    directory = promoted.root / MODEL / "v0"
    directory.chmod(0o700)
    spoil(directory)
    with serving(promoted, tmp_path / "log") as server:
        answer = server.get("/health")
    assert answer.status_code == 503
    assert "are not those published as wine-quality:v0" in answer.json()["reason"]


def test_what_is_only_told_keeps_nothing_from_being_served(
    promoted: FolderRegistry, tmp_path: Path, bundle_copy: Path
) -> None:
    """Another version's record and the history cannot be read: the log says so, and production is served."""
    (bundle_copy / "MODEL_CARD.md").write_text("# Another")
    promoted.publish(bundle_copy, MODEL, kind="model", aliases=[PRODUCTION])
    for name in ("v0.json", "history.json"):
        (promoted.root / MODEL / name).write_text("{")
    with serving(promoted, tmp_path / "log") as server:
        assert server.get("/health").json() == {"status": "ok", "model_version": "v1", "reason": None}
        assert server.get("/model").json()["promotion"] is None
    assert "history.json cannot be read" in (tmp_path / "log").read_text()


def test_model_that_does_not_answer_as_recorded_is_refused(
    folder: FolderRegistry, bundle_copy: Path, tmp_path: Path
) -> None:
    """A model of another training in the place of this one: intact files, wrong answers."""
    tiny.write_bundle(tmp_path / "other", seed=1)
    shutil.copy(tmp_path / "other" / "model.onnx", bundle_copy)
    folder.publish(bundle_copy, MODEL, kind="model", aliases=[PRODUCTION])
    with serving(folder, tmp_path / "log") as server:
        answer = server.get("/health")
    assert answer.status_code == 503
    assert "golden wine" in answer.json()["reason"]


def test_other_feature_contract_is_refused(folder: FolderRegistry, bundle_copy: Path, tmp_path: Path) -> None:
    """Made by code that knew other measurements."""
    metadata = json.loads((bundle_copy / "metadata.json").read_text())
    (bundle_copy / "metadata.json").write_text(json.dumps(metadata | {"inputs": metadata["inputs"][::-1]}))
    folder.publish(bundle_copy, MODEL, kind="model", aliases=[PRODUCTION])
    with serving(folder, tmp_path / "log") as server:
        assert "another feature contract" in server.get("/health").json()["reason"]


def test_bundle_directory_is_served_as_unregistered(tiny_bundle: Path, folder: FolderRegistry, tmp_path: Path) -> None:
    """WINE_MODEL may name a directory; its digest stands for the version."""
    with serving(folder, tmp_path / "log", WINE_MODEL=str(tiny_bundle)) as server:
        answer = server.post("/predict", json=WINE).raise_for_status().json()
        assert answer["model_version"].startswith("unregistered-")
        assert server.get("/model").json()["record"] is None
