"""Parameters are a contract: what no notebook declares, or declares otherwise, is refused before a kernel starts."""

import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest
from papermill.inspection import _infer_parameters
from papermill.iorw import load_notebook_node
from parameters import assigned, declared  # notebooks/parameters.py
from run import main, without_parameters

from tests.conftest import ROOT
from wine_serving.registry import DATASET

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize(
    ("notebook", "name", "value", "sentence"),
    [
        ("01_data", "test_fractoin", "0.2", "01_data has no parameter test_fractoin; it has data_dir, extra_csv"),
        ("01_data", "test_fraction", "1.5", "test_fraction=1.5 is refused: Input should be less than 0.5"),
        ("01_data", "split_seed", "1.5", "split_seed=1.5 is refused: Input should be a valid integer"),
        ("01_data", "split_seed", "one", "split_seed='one' is refused: Input should be a valid integer"),
        ("01_data", "seed", "1", "01_data has no parameter seed; it has data_dir, extra_csv"),
        ("01_data", "test_fraction", "nan", "test_fraction='nan' is refused: Input should be a valid number"),
        ("01_data", "without", "\udcff", r"without='\udcff' is refused: it is no text in UTF-8"),
        ("01_data", "extra_csv", "no", "extra_csv='no' is refused: String should match"),
        ("01_data", "extra_csv", "7", "extra_csv=7 is refused: Input should be a valid string"),
        (
            "01_data",
            "extra_csv",
            "/proc/self/environ",
            "extra_csv='/proc/self/environ' is refused: String should match",
        ),
        ("03_training", "estimator", "forrest", "estimator='forrest' is refused: Input should be 'random_forest'"),
        ("03_training", "n_estimators", "-1", "n_estimators=-1 is refused"),
        ("04_evaluation", "promote", "true", "promote=True is refused: Input should be 'never', 'first' or 'always'"),
        ("04_evaluation", "min_wines", "0", "min_wines=0 is refused: Input should be greater than or equal to 1"),
        ("01_data", "api_key", "x", "api_key looks like a secret"),
        ("01_data", "extra_csv", "ghp_" + "a" * 36, "extra_csv looks like a secret"),
        ("03_training", "dataset", "0123456789abcdef" * 2 + "01234567", "dataset looks like a secret"),
        ("01_data", "extra_csv", "a.csv, secret", "extra_csv='a.csv, secret' is refused: String should match"),
        (
            "03_training",
            "01_data.split_seed",
            "1",
            "01_data.split_seed is for 01_data, which this command does not run",
        ),
        ("03_training", "03_training.sed", "1", "03_training has no parameter sed; it has dataset"),
        ("03_training", "03_training.seed", "one", "seed='one' is refused: Input should be a valid integer"),
        ("05_deploy", "seed", "1", "there is no notebook 05_deploy; there are"),
    ],
)
def test_bad_parameter_is_refused_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], notebook: str, name: str, value: str, sentence: str
) -> None:
    """Exit code 2, one sentence that names the parameter and what is allowed, and no trace of a run."""
    assert main(["--reports", str(tmp_path / "reports"), notebook, "-p", name, value]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "reports").exists()


TYPED: dict[str, tuple[str, str, object]] = {
    "a name that YAML would take for a comment": ("extra_csv", "#1.csv", "#1.csv"),
    "a name that YAML cannot read": ("extra_csv", "@home.csv", "@home.csv"),
    "a name like a list": ("extra_csv", "[a].csv", "[a].csv"),
    "a spreadsheet and a folder": ("extra_csv", "cellar.xlsx,more/", "cellar.xlsx,more/"),
    "a name like an option": ("without", "--help", "--help"),
    "digits for a name": ("without", "010", "010"),
    "a word for a name": ("without", "null", "null"),
    "a number with a zero before it": ("split_seed", "010", 10),
    "a number as computers write it": ("split_seed", "1e3", 1000),
    "a share": ("test_fraction", ".25", 0.25),
    "no name": ("without", "", None),
    "nothing": ("extra_csv", "none", None),
}


@pytest.mark.parametrize(("name", "text", "value"), TYPED.values(), ids=TYPED)
def test_parameter_arrives_as_typed(name: str, text: str, value: object) -> None:
    """Text stays text, and a number is what a person means by it."""
    notebook = ROOT / "notebooks" / "01_data.ipynb"
    words, typed = without_parameters(["01_data", "-p", name, text])
    assert words == ["01_data"]
    assert assigned(dict(typed), [notebook])[notebook] == {name: value}


def test_text_that_is_refused_is_quoted_as_it_was_typed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also where it looks like a number, and in PARAMS."""
    assert main(["--reports", str(tmp_path / "reports"), "01_data", "--typed=-p extra_csv 010"]) == 2
    assert "extra_csv='010' is refused" in capsys.readouterr().err


def test_reports_that_cannot_be_written_are_said_before_anything_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """As on a disk that is full or may only be read: with what to do, and no notebook is begun."""
    assert main(["--reports", "/dev/full/reports", "01_data"]) == 1
    assert capsys.readouterr().err.startswith("/dev/full/reports: Not a directory; ")


def test_no_folder_for_temporary_files_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """By its variable, before anything runs; where another can be written it is used."""
    monkeypatch.setenv("TMPDIR", "/nope")
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/nope"])
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert main(["--reports", str(tmp_path / "reports"), "01_data"]) == 1
    assert capsys.readouterr().err.startswith("no folder for temporary files can be written (TMPDIR=/nope): let TMPDIR")


def test_refused_parameter_of_a_later_notebook_stops_the_first_one(tmp_path: Path) -> None:
    """A pipeline does not run for minutes to stumble at its end; whoever called it sees the exit code."""
    command: list[str | Path] = [sys.executable, ROOT / "notebooks" / "run.py", "--reports", tmp_path / "reports"]
    refused = [*command, "01_data", "04_evaluation", "-p", "n_resamples", "5"]
    done = subprocess.run(refused, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "04_evaluation: n_resamples=5 is refused" in done.stderr
    assert not (tmp_path / "reports").exists()


def test_name_with_several_meanings_is_given_to_one_notebook(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bare, it is refused with the choices, for a seed of the fit is none of the resamples."""
    stages = ["01_data", "02_eda", "03_training", "04_evaluation"]
    assert main(["--reports", str(tmp_path / "reports"), *stages, "-p", "seed", "7"]) == 2
    refused = capsys.readouterr().err
    for choice in ("02_eda.seed (", "03_training.seed (makes the fit repeatable)", "04_evaluation.seed ("):
        assert choice in refused
    paths = [ROOT / "notebooks" / f"{stage}.ipynb" for stage in stages]
    given = assigned({"03_training.seed": "7", "dataset": f"{DATASET}:v1"}, paths)
    assert [given[path] for path in paths] == [
        {},
        {"dataset": f"{DATASET}:v1"},
        {"dataset": f"{DATASET}:v1", "seed": 7},
        {},
    ]


def test_no_seed_of_another_notebook_splits_anew() -> None:
    """The split's has a name that no other notebook has."""
    having = [path.stem for path in NOTEBOOKS if "split_seed" in declared(path)]
    assert having == ["01_data"]
    assert "seed" not in declared(ROOT / "notebooks" / "01_data.ipynb")


def test_unknown_profile_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Naming the profiles that there are."""
    assert main(["--profile", "fast", "01_data"]) == 2
    assert capsys.readouterr().err == "PROFILE=fast is unknown: it must be found, full or quick\n"


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_parameter_says_its_type_and_meaning(notebook: Path) -> None:
    """Papermill finds each as Python declares it (its kernel is named by who runs it: notebooks in git name none)."""
    described = _infer_parameters(load_notebook_node(str(notebook)), name="python3", language="python")
    assert described
    for parameter in described:
        assert parameter.inferred_type_name not in ("", "None")
        assert parameter.help.strip()


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_reads_as_literature(notebook: Path) -> None:
    """It opens with a question; prose stands before each code cell, which is small; one cell holds the parameters."""
    cells = nbformat.read(notebook, 4).cells
    assert cells[0].source.startswith("# ")
    assert cells[0].source.splitlines()[0].endswith("?")
    assert sum("parameters" in cell.metadata.get("tags", []) for cell in cells) == 1
    for before, cell in pairwise(cells):
        if cell.cell_type == "code":
            assert before.cell_type == "markdown" or cell.metadata.get("tags") == ["parameters"]
            assert len(cell.source.splitlines()) <= 70
            assert not cell.outputs
            assert cell.execution_count is None
