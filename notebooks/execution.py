"""How papermill executes a notebook here: it says where it is, and what it writes has lost its secrets.

A kernel that dies is a cell that failed, as any other.
"""

import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import papermill
import redaction
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from papermill.iorw import papermill_io
from traitlets.config import Config

from wine_serving import errors

SCHEME = "redacted://"  # papermill finds RedactedFiles by it
DIED = "its kernel died, most often because memory ran out: ask for less, or close other programs"
SLOWEST = 5


class Stopped(Exception):
    """A cell failed: how."""


class RedactedFiles:
    """How papermill writes a notebook, while it is executed and afterwards."""

    def write(self, text: str, path: str) -> None:
        """Write it without the environment's secrets."""
        redaction.write(Path(path.removeprefix(SCHEME)), text)

    def pretty_path(self, path: str) -> str:
        """What papermill's own log calls the file."""
        return path.removeprefix(SCHEME)


class Told:
    """What a notebook says of how far it has come, line by line, while a cell still runs: lines that begin with …."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def write(self, text: str) -> None:
        """Part of what the kernel writes to stderr."""
        for line in text.splitlines():
            if line.startswith("… "):
                self._tell(line)

    def flush(self) -> None:
        """Nothing waits."""


class Engine(NBClientEngine):  # type: ignore[misc] # papermill comes without types
    """Papermill's own, telling each heading as its cells begin; before a cell with code what was shown is written.

    Papermill would write the notebook before and after every cell, of prose as well: a quarter of all it does.
    """

    @classmethod
    def execute_managed_notebook(
        cls, nb_man: Any, kernel_name: str, *, tell: Callable[[str], None], **given: Any
    ) -> Any:
        """The executed notebook, up to the cell that failed."""
        started, begun, write = time.perf_counter(), [nb_man.nb.cells[0]], nb_man.save
        nb_man.save = lambda **_: None

        def begin(cell: NotebookNode, **_: int) -> None:
            begun.append(cell)
            if cell.cell_type == "code":
                write()
            elif heading := heading_of(cell):
                tell(f"{time.perf_counter() - started:6.1f} s  {heading}")

        try:
            return super().execute_managed_notebook(nb_man, kernel_name, on_cell_start=begin, **given)
        except DeadKernelError:
            begun[-1].outputs.append(nbformat.v4.new_output("error", ename="DeadKernelError", evalue=DIED))
            nb_man.cell_exception(begun[-1])
            return nb_man.nb


for _name in ("papermill", "asyncio"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)  # what they would report is checked or told here
papermill_io.register(SCHEME, RedactedFiles())
papermill_engines.register("telling", Engine)


def execute(notebook: Path, parameters: dict[str, Any], executed: Path, tell: Callable[[str], None]) -> NotebookNode:
    """The executed notebook, which is also written, cell by cell; Stopped when a cell fails."""
    bar = sys.stderr.isatty()
    try:
        done: NotebookNode = papermill.execute_notebook(
            notebook,
            f"{SCHEME}{executed}",
            parameters,
            engine_name="telling",
            kernel_name="python3",
            language="python",
            cwd=notebook.parent,
            extra_arguments=["--log-level=CRITICAL"],  # of the kernel: what ends it is told here
            progress_bar=bar,
            stderr_file=Told(tell),
            tell=(lambda _: None) if bar else tell,
            start_timeout=120,
            config=Config({"KernelManager": {"transport_encryption": "auto"}}),
        )
    except PapermillExecutionError as error:
        ours = hasattr(errors, error.ename)  # its sentence says enough
        raise Stopped(error.evalue if ours else f"{error.ename}: {error.evalue}") from None
    except RuntimeError as error:  # of jupyter_client: there is no kernel to say it
        raise Stopped(
            f"{error}: see whether a firewall keeps programs on 127.0.0.1 apart, and run this again"
        ) from None
    if not bar:
        tell(f"The {SLOWEST} slowest cells:")
        for line in slowest(done):
            tell(line)
    return done


def heading_of(cell: NotebookNode) -> str:
    """The heading of a section in a cell of prose; empty when it has none."""
    return next((line.lstrip("# ") for line in cell.source.splitlines() if line.startswith("## ")), "")


def slowest(notebook: NotebookNode) -> list[str]:
    """The cells that took longest, each by its heading and its first line."""
    heading, cells = "", []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            heading = heading_of(cell) or heading
        elif cell.source:
            cells.append((cell.metadata.papermill.duration or 0.0, f"{heading} | {cell.source.splitlines()[0]}"))
    return [f"{seconds:6.1f} s  {what:.100}" for seconds, what in sorted(cells, reverse=True)[:SLOWEST]]
