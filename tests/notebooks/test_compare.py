"""compare: two versions side by side, on wines that neither has seen."""

from collections.abc import Iterator

import pytest

from tests import frozen
from tests.cells import Cells, environment
from wine_serving.registry import DATASET, MODEL
from wine_serving.registry.folder import FolderRegistry


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> FolderRegistry:
    """A registry with two models of one dataset, which differ in their seed."""
    return FolderRegistry(frozen.unpack_registry(tmp_path_factory.mktemp("kept")))


@pytest.fixture(autouse=True)
def in_that_registry(kept: FolderRegistry) -> Iterator[None]:
    """What notebooks of a test use."""
    with environment(kept.root):
        yield


def test_what_differs_is_named_and_measured() -> None:
    """The one parameter, and the paired difference with its interval, in words first."""
    cells = Cells("compare", n_resamples=500).run()
    differing = cells["table"][cells["table"]["v0"] != cells["table"]["v1"]]
    assert set(differing.index) == {"parameter seed", "hyperparameter random_state"}
    assert len(cells["test"]) - len(cells["wines"]) == 20, (
        "the split of 1.0 did not know their twins, which hardly differ"
    )
    assert str(cells["difference"]["rmse"]).removeprefix("-")[:5] in cells["told"][0]
    assert "v1 is" in cells["told"][0]
    assert cells["answer"] == "v1 is better"
    assert "v1 is shown to be better on white wines, grade 4 and less, grade 6." in cells["told"]
    assert list(cells["apart"]["apart"]) == sorted(cells["apart"]["apart"], reverse=True)


def test_same_model_differs_in_nothing() -> None:
    """Not by resampling either: differences are paired."""
    cells = Cells("compare", a="v1", b="v1", n_resamples=200).run()
    assert all((each.value, each.low, each.high) == (0, 0, 0) for each in cells["difference"].values())
    assert cells["answer"] == "v1 and v1 say the same of every wine"


def test_every_declared_parameter_is_recorded() -> None:
    """With the value that it has: nobody keeps a second list."""
    cells = Cells("compare", n_resamples=200, n_wines=3).run()
    recorded = {"a": "production", "b": "candidate", "n_resamples": 200, "n_wines": 3, "seed": 0}
    assert dict(cells["run"].config) == recorded


def test_wines_that_the_second_was_trained_on_do_not_count(kept: FolderRegistry) -> None:
    """Models of different splits meet on the rest."""
    dataset = Cells("01_data", split_seed=7).run()["record"]
    few = {"n_estimators": 5}
    other = Cells("03_training", dataset=dataset.ref, **few).run()["record"]
    cells = Cells("compare", a="v0", b=other.version, n_resamples=200).run()
    assert other.inputs == (dataset.ref,) != (f"{DATASET}:v0",)
    assert kept.record(f"{MODEL}:v0").inputs == (f"{DATASET}:v0",)
    assert 0 < len(cells["wines"]) < len(cells["test"])
    assert any(line.startswith("v0 is shown to be better on ") for line in cells["told"])
