"""01_data: a cellar's wines are wines like any other, and the split keeps groups whole."""

import hashlib
import os
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
from wine_serving.settings import ROOT

pytestmark = pytest.mark.usefixtures("notebook_environment")


@pytest.fixture
def cellar() -> pd.DataFrame:
    """A cellar's own forty wines, none of them UCI's."""
    return tiny.made_up_wines(40)[[*MEASUREMENTS, SEGMENT, TARGET]]


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


def test_table_that_breaks_the_contract_stops_the_notebook(cellar: pd.DataFrame, tmp_path: Path) -> None:
    """Nothing is published; how tables are refused, tests/notebooks/test_wine_tables.py says."""
    cellar.assign(ph=9.0).to_csv(tmp_path / "cellar.csv", index=False)
    with pytest.raises(ContractError, match="row 0: ph must be at most"):
        Cells("01_data", extra_csv=str(tmp_path / "cellar.csv")).run()


def test_relative_table_starts_at_the_repository(
    cellar: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the notebook runs."""
    cellar.to_csv(tmp_path / "cellar.csv", index=False)
    monkeypatch.chdir(tmp_path)
    cells = Cells("01_data", extra_csv=os.path.relpath(tmp_path / "cellar.csv", ROOT)).run(before="distinct")
    assert (cells["rows"]["source"] == "cellar.csv").sum() == len(cellar)


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
    cells = Cells("01_data", seed=seed).run(before="begin")
    cells.names["rows"] = pd.DataFrame(rows, columns=[*MEASUREMENTS, SEGMENT, TARGET]).assign(source="made up")
    cells.skip(to="distinct").run(before="grades")
    wines = cells["wines"]
    assert wines["n_rows"].sum() == len(rows)
    for aside in combinations(MEASUREMENTS, 2):
        near = wines.groupby([name for name in MEASUREMENTS if name not in aside])["split"].nunique()
        assert (near == 1).all()
