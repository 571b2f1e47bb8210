"""No secret of the environment stands in anything that a run leaves or prints, whatever a notebook shows."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import lab
import nbformat
import pytest
from redaction import redacted  # notebooks/redaction.py

from tests.conftest import ROOT

SECRETS = {
    "WANDB_API_KEY": "feedc0de" * 5,
    "DATABASE_PASSWORD": 'p"w<&\\é',
    "DEPLOY_KEY": "-----BEGIN-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\n-----END-----",
    "HTTPS_PROXY": "http://somebody:hunter2hunter2@127.0.0.1:9",
}
SHOWN = ["feedc0de" * 5, 'p"w<&', "MIIEvQIBADANBgkqhkiG9w0BAQ", "hunter2hunter2"]
SPILL = """
import os
for name in {names}:
    print(os.environ[name])
    display({{"text/html": f"<p>{{os.environ[name]}}</p>"}}, raw=True)
os.environ["WANDB_API_KEY"] if {fine} else open(os.environ["WANDB_API_KEY"])
"""


def spilling(directory: Path) -> None:
    """01_data shows all secrets in its last cell, and a small notebook then stops over one of them."""
    path = directory / "01_data.ipynb"
    notebook = nbformat.read(path, 4)
    notebook.cells.append(nbformat.v4.new_code_cell(SPILL.format(names=list(SECRETS), fine=True)))
    nbformat.write(notebook, path)
    begin = "import lab\nregistry, run = lab.begin('stops', globals())"
    sources = ("seed: int = 0  # nothing", begin, SPILL.format(names=list(SECRETS), fine=False))
    small = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(each) for each in sources])
    small.cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(small, directory / "stops.ipynb")


def test_planted_secret_is_in_no_file_that_a_run_leaves(tmp_path: Path) -> None:
    """Executed notebooks, pages, registry, W&B's offline runs, and what is printed, also where a notebook fails."""
    project = tmp_path / "project"
    for room in ("notebooks", "wine_serving"):
        shutil.copytree(ROOT / room, project / room, ignore=shutil.ignore_patterns("__pycache__"))
    spilling(project / "notebooks")
    variables = SECRETS | {"WANDB_MODE": "offline", "PYTHONPATH": str(project), "HOME": str(tmp_path / "home")}
    command: list[str | Path] = [sys.executable, project / "notebooks" / "run.py", "01_data", "stops"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | variables, cwd=project)
    assert done.returncode == 1, done.stderr
    assert "stops stopped: " in done.stderr
    for name in ("01_data", "stops"):
        assert "[redacted]" in (project / "reports" / f"{name}.html").read_text()
    left = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert {"01_data.ipynb", "01_data.html", "index.html"} < {file.name for file in left}
    assert sum(file.suffix == ".wandb" for file in left) == 2
    for secret in SHOWN:
        forms = {form.encode() for form in (secret, json.dumps(secret)[1:-1], secret.replace("<&", "&lt;&amp;"))}
        assert [file for file in left if any(form in file.read_bytes() for form in forms)] == []
        assert secret not in done.stdout + done.stderr


def test_what_is_published_beside_a_verdict_shows_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Notebook and page, whoever wrote the notebook that is being executed."""
    executed = tmp_path / "04_evaluation.ipynb"
    shown = nbformat.v4.new_output("stream", text=f"the key is {SECRETS['WANDB_API_KEY']}")
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", outputs=[shown])]), executed)
    monkeypatch.setenv("WANDB_API_KEY", SECRETS["WANDB_API_KEY"])
    monkeypatch.setenv("PAPERMILL_OUTPUT_PATH", str(executed))
    with lab.pages_so_far() as pages:
        assert pages
        texts = {path.suffix: path.read_text() for path in pages.iterdir()}
    assert texts.keys() == {".ipynb", ".html"}
    assert all("the key is [redacted]" in text for text in texts.values())


def test_what_is_no_secret_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ordinary variables, and secrets so short that ordinary words hold them."""
    monkeypatch.setenv("WINE_API_KEY", "red")
    monkeypatch.setenv("WINE_MODEL", "wine-quality:production")
    text = "a red of wine-quality:production is not redacted"
    assert redacted(text) == text
