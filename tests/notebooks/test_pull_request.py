"""What a pull request's comment says: paired differences, what changed, seconds; and GitHub's own signs."""

import re
import shutil
from pathlib import Path
from typing import Any

import annotations
import nbformat
import pull_request
import pytest
from forest import COLUMNS

from tests.conftest import ROOT
from wine_serving.verdict import Verdict

SLICES = ["all wines", "red wines", "white wines", *(f"grade {n}" for n in ("4 and less", 5, 6, 7, "8 and more"))]
ZERO = {"value": 0.0, "low": 0.0, "high": 0.0}
WORSE = {"value": 0.12, "low": 0.02, "high": 0.31}


def verdict(word: str, version: str, **differences: Any) -> Verdict:
    """Of a candidate beside v0, which is what it is based on."""
    slices = dict.fromkeys(SLICES, WORSE) | differences
    return Verdict.model_validate(
        {
            "verdict": word,
            "promoted": False,
            "reasons": ["worse on red wines"],
            "gates": [],
            "dataset": {"version": "v0", "digest": "354d27480a94"},
            "candidate": {"version": version, "metrics": {"rmse": WORSE}},
            "production": {"version": "v0", "metrics": {"rmse": WORSE}},
            "difference": {"other": "production", "slices": slices, "metrics": {"rmse": slices["all wines"]}},
            "slices": {name: {"wines": 100} for name in SLICES},
        }
    )


@pytest.fixture
def checkouts(tmp_path: Path) -> tuple[Path, Path]:
    """The base and what is checked out: a parameter, a cell and the seconds of a notebook differ."""
    for number, name in enumerate(("base", "head")):
        notebooks, reports = tmp_path / name / "notebooks", tmp_path / name / "reports"
        shutil.copytree(ROOT / "notebooks" / "profiles", notebooks / "profiles")
        reports.mkdir()
        notebook = nbformat.read(ROOT / "notebooks" / "03_training.ipynb", 4)
        if number:
            (cell,) = [each for each in notebook.cells if "parameters" in each.metadata.get("tags", [])]
            cell.source = re.sub(r"seed: Seed = \d+", "seed: Seed = 7", cell.source)
            notebook.cells[-1].source += "\n# ``` ends no fence, and @nobody is called"
        nbformat.write(notebook, notebooks / "03_training.ipynb")
        for cell in notebook.cells[:2]:
            cell.metadata["papermill"] = {"duration": 1.25 + number}
        nbformat.write(notebook, reports / "03_training.ipynb")
    return tmp_path / "base", tmp_path / "head"


def test_a_comment_says_what_changed_and_what_it_cost(checkouts: tuple[Path, Path]) -> None:
    """The verdict first, paired differences, parameters and cells, seconds before and after, both reports."""
    links = {"This report": "https://here", "The base's report": "https://there"}
    text = pull_request.comment(verdict("decline", "v1"), *checkouts, "quick", links)
    assert text.startswith("## Verdict: decline")
    assert "| RMSE | 0.120 (0.020 to 0.310) | 0.120 (0.020 to 0.310) | 0.120 (0.020 to 0.310) |" in text
    assert "` 03_training.seed: 0 → 7 `" in text
    assert re.search(r"` 03_training.ipynb: edited code in “.+”: lab.end\(", text)
    assert "+# ``` ends no fence" in text
    assert "| 03_training | 2.5 | 4.5 |" in text
    assert text.endswith("[This report](https://here) · [The base's report](https://there)")


def test_the_plot_is_read_in_mail_and_terminal(checkouts: tuple[Path, Path]) -> None:
    """Ten lines of at most 78 columns of ASCII, wherever the intervals lie."""
    far = {"grade 8 and more": {"value": -9.0, "low": -9.5, "high": 9.5}}
    text = pull_request.comment(verdict("decline", "v1", **far), *checkouts, "quick", {})
    (plot,) = re.findall(r"```text\n(.*?)\n```", text, re.DOTALL)
    assert len(plot.splitlines()) == 10
    assert all(len(line) <= COLUMNS and line.isascii() for line in plot.splitlines())
    assert "<" in plot.splitlines()[8]


@pytest.mark.parametrize(
    "judged", [verdict("unchanged", "v0"), verdict("equivalent", "v1", **dict.fromkeys(SLICES, ZERO))]
)
def test_what_changes_nothing_in_the_model_differs_by_exactly_zero(
    checkouts: tuple[Path, Path], judged: Verdict
) -> None:
    """The same version, or another with the same scores."""
    base, _ = checkouts
    text = pull_request.comment(judged, base, base, "quick", {})
    assert len(re.findall("exactly zero$", text, re.MULTILINE)) == len(SLICES)
    assert "No parameter and no cell of a notebook." in text


def test_a_base_that_could_not_be_trained_is_said(tmp_path: Path) -> None:
    """What is here is told all the same."""
    text = pull_request.comment(verdict("promote", "v0"), tmp_path / "base", tmp_path, "quick", {})
    assert text.startswith("## Verdict: promote")
    assert "could not be trained" in text


def test_github_shows_the_verdict_and_where_a_notebook_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line each, whatever they say, at the cell that failed; elsewhere than on GitHub nothing."""
    notebook = ROOT / "notebooks" / "03_training.ipynb"
    executed = nbformat.read(notebook, 4)
    failed = [cell for cell in executed.cells if cell.cell_type == "code"][5]
    failed.outputs = [nbformat.v4.new_output("error", ename="ValueError", evalue="no")]
    nbformat.write(executed, tmp_path / notebook.name)
    judged = verdict("hold", "v1").model_copy(update={"reasons": ("100 %\n::error::injected",)})
    assert annotations.of_verdict(judged) == []
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert annotations.of_verdict(judged) == ["::notice title=Verdict: hold::100 %25%0A::error::injected"]
    (said,) = annotations.of_failure(notebook, tmp_path / notebook.name, "no\nwine")
    found = re.fullmatch(
        r"::error file=notebooks/03_training.ipynb,line=(\d+),title=03_training stopped::no%0Awine", said
    )
    assert found
    assert failed["id"] in notebook.read_text().splitlines()[int(found[1]) - 1]
