"""01_data: a cellar's wines are wines like any other, tables add up, and the split keeps groups whole."""

import hashlib
import math
import os
from itertools import combinations
from pathlib import Path

import grades
import origin
import pandas as pd
import pytest
import splits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wine_tables import KEPT

from tests import tiny
from tests.cells import Cells
from tests.serving.test_tables import xlsx
from wine_serving.errors import ContractError, VersionNotFound
from wine_serving.registry import DATASET, GRADES
from wine_serving.registry.folder import FolderRegistry
from wine_serving.schema import MEASUREMENTS, SEGMENT, TARGET
from wine_serving.settings import ROOT

pytestmark = pytest.mark.usefixtures("notebook_environment")


@pytest.fixture
def cellar() -> pd.DataFrame:
    """A cellar's own forty wines, none of them UCI's."""
    return tiny.made_up_wines(40)[[*MEASUREMENTS, SEGMENT, TARGET]]


def test_own_wines_join_groups_splits_and_digest(cellar: pd.DataFrame, tmp_path: Path, folder: FolderRegistry) -> None:
    """They are rows of the version like UCI's, from a CSV or a spreadsheet, and its sources name both digests."""
    files = {
        "cellar.csv": cellar[:20].to_csv(index=False, sep=";").encode(),
        "later.xlsx": xlsx([[*cellar], *cellar[20:].to_numpy().tolist()]),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    record = Cells("01_data", extra_csv=",".join(str(tmp_path / name) for name in files)).run()["record"]
    parts = [pd.read_parquet(folder.fetch(record.ref) / f"{name}.parquet") for name in splits.SPLITS]
    for name, content in files.items():
        assert (pd.concat(parts)["source"] == name).sum() == 20
        assert record.metadata["sources"][name]["sha256"] == hashlib.sha256(content).hexdigest()


def test_same_rows_give_the_same_version(folder: FolderRegistry) -> None:
    """Nothing that differs between two runs reaches the digest."""
    refs = [Cells("01_data").run()["record"].ref for _ in range(2)]
    assert refs == [f"{DATASET}:v0"] * 2
    assert len(folder.records(DATASET)) == 1


def test_another_seed_gives_another_split() -> None:
    """The seed is a parameter of the split and part of the version."""
    records = [Cells("01_data", split_seed=seed).run()["record"] for seed in (0, 1)]
    assert [record.ref for record in records] == [f"{DATASET}:v0", f"{DATASET}:v1"]
    assert [splits.seed_of(record.metadata) for record in records] == [0, 1]


def test_tables_add_up_until_one_is_left_out(cellar: pd.DataFrame, tmp_path: Path, folder: FolderRegistry) -> None:
    """What was given before is taken out of the dataset before; without the newer one, the first version is back."""
    for name, part in {"old.csv": cellar[:20], "new.csv": cellar[20:]}.items():
        part.to_csv(tmp_path / name, index=False)
    (tmp_path / "more").mkdir()
    (tmp_path / "new.csv").rename(tmp_path / "more" / "new.csv")

    def wanted(**parameters: str) -> list[str]:
        return [*Cells("01_data", **parameters).run(before="join")["own"]]

    assert Cells("01_data", extra_csv=str(tmp_path / "old.csv")).run()["record"].version == "v0"
    (tmp_path / "old.csv").unlink()
    record = Cells("01_data", extra_csv=f"{tmp_path / 'more'}/").run()["record"]
    assert record.version == "v1"
    assert [*record.metadata["sources"]] == [*origin.FILES, "old.csv", "new.csv"]
    assert wanted() == ["old.csv", "new.csv"]
    assert wanted(without="old.csv") == ["new.csv"]
    assert Cells("01_data", without="new.csv").run()["record"].version == "v0"
    assert wanted(without="new.csv") == ["old.csv"]
    listed = folder.record(record.ref).metadata["sources"]["old.csv"]["sha256"]
    assert listed == hashlib.sha256((folder.fetch(record.ref) / KEPT / "old.csv").read_bytes()).hexdigest()


def test_grades_that_came_back_add_up_with_their_dates(cellar: pd.DataFrame, promoted: FolderRegistry) -> None:
    """They are one table more, which later datasets keep; the version that they are of is in the lineage."""
    rows = cellar[:20].assign(
        prediction_id=[f"id-{row}" for row in range(20)], version="v0", assumed="", score=6.0, low=5.0, high=7.0,
        predicted_at="2026-03-02T08:00Z", grade=[*[7.0] * 12, *[math.nan] * 8], graded_at="2026-03-09T08:00Z",
    )  # fmt: skip
    collection = grades.change(promoted, lambda _: rows, {"panel.csv": "0" * 64}).ref
    with pytest.raises(VersionNotFound, match="there are versions v0"):
        Cells("01_data", grades=f"{GRADES}:v7").run(before="join")
    first = Cells("01_data", grades=f"{GRADES}:latest").run()
    back = first["rows"][first["rows"]["source"] == grades.WINES]
    assert (len(back), back[TARGET].tolist()) == (12, [7] * 12)
    assert first["record"].inputs == (collection,) == promoted.record(f"{DATASET}:v0").inputs
    said = first["record"].metadata["sources"][grades.WINES]
    assert said["graded_from"] == said["graded_until"] == "2026-03-09T08:00:00+00:00"
    kept = Cells("01_data").run(before="distinct")
    assert (kept["back"].version, kept["back"].dates) == (first["back"].version, first["back"].dates)
    pd.testing.assert_frame_equal(kept["rows"], first["rows"])
    assert not Cells("01_data", without=grades.WINES).run(before="join")["own"]


def test_version_without_a_grade_is_refused(cellar: pd.DataFrame, promoted: FolderRegistry) -> None:
    """Somebody who names it expects wines of it."""
    rows = cellar[:2].assign(prediction_id=["a", "b"], version="v0", assumed="", asked_at="2026-03-02T08:00Z")
    grades.change(promoted, lambda _: rows, {})
    with pytest.raises(ContractError, match=f"{GRADES}:v0 holds no grade of a wine that was measured: make grades"):
        Cells("01_data", grades=f"{GRADES}:latest").run(before="join")


def test_wines_with_several_grades_keep_the_median_and_their_split(tmp_path: Path, folder: FolderRegistry) -> None:
    """A half stays a half; the page and the version say how many there are; another opinion re-splits nothing."""
    before = Cells("01_data").run()["record"]
    wines = pd.read_parquet(folder.fetch(before.ref) / "test.parquet")
    once = wines[wines["n_rows"] == 1][:340]
    opinions = once[[*MEASUREMENTS, SEGMENT]].assign(**{TARGET: once[TARGET].astype(int) + 1})
    opinions.to_csv(tmp_path / "opinions.csv", index=False)
    cells = Cells("01_data", extra_csv=str(tmp_path / "opinions.csv")).run()
    test = pd.read_parquet(folder.fetch(cells["record"].ref) / "test.parquet")
    assert len(test) == len(wines)
    assert (test[TARGET] % 1 == 0.5).sum() == len(once) == cells["record"].metadata["conflicting"]


def test_table_that_breaks_the_contract_stops_the_notebook(cellar: pd.DataFrame, tmp_path: Path) -> None:
    """Nothing is published; how tables are refused, tests/notebooks/test_wine_tables.py says."""
    cellar.assign(ph=9.0).to_csv(tmp_path / "cellar.csv", index=False)
    with pytest.raises(ContractError, match="row 1: ph must be at most"):
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


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=tables, seed=st.integers(0, 2**32 - 1))
def test_split_never_separates_wines_that_are_nearly_the_same(rows: list[tuple[object, ...]], seed: int) -> None:
    """Whatever the table: wines that agree in all but two measurements, or are linked by such, share a split."""
    cells = Cells("01_data", split_seed=seed).run(before="begin")
    made_up = pd.DataFrame(rows, columns=[*MEASUREMENTS, SEGMENT, TARGET])
    cells.names.update(rows=made_up.assign(source=[origin.NAME, *["made up"] * (len(rows) - 1)]), before=None)
    cells.skip(to="distinct").run(before="grades")
    wines = cells["wines"]
    assert wines["n_rows"].sum() == len(rows)
    for aside in combinations(MEASUREMENTS, 2):
        near = wines.groupby([name for name in MEASUREMENTS if name not in aside])["split"].nunique()
        assert (near == 1).all()
