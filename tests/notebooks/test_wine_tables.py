"""notebooks/wine_tables.py: which files are taken as tables of graded wines, and how others are refused."""

from collections.abc import Callable
from pathlib import Path

import origin
import pandas as pd
import pytest
from wine_tables import given_table, given_tables, read_table, wanted_tables

from tests import tiny
from wine_serving.errors import ContractError
from wine_serving.schema import MEASUREMENTS, SEGMENT, TARGET


@pytest.fixture
def cellar() -> pd.DataFrame:
    """A cellar's own forty wines."""
    return tiny.made_up_wines(40)[[*MEASUREMENTS, SEGMENT, TARGET]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where their table is written."""
    return tmp_path / "cellar.csv"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_table_is_read_however_it_is_separated(cellar: pd.DataFrame, path: Path, separator: str) -> None:
    """Headers may be written as people write them."""
    people_write = cellar.rename(columns=lambda name: name.replace("_", " ").title())
    people_write.to_csv(path, index=False, sep=separator)
    pd.testing.assert_frame_equal(read_table(path), cellar)


def test_origins_files_are_read_to_the_last_bit() -> None:
    """As pandas reads them: a dataset made before is made again."""
    for name in origin.FILES:
        path = origin.from_package(name)
        table = read_table(path, **origin.constants(name))
        by_pandas = pd.read_csv(path, sep=";").rename(columns=lambda each: each.replace(" ", "_").lower())
        pd.testing.assert_frame_equal(table, by_pandas.assign(**origin.constants(name))[[*table]])


SPOILERS: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "missing column": (lambda t: t.drop(columns="ph"), r"lacks ph"),
    "renamed column": (lambda t: t.rename(columns={"ph": "acid"}), r"lacks ph"),
    "no grade": (lambda t: t.drop(columns="quality"), r"lacks quality"),
    "density in kg/m³": (lambda t: t.assign(density=t["density"] * 1000), r"row 1: density must be at most"),
    "negative acidity": (lambda t: t.assign(fixed_acidity=-1.0), r"row 1: fixed_acidity must be at least 0"),
    "third colour": (lambda t: t.assign(color="rosé"), r"row 1: color .*'red' or 'white'"),
}


@pytest.mark.parametrize(("spoil", "rule"), SPOILERS.values(), ids=SPOILERS)
def test_table_without_a_wine_is_refused_naming_row_column_and_rule(
    cellar: pd.DataFrame, path: Path, spoil: Callable[[pd.DataFrame], pd.DataFrame], rule: str
) -> None:
    """A cellar's table is held against the same contract as UCI's."""
    spoil(cellar).to_csv(path, index=False)
    with pytest.raises(ContractError, match=rule):
        read_table(path)


CELLS = {
    "text": ("alcohol", "strong", "alcohol must be a number, not strong"),
    "nothing": ("ph", "", "ph was not measured"),
    "below the limit": ("chlorides", "<0.05", "chlorides says <0.05"),
    "free above total": ("free_sulfur_dioxide", 300.0, "free_sulfur_dioxide (300.0) is above"),
    "grade between": ("quality", 5.5, "quality must be a whole grade from 0 to 10, not 5.5"),
    "grade as a word": ("quality", "good", "quality must be a number, not good"),
}


@pytest.mark.parametrize(("column", "cell", "rule"), CELLS.values(), ids=CELLS)
def test_bad_cell_leaves_out_its_row_alone_and_is_told(
    cellar: pd.DataFrame, path: Path, capsys: pytest.CaptureFixture[str], column: str, cell: str | float, rule: str
) -> None:
    """By row, column, rule and remedy; all other rows are taken."""
    spoilt = cellar.astype(object)
    spoilt.loc[4, column] = cell
    spoilt.to_csv(path, index=False)
    pd.testing.assert_frame_equal(read_table(path), cellar.drop(index=4).reset_index(drop=True))
    said = capsys.readouterr().out
    assert said.startswith("cellar.csv: 1 of 40 rows are left out:\n  row 5: ")
    assert rule in said


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n\x00\x00\xff\xfe", b"<html>not found</html>"])
def test_file_that_is_no_table_is_refused_in_a_sentence(path: Path, content: bytes) -> None:
    """Empty, binary, or a page of some server: never a stack trace of the reader."""
    path.write_bytes(content)
    with pytest.raises(ContractError, match=r"cellar\.csv: the file is (empty|no t)"):
        read_table(path)


@pytest.mark.parametrize("name", ["environ.csv", "environ.tsv", "link.csv"])
def test_refusal_quotes_nothing_of_a_file_that_is_no_table(tmp_path: Path, name: str) -> None:
    """It may be anything, and reports are shown to others."""
    content = "PATH=/bin\0WANDB_API_KEY=0123456789abcdef,alcohol;quality\0"
    (tmp_path / "environ").write_text(content)
    (tmp_path / name).symlink_to(tmp_path / "environ")
    with pytest.raises(ContractError, match="the file is no t") as refused:
        read_table(given_table(str(tmp_path / name)))
    assert not [word for word in ("PATH", "WANDB", "0123") if word in str(refused.value)]


def test_file_that_does_not_end_like_a_table_is_not_read() -> None:
    """In JupyterLab as under make, where it is refused before anything runs."""
    with pytest.raises(
        ContractError, match=r"environ cannot be read as a table: extra_csv must end in \.csv, \.tsv, \.xlsx, or /"
    ):
        given_table("/proc/self/environ")


def test_workflow_reads_tables_of_its_repository_only(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a form names lies inside, also behind a link."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    with pytest.raises(ContractError, match="lies outside the repository"):
        given_table(str(path))


def test_files_and_folders_are_named_in_one_text(tmp_path: Path) -> None:
    """What else lies in a folder is left alone."""
    for name in ("b.csv", "folder/c.TSV", "folder/a.csv", "folder/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    named = given_tables(f"{tmp_path}/b.csv, {tmp_path}/folder/,{tmp_path}/folder/a.csv")
    assert named == {name: tmp_path / path for name, path in {"b.csv": "b.csv", "a.csv": "folder/a.csv"}.items()} | {
        "c.TSV": tmp_path / "folder" / "c.TSV"
    }
    assert not given_tables(None)


@pytest.mark.parametrize(
    ("named", "sentence"),
    [
        ("{0}/a.csv,{0}/folder/", "have one name, by which tables are known: rename one"),
        ("{0}/nowhere/", r"nowhere is no folder with a \.csv, \.tsv or \.xlsx file"),
        ("{0}/winequality-red.csv", "is the name of a file of the origin"),
        ("{0}/WineQuality-Red.CSV", "is the name of a file of the origin"),
        ("{0}/wine-quality-grades.csv", "or of grades that came back: give your table another one"),
    ],
)
def test_tables_that_cannot_be_told_apart_are_refused(tmp_path: Path, named: str, sentence: str) -> None:
    """Their name is how a person leaves them out later."""
    (tmp_path / "folder").mkdir()
    for name in ("a.csv", "folder/a.csv"):
        (tmp_path / name).touch()
    with pytest.raises(ContractError, match=sentence):
        wanted_tables(origin.FILES, None, named.format(tmp_path), None, ever=())


def test_only_a_known_table_can_be_left_out(tmp_path: Path) -> None:
    """A misspelt name would leave a table in that somebody wanted out; one that is out already may be named again."""
    named = str(tmp_path / "cellar.csv")
    with pytest.raises(ContractError, match=r"celar\.csv cannot be left out: tables given so far are cellar\.csv"):
        wanted_tables(origin.FILES, None, named, "celar.csv", ever=("old.csv",))
    assert not wanted_tables(origin.FILES, None, named, "cellar.csv, old.csv", ever=("old.csv",))


def test_table_that_an_older_dataset_did_not_keep_is_asked_for(tmp_path: Path) -> None:
    """It is not dropped in silence: it is given again, or left out by its name."""
    (tmp_path / "dataset.json").write_text('{"format": 1, "sources": {"cellar.csv": {}, "winequality-red.csv": {}}}')
    with pytest.raises(ContractError, match=r"names cellar\.csv, but was made when datasets did not keep their tables"):
        wanted_tables(origin.FILES, tmp_path, None, None, ever=())
    assert not wanted_tables(origin.FILES, tmp_path, None, "cellar.csv", ever=())
    given = str(tmp_path / "cellar.csv")
    assert wanted_tables(origin.FILES, tmp_path, given, None, ever=()) == {"cellar.csv": tmp_path / "cellar.csv"}
