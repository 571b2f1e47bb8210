"""What was trained, published and answered by earlier versions of this project is read, served and judged as then."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests import frozen, servers
from tests.cells import Cells, environment
from wine_serving.registry import DATASET, EVALUATION, MODEL, PRODUCTION
from wine_serving.registry.folder import FolderRegistry

BATCH = 10_000
SINGLES = 500


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> FolderRegistry:
    """A registry that the first version made; not to be changed."""
    return FolderRegistry(frozen.unpack_registry(tmp_path_factory.mktemp("kept")))


@pytest.fixture(scope="module")
def wines(kept: FolderRegistry) -> list[dict[str, Any]]:
    """The wines whose answers are kept."""
    return frozen.frozen_wines(kept.root)


@pytest.fixture(scope="module")
def api(kept: FolderRegistry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """An API that serves the kept production."""
    variables = {"WINE_REGISTRY": f"folder:{kept.root}", "WINE_PREDICTION_LOG": "false"}
    with (
        servers.api(tmp_path_factory.mktemp("log") / "log", **variables) as server,
        server.client(timeout=60) as client,
    ):
        yield client


def test_answers_are_the_frozen_ones(api: httpx.Client, wines: list[dict[str, Any]]) -> None:
    """Score, interval, grade, share and warnings of every distinct wine of UCI and of a hundred thousand others."""
    said: list[dict[str, Any]] = []
    for start in range(0, len(wines), BATCH):
        answer = api.post("/predict/batch", json={"wines": wines[start : start + BATCH]}).raise_for_status()
        said += answer.json()["predictions"]
    columns = frozen.as_columns(said)
    messages = "\n".join(warning["message"] for each in said for warning in each["warnings"])
    with np.load(frozen.ANSWERS) as then:
        assert len(then["quality"]) == len(said) == len(wines)
        for name in ("quality", "half_width"):
            np.testing.assert_allclose(columns[name], then[name], rtol=0, atol=1e-5, err_msg=name)
        for name in ("grade", "share", "warnings"):
            np.testing.assert_array_equal(columns[name], then[name], err_msg=name)
        assert hashlib.sha256(messages.encode()).hexdigest() == then["messages"]


def test_one_wine_is_answered_as_in_a_batch(api: httpx.Client, wines: list[dict[str, Any]]) -> None:
    """In every field, wherever the wine lies."""
    some = wines[:: len(wines) // SINGLES]
    batch = api.post("/predict/batch", json={"wines": some}).raise_for_status().json()["predictions"]
    singles = [api.post("/predict", json=wine).raise_for_status().json() for wine in some]
    for single, row in zip(singles, batch, strict=True):
        assert {**row, "prediction_id": single["prediction_id"]} == {name: single[name] for name in row}


def test_kept_registry_is_read(kept: FolderRegistry) -> None:
    """Versions with their bytes, aliases, history and lineage."""
    collections = {DATASET: ["v0"], MODEL: ["v0", "v1"], EVALUATION: ["v0", "v1"]}
    for name, versions in collections.items():
        assert [record.version for record in kept.records(name)] == versions
        for record in kept.records(name):
            assert kept.fetch(record.ref).is_dir()
    assert kept.aliases(MODEL) == {"candidate": "v1", PRODUCTION: "v0", "latest": "v1"}
    assert [move.version for move in kept.history(MODEL)] == ["v0"]
    assert kept.used_by(f"{DATASET}:v0")[:2] == [f"{MODEL}:v0", f"{MODEL}:v1"]


def test_kept_candidate_is_judged_against_kept_production(tmp_path: Path) -> None:
    """The evaluation of today's code comes to a verdict on versions that it did not make."""
    registry = FolderRegistry(frozen.unpack_registry(tmp_path))
    with environment(registry.root):
        Cells("04_evaluation", n_resamples=200, reports=str(tmp_path / "reports")).run()
    evaluation = registry.record(f"{MODEL}:v1").evaluation
    assert evaluation
    assert evaluation["candidate"]["version"] == "v1"
    assert evaluation["production"]["version"] == "v0"
    assert evaluation["candidate"]["metrics"]["rmse"]["value"] == pytest.approx(0.693, abs=0.002)
