"""A notebook's own cells, run in this process.

Some or all, with other values put in between: what a person does in JupyterLab, without the seconds that a kernel of
its own takes.
"""

import atexit
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import matplotlib.pyplot as plt
import nbformat
import pytest
import wandb
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from tests.conftest import ROOT
from wine_serving.registry.folder import FolderRegistry

QUIET = Config({"HistoryManager": {"enabled": False}, "InteractiveShell": {"ast_node_interactivity": "none"}})


@contextmanager
def environment(registry: Path) -> Iterator[None]:
    """Notebooks in this process use that registry; nothing is tracked, and no window opens."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WINE_REGISTRY", f"folder:{registry}")
        patch.setenv("WANDB_MODE", "disabled")
        patch.setenv("MPLBACKEND", "agg")
        yield
    wandb.teardown()  # its settings live as long as the process, and would reach other tests


class Cells:
    """A notebook that is run a few cells at a time; `names` holds what its cells have defined."""

    def __init__(self, notebook: str, **parameters: Any) -> None:
        cells = nbformat.read(ROOT / "notebooks" / f"{notebook}.ipynb", 4).cells
        code = [cell for cell in cells if cell.cell_type == "code"]
        self._waiting = [(cell.source, "parameters" in cell.metadata.get("tags", [])) for cell in code]
        self._parameters = parameters
        InteractiveShell.clear_instance()
        self._shell = InteractiveShell.instance(config=QUIET)
        atexit.unregister(self._shell.atexit_operations)  # it would keep all that cells made until the process ends
        self.names: dict[str, Any] = self._shell.user_ns

    def run(self, *, before: str | None = None) -> Self:
        """Run the cells up to the one whose source holds `before`, or all; raises what a cell raises."""
        while self._waiting and not (before and before in self._waiting[0][0]):
            source, is_parameters = self._waiting.pop(0)
            with warnings.catch_warnings():  # they are shown to who reads the notebook, and stop nothing
                warnings.simplefilter("default")
                self._shell.run_cell(source, silent=True).raise_error()
            if is_parameters:
                self.names.update(self._parameters)
        plt.close("all")
        assert self._waiting or not before, f"no cell holds {before!r}"
        return self

    def change(self, old: str, new: str) -> Self:
        """Edit the one cell that holds `old`, as a data scientist would."""
        (place,) = [number for number, (source, _) in enumerate(self._waiting) if old in source]
        self._waiting[place] = (self._waiting[place][0].replace(old, new), False)
        return self

    def skip(self, *, to: str) -> Self:
        """Leave out the cells up to the one whose source holds `to`."""
        while to not in self._waiting[0][0]:
            self._waiting.pop(0)
        return self

    def __getitem__(self, name: str) -> Any:
        return self.names[name]


@pytest.fixture
def notebook_environment(folder: FolderRegistry) -> Iterator[None]:
    """Notebooks run in this process, with a registry of this test's own."""
    with environment(folder.root):
        yield
