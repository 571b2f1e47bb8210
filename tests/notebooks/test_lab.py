"""A notebook in JupyterLab: its run begins and ends as it should, and saving it leaves git as it was."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from playwright.sync_api import Browser, expect

from tests.cells import QUIET, environment
from tests.conftest import ROOT
from tests.delivery.here import needs
from tests.servers import free_port

DECLARED = {"dataset": "wine-quality-data:latest", "n_trees": 50, "n_folds": 5, "seed": 7}
BEGIN = "import lab, wandb\nbefore = wandb.run\nregistry, run = lab.begin('02_eda', globals())"
END = "table = lab.end(run, inputs=['wine-quality-data:v0'], outputs=['wine-quality:v1'], rmse=0.7)"


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[InteractiveShell]:
    """A kernel in this process, where the parameters of 02_eda have values."""
    InteractiveShell.clear_instance()
    with environment(tmp_path / "registry"):
        shell = InteractiveShell.instance(config=QUIET)
        shell.user_ns.update(DECLARED)
        yield shell


def run(shell: InteractiveShell, *cells: str) -> None:
    """Run cells, each of which must succeed."""
    for cell in cells:
        shell.run_cell(cell, silent=True).raise_error()


def test_parameters_are_recorded_because_they_are_declared(shell: InteractiveShell) -> None:
    """With the values that they have in this kernel, and nothing else."""
    run(shell, BEGIN)
    assert dict(shell.user_ns["run"].config) == DECLARED


def test_beginning_again_finishes_the_run_before_and_hooks_once(shell: InteractiveShell) -> None:
    """Whoever runs the cell twice has one run that is open, and one hook."""
    run(shell, BEGIN)
    hooks = len(shell.events.callbacks["post_run_cell"])
    run(shell, BEGIN, "assert wandb.run is run is not before")
    assert len(shell.events.callbacks["post_run_cell"]) == hooks


def test_last_cell_says_where_everything_comes_from_and_may_run_twice(shell: InteractiveShell) -> None:
    """Parameters, lineage, code, environment, packages: the same both times."""
    run(shell, BEGIN, END)
    first = shell.user_ns["table"]["value"]
    assert first["parameter", "seed"] == "7"
    assert first["lineage", "made from"] == "wine-quality-data:v0"
    assert {"parameter", "lineage", "code", "environment", "package"} == set(first.index.get_level_values(0))
    run(shell, END, "assert wandb.run is None")
    assert first.equals(shell.user_ns["table"]["value"])


def test_cell_that_raises_ends_the_run(shell: InteractiveShell) -> None:
    """As failed: no run is left that seems to go on."""
    run(shell, BEGIN)
    assert not shell.run_cell("1 / 0").success
    run(shell, "assert wandb.run is None")


@pytest.mark.browser
@pytest.mark.timeout(300)
@needs({"git": shutil.which("git")})
def test_run_all_and_save_leaves_git_clean(chromium: Browser, tmp_path: Path) -> None:
    """In the real JupyterLab as make starts it, which asks for no kernel: outputs and its own marks stay out of git."""
    keep = ROOT / "requirements" / "notebooks.py"
    (tmp_path / ".gitattributes").write_text("*.ipynb filter=nbstripout\n")
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("6 * 7")]), tmp_path / "sum.ipynb")
    git: list[str | Path] = ["git", "-C", tmp_path, "-c", f"filter.nbstripout.clean={sys.executable} {keep}"]
    for words in (["init", "-q"], ["add", ".gitattributes", "sum.ipynb"]):
        subprocess.run([*git, *words], check=True)
    port = free_port()
    options = ["--no-browser", f"--ServerApp.port={port}", "--IdentityProvider.token=", f"--notebook-dir={tmp_path}"]
    command: list[str | Path] = [sys.executable, ROOT / "notebooks" / "tracking.py", *options]
    lab = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | {"HOME": str(tmp_path / "home")}
    )
    assert lab.stderr
    try:
        said = iter(lab.stderr)
        assert any("is running at" in line for line in said)
        page = chromium.new_page()
        page.goto(f"http://127.0.0.1:{port}/lab/tree/sum.ipynb")
        page.locator(".jp-NotebookPanel .jp-CodeCell").click()
        expect(page.locator(".jp-Toolbar-kernelName").first).to_contain_text("Python 3")
        page.locator(".lm-MenuBar-item:has-text('Run')").click()
        page.locator(".lm-Menu-item[data-command='runmenu:run-all']").click()
        expect(page.locator(".jp-OutputArea-output").first).to_contain_text("42")
        page.keyboard.press("Control+s")
        assert any("Saving file at /sum.ipynb" in line for line in said)
        page.close()
    finally:
        lab.terminate()
        lab.communicate()
    saved = nbformat.read(tmp_path / "sum.ipynb", 4)
    assert saved.cells[0].outputs
    assert saved.metadata.kernelspec
    changed = subprocess.run([*git, "diff", "--name-only"], capture_output=True, text=True, check=True).stdout
    assert changed == ""
