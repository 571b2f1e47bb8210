"""Whoever runs a cell of a notebook again, in the same kernel, gets the same result."""

import re
from pathlib import Path

import pytest
from parameters import declared

from tests import frozen
from tests.cells import Cells, environment
from tests.conftest import ROOT

LONG = ("03_training", "04_evaluation", "05_audit", "06_search")  # many seconds each: asked for by -m delivery
NOTEBOOKS = [
    pytest.param(path, marks=[pytest.mark.delivery] if path.stem in LONG else [], id=path.stem)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
]
FEW = {"n_resamples": 100, "n_trees": 2, "n_estimators": 5, "n_folds": 2}  # what this need not know exactly
FEW |= {"n_trials": 2, "n_best": 1, "n_repeats": 1}
SPACE = "random_forest: {n_estimators: [3, 5], min_samples_leaf: [9], max_features: [2]}"
MEASURES_THIS_MACHINE = "cost"  # a tag


@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", NOTEBOOKS)
def test_every_cell_can_be_run_twice(path: Path, tmp_path: Path) -> None:
    """Each one twice in a row, from the first to the last."""
    has = declared(path)
    (tmp_path / "space.yaml").write_text(SPACE)
    places = {"reports": tmp_path / "reports", "kept_in": tmp_path / "search", "space": tmp_path / "space.yaml"}
    given = FEW | {name: str(place) for name, place in places.items()}
    few = {name: value for name, value in given.items() if name in has}
    anything_shown = False
    with environment(frozen.unpack_registry(tmp_path)):
        for cell, *texts in Cells(path.stem, **few).shown_twice():
            first, again = (re.sub(r"0x[0-9a-f]+", "", text) for text in texts)
            assert again == first or MEASURES_THIS_MACHINE in cell.tags, cell.source
            anything_shown |= bool(first)
    assert anything_shown
