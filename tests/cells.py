"""A notebook's own cells, run in this process.

Some or all, with other values put in between: what a person does in JupyterLab, without the seconds that a kernel of
its own takes.
"""

import atexit
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

import matplotlib.pyplot as plt
import nbformat
import pytest
import wandb
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from traitlets.config import Config

from tests.conftest import ROOT
from wine_serving.registry.folder import FolderRegistry

QUIET = Config({"HistoryManager": {"enabled": False}, "InteractiveShell": {"ast_node_interactivity": "none"}})


@contextmanager
def environment(registry: Path) -> Iterator[None]:
    """Notebooks in this process use that registry; untracked, pictures are coarse, and no window opens."""
    with pytest.MonkeyPatch.context() as patch, plt.rc_context({"savefig.dpi": 15}):
        patch.setenv("WINE_REGISTRY", f"folder:{registry}")
        patch.setenv("WANDB_MODE", "disabled")
        patch.setenv("MPLBACKEND", "agg")
        yield
    wandb.teardown()  # its settings live as long as the process, and would reach other tests


class Cell(NamedTuple):
    """One code cell: its source and its tags, by which tests address it."""

    source: str
    tags: tuple[str, ...]


class Cells:
    """A notebook that is run a few cells at a time; `names` holds what its cells have defined."""

    def __init__(self, notebook: str, **parameters: Any) -> None:
        cells = nbformat.read(ROOT / "notebooks" / f"{notebook}.ipynb", 4).cells
        self._waiting = [
            Cell(cell.source, tuple(cell.metadata.get("tags", []))) for cell in cells if cell.cell_type == "code"
        ]
        self._parameters = parameters
        InteractiveShell.clear_instance()
        self._shell = InteractiveShell.instance(config=QUIET)
        atexit.unregister(self._shell.atexit_operations)  # it would keep all that cells made until the process ends
        self.names: dict[str, Any] = self._shell.user_ns

    def run(self, *, before: str | None = None) -> Self:
        """Run the cells up to the one tagged `before`, or all; raises what a cell raises."""
        while self._waiting and before not in self._waiting[0].tags:
            self._execute(self._waiting.pop(0))
        plt.close("all")
        assert self._waiting or not before, f"no cell is tagged {before!r}"
        return self

    def shown_twice(self) -> Iterator[tuple[Cell, str, str]]:
        """Run each cell twice in a row: the cell, and what it showed in text either time."""
        self._shell.ast_node_interactivity = "last_expr"  # shown as in a notebook
        for cell in self._waiting:
            first, again = self._shown(cell), self._shown(cell)
            yield cell, first, again
            plt.close("all")

    def _shown(self, cell: Cell) -> str:
        with capture_output() as shown:
            self._execute(cell, silent=False)
        return "".join([shown.stdout, *(output.data.get("text/plain", "") for output in shown.outputs)])

    def _execute(self, cell: Cell, *, silent: bool = True) -> None:
        with warnings.catch_warnings():  # they are shown to who reads the notebook, and stop nothing
            warnings.simplefilter("default")
            self._shell.run_cell(cell.source, silent=silent).raise_error()
        if "parameters" in cell.tags:
            self.names.update(self._parameters)

    def change(self, tag: str, old: str, new: str) -> Self:
        """Edit the one cell with that tag, as a data scientist would."""
        (place,) = [number for number, cell in enumerate(self._waiting) if tag in cell.tags]
        assert old in self._waiting[place].source
        self._waiting[place] = self._waiting[place]._replace(source=self._waiting[place].source.replace(old, new))
        return self

    def skip(self, *, to: str) -> Self:
        """Leave out the cells up to the one with that tag."""
        while to not in self._waiting[0].tags:
            self._waiting.pop(0)
        return self

    def __getitem__(self, name: str) -> Any:
        return self.names[name]


@pytest.fixture
def notebook_environment(folder: FolderRegistry) -> Iterator[None]:
    """Notebooks run in this process, with a registry of this test's own."""
    with environment(folder.root):
        yield
