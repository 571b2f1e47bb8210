"""The estimator `voting` on UCI's wines, through every stage: trained, exported, judged, audited, served, explained.

Minutes of fitting: `make test` trains it on few wines (test_03_training), this asks for the promises about real ones.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests import servers, tiny
from tests.cells import Cells, environment
from tests.clusters import Cluster
from wine_serving.bundle import MODEL_FILE
from wine_serving.registry import MODEL, PRODUCTION
from wine_serving.registry.folder import FolderRegistry
from wine_serving.schema import encode_columns

pytestmark = [pytest.mark.delivery, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> FolderRegistry:
    """The default forest is in production."""
    folder = FolderRegistry(tmp_path_factory.mktemp("voting") / "registry")
    with environment(folder.root):
        Cells("01_data").run()
        version = Cells("03_training").run()["record"].version
        folder.move_alias(MODEL, PRODUCTION, version, reason="to compare with", by="a test")
    return folder


@pytest.fixture(scope="module")
def trained(registry: FolderRegistry) -> Cells:
    """Voting, the candidate."""
    with environment(registry.root):
        return Cells("03_training", estimator="voting", publish_as="candidate").run()


def test_it_is_small_and_says_what_scikit_learn_says(trained: Cells) -> None:
    """At most 10 MB, and 1e-4 apart, on wines as files round them and as nobody does."""
    assert (trained["bundle"].directory / MODEL_FILE).stat().st_size <= 10e6
    assert max(trained["apart"].values()) <= 1e-4


def test_it_is_better_than_the_forest(trained: Cells, registry: FolderRegistry) -> None:
    """On the same folds, by about a hundredth of a score point."""
    forest = registry.record(f"{MODEL}:{PRODUCTION}").metadata["cross_validation"]["rmse"]["mean"]
    gain = forest - trained["metadata"].cross_validation["rmse"]["mean"]
    assert 0.004 < gain < 0.02, f"RMSE of the forest {forest:.4f}, better by {gain:.4f}"


@pytest.mark.usefixtures("trained")
def test_it_is_judged_and_audited_like_any_other(registry: FolderRegistry, tmp_path: Path) -> None:
    """Its recipe fitted again is the candidate, a gain is shown, and the audit runs to its end."""
    with environment(registry.root):
        judged = Cells("04_evaluation", n_resamples=200, reports=str(tmp_path / "reports")).run()
        audited = Cells("05_audit", n_resamples=100, n_trees=5).run()
    outcomes = {gate.name: gate.outcome for gate in judged["gates"]}
    assert not [name for name, outcome in outcomes.items() if outcome in ("fails", "hold")]
    assert audited["findings"]


def test_it_is_served_explained_and_scored_in_bulk_like_any_other(
    trained: Cells, registry: FolderRegistry, on_cluster: Cluster, tmp_path: Path
) -> None:
    """Contributions sum to the score; one by one, in a batch and in bulk the same, up to single precision."""
    from wine_serving import batch

    wines = tiny.as_wines(pd.concat([trained["train"].head(30), trained["calibration"].head(30)]))
    by_hand = trained["bundle"].predict(encode_columns(pd.DataFrame(wines)))
    variables = {"WINE_REGISTRY": f"folder:{registry.root}", "WINE_MODEL": trained["record"].ref}
    with (
        servers.api(tmp_path / "log", **variables) as server,
        server.client(timeout=30) as client,
    ):
        assert client.get("/health").json()["status"] == "ok"
        answers = client.post("/predict/batch", json={"wines": wines}).raise_for_status().json()["predictions"]
        singles = [client.post("/predict", json=wine).raise_for_status().json()["quality"] for wine in wines]
        told = client.post("/explain", json=wines[0]).raise_for_status().json()
    pd.DataFrame(wines).to_parquet(tmp_path / "in.parquet")
    given, output = str(tmp_path / "in.parquet"), str(tmp_path / "out")
    said = [*batch.score(registry, given, output, trained["record"].ref, on_cluster.address)]
    assert said[0].startswith("60 rows: 60 scored")
    bulk = pd.read_parquet(tmp_path / "out" / "scored")["quality"].tolist()
    for scores in ([each["quality"] for each in answers], singles, bulk):
        assert np.abs(np.array(scores) - by_hand).max() <= 1e-4
    moved = sum(each["contribution"] for each in told["contributions"])
    assert moved == pytest.approx(told["quality"] - told["typical"], abs=1e-3)
