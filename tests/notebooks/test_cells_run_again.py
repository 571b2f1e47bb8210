"""Whoever runs a cell of a notebook again, in the same kernel, gets the same result."""

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from parameters import declared

from tests import frozen
from tests.conftest import ROOT

LONG = ("06_search",)  # half a minute: asked for by -m delivery
NOTEBOOKS = [
    pytest.param(path, marks=[pytest.mark.delivery] if path.stem in LONG else [], id=path.stem)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
]
FEW = {"n_resamples": 100, "n_trees": 2, "n_estimators": 5, "n_folds": 2}  # what this need not know exactly
FEW |= {"n_trials": 2, "n_best": 1, "n_repeats": 1}
SPACE = "random_forest: {n_estimators: [3, 5], min_samples_leaf: [9], max_features: [2]}"
MEASURES_THIS_MACHINE = "cost"  # a tag


def said(cell: Any) -> str:
    """A cell's outputs as one text, as a line may come in parts; pictures hold the time at which they were drawn."""
    texts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs]
    return re.sub(r"0x[0-9a-f]+", "", "".join(texts))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", NOTEBOOKS)
def test_every_cell_can_be_run_twice(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each one twice in a row, from the first to the last."""
    monkeypatch.setenv("WINE_REGISTRY", f"folder:{frozen.unpack_registry(tmp_path)}")
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
    has = declared(path)
    (tmp_path / "space.yaml").write_text(SPACE)
    places = {"reports": tmp_path / "reports", "kept_in": tmp_path / "search", "space": tmp_path / "space.yaml"}
    given = FEW | {name: str(place) for name, place in places.items()}
    few = {name: value for name, value in given.items() if name in has}
    notebook = nbformat.read(path, 4)
    cells = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            if "parameters" in cell.metadata.get("tags", []):
                cell.source += "".join(f"\n{name} = {value!r}" for name, value in few.items())
            cells += [cell, cell.copy()]
    notebook.cells = cells
    place = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, kernel_name="python3", timeout=240, resources=place).execute()
    for first, again in zip(cells[::2], cells[1::2], strict=True):
        if MEASURES_THIS_MACHINE not in first.metadata.get("tags", []):
            assert said(again) == said(first), first.source
