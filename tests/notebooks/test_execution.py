"""How notebooks are executed: progress without a terminal, a kernel that dies, Ctrl-C. Tiny notebooks, real kernels."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.conftest import ROOT
from wine_serving.registry.folder import FolderRegistry

pytestmark = pytest.mark.timeout(300)
DIES = "import os, signal\nprint('so far', flush=True)\nos.kill(os.getpid(), signal.SIGKILL)"


HOLD = json.dumps(
    {
        "verdict": "hold",
        "promoted": False,
        "reasons": ['decide by hand: make promote VERSION=v2 REASON="…"'],
        "gates": [],
        "dataset": {"version": "v0", "digest": "354d27480a94"},
        "candidate": {"version": "v2"},
        "production": {"version": "v1"},
    }
).encode()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project, whose notebooks a test may write."""
    for room in ("notebooks", "wine_serving"):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def write_notebook(project: Path, name: str, code: str) -> None:
    """A notebook of one parameter and two headings."""
    new: Any = nbformat.v4
    prose, cell = new.new_markdown_cell, new.new_code_cell
    parameters = cell("seed: int = 0  # a number", metadata={"tags": ["parameters"]})
    cells = [prose("# Is it?"), parameters, prose("## The first part"), cell(code), prose("## The rest"), cell("6 * 7")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), project / "notebooks" / f"{name}.ipynb")


def start(project: Path, registry: FolderRegistry, *arguments: str) -> subprocess.Popen[str]:
    """The runner of that project, without a terminal."""
    command: list[str | Path] = [sys.executable, project / "notebooks" / "run.py", *arguments]
    variables = {"WINE_REGISTRY": f"folder:{registry.root}", "WANDB_MODE": "disabled", "PYTHONPATH": str(project)}
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=project,
        env=os.environ | variables,
        start_new_session=True,
    )


def test_each_heading_is_told_and_the_slowest_cells(project: Path, folder: FolderRegistry) -> None:
    """With seconds: who reads a log knows where it is, and where the time went."""
    write_notebook(project, "sum", "1 + 1")
    said, errors = start(project, folder, "sum").communicate()
    assert errors == ""
    told = [re.sub(r"^ +\d+\.\d s  ", "… ", line) for line in said.splitlines()]
    assert told[:4] == ["── sum", "… The first part", "… The rest", "   The 5 slowest cells:"]
    assert {"… The first part | 1 + 1", "… The rest | 6 * 7"} < set(told[4:7])


def test_what_a_long_cell_says_of_its_progress_is_told(project: Path, folder: FolderRegistry) -> None:
    """Lines that begin with …, while it runs; what else it writes to stderr stays in the report."""
    says = "import sys\nprint('… 3 of 8 trials', file=sys.stderr, flush=True)\nprint('a warning', file=sys.stderr)"
    write_notebook(project, "long", says)
    said, errors = start(project, folder, "long").communicate()
    assert errors == ""
    assert "   … 3 of 8 trials" in said.splitlines()
    assert "a warning" not in said


def test_kernel_that_dies_is_a_cell_that_failed(project: Path, folder: FolderRegistry) -> None:
    """One sentence, exit code 1, and a page up to that cell."""
    write_notebook(project, "dies", DIES)
    process = start(project, folder, "dies")
    said, errors = process.communicate()
    assert process.returncode == 1
    assert errors.startswith("dies stopped: DeadKernelError: its kernel died, most often because memory ran out")
    assert len(errors.splitlines()) == 1
    assert "The rest" not in said
    page = (project / "reports" / "dies.html").read_text()
    assert "This cell stopped the notebook" in page
    assert "so far" in page


def test_ctrl_c_ends_with_one_line(project: Path, folder: FolderRegistry) -> None:
    """And the exit code that says so."""
    write_notebook(project, "long", "import time; time.sleep(600)")
    process = start(project, folder, "long")
    assert process.stdout
    assert any("The first part" in line for line in process.stdout)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert errors.startswith("Stopped by Ctrl-C")
    assert len(errors.splitlines()) == 1


def test_notebook_that_only_informs_may_fail(project: Path, folder: FolderRegistry) -> None:
    """It is said, and harms nothing; what was decided is told, and no verdict is an error."""
    write_notebook(project, "decides", f"from wine_serving.verdict import Verdict; display(Verdict.read({HOLD!r}))")
    write_notebook(project, "informs", "1 / 0")
    process = start(project, folder, "decides", "--afterwards", "informs")
    said, errors = process.communicate()
    assert process.returncode == 0
    assert "decides.html" in said
    assert "Verdict: hold" in said
    assert "make promote VERSION=v2" in said
    assert errors == "informs stopped: ZeroDivisionError: division by zero; it only informs, what was decided stands\n"
