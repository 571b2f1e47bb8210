"""Whoever runs a cell of a notebook again, in the same kernel, gets the same result."""

import re
from pathlib import Path

import pytest
from parameters import declared

from tests import frozen
from tests.cells import Cells, environment
from tests.conftest import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
FEW = {"n_resamples": 100, "n_trees": 2, "n_estimators": 5, "n_folds": 2}  # what this need not know exactly
MEASURES_THIS_MACHINE = "cost"  # a tag


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_can_be_run_twice(path: Path, tmp_path: Path) -> None:
    """Each one twice in a row, from the first to the last."""
    has = declared(path)
    few = {name: value for name, value in (FEW | {"reports": str(tmp_path / "reports")}).items() if name in has}
    anything_shown = False
    with environment(frozen.unpack_registry(tmp_path)):
        for cell, *texts in Cells(path.stem, **few).shown_twice():
            first, again = (re.sub(r"0x[0-9a-f]+", "", text) for text in texts)
            assert again == first or MEASURES_THIS_MACHINE in cell.tags, cell.source
            anything_shown |= bool(first)
    assert anything_shown
