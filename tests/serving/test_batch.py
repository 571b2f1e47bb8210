"""`make score`: a table in, a table out, and what becomes of it when something dies in between."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import psutil
import pytest

from tests import servers, tiny
from tests.conftest import ROOT
from tests.disks import small_disk
from tests.stand_ins import deadly
from wine_serving import batch, lines, parts, workers
from wine_serving.bundle import REFERENCE_FILE
from wine_serving.errors import ContractError, ScoringError, VersionNotFound, WineServingError
from wine_serving.provenance import VERSION
from wine_serving.registry import MODEL
from wine_serving.registry.folder import FolderRegistry

pytestmark = pytest.mark.timeout(300)
PRODUCTION = f"{MODEL}:production"


@pytest.fixture(scope="module")
def wines() -> pd.DataFrame:
    """What a cellar may have: an id, the measurements, and grades under the name of what is predicted."""
    return tiny.made_up_wines(600, seed=5).drop(columns=["n_rows", "group", "source"]).assign(bottle=lambda t: t.index)


@pytest.fixture
def folder_of_wines(wines: pd.DataFrame, tmp_path: Path) -> Path:
    """The same in six files."""
    place = tmp_path / "cellar"
    place.mkdir()
    for number in range(6):
        wines[100 * number : 100 * number + 100].to_parquet(place / f"{number}.parquet")
    return place


def score(registry: FolderRegistry, given: str | Path, output: Path, model: str = PRODUCTION) -> list[str]:
    """To the end; what was told."""
    return list(batch.score(registry, str(given), str(output), model, os.environ.get(workers.ADDRESS)))


def scored(output: Path) -> pd.DataFrame:
    """All scored rows, by bottle."""
    return pd.read_parquet(output / "scored").sort_values("bottle", ignore_index=True)


def manifest(output: Path) -> dict[str, Any]:
    """What is told of the whole."""
    told: dict[str, Any] = json.loads((output / "manifest.json").read_text())
    return told


def unfinished(output: Path) -> list[Path]:
    """What was begun there and not finished."""
    return [path for path in (output / "_unfinished").rglob("*") if path.is_file()]


@pytest.mark.usefixtures("on_cluster")
def test_rows_are_given_back_with_what_the_api_says_of_them(
    promoted: FolderRegistry, wines: pd.DataFrame, folder_of_wines: Path, client: httpx.Client, tmp_path: Path
) -> None:
    """To the last bit, under the API's names; other columns are carried through, and the model is named."""
    score(promoted, folder_of_wines, tmp_path / "out")
    found = scored(tmp_path / "out")
    answers = client.post("/predict/batch", json={"wines": tiny.as_wines(wines)}).raise_for_status().json()
    said = answers["predictions"]
    assert found["quality"].tolist() == [each["quality"] for each in said]
    assert found["low"].tolist() == [each["interval"]["low"] for each in said]
    assert found["high"].tolist() == [each["interval"]["high"] for each in said]
    assert found["grade"].tolist() == [each["grade"]["value"] for each in said]
    assert found["share"].tolist() == [each["grade"]["share"] for each in said]
    assert [each.tolist() for each in found["probabilities"]] == [[*each["probabilities"].values()] for each in said]
    assert found["at_least_7"].tolist() == [each["at_least_7"] for each in said]
    assert found["unusual"].tolist() == [bool(each["warnings"]) for each in said]
    outside = [[one["field"] for one in each["warnings"] if one["field"]] for each in said]
    assert [list(each) for each in found["outside"]] == outside
    given = found.rename(columns={"given_quality": "quality"}).loc[:, ~found.columns.isin(["quality"])]
    pd.testing.assert_frame_equal(given[[*wines.columns]], wines)
    assert {*found["model_version"]} == {"v0"}
    assert {*found["model_digest"]} == {promoted.record(PRODUCTION).digest}


@pytest.mark.usefixtures("on_cluster")
def test_row_that_is_no_wine_is_refused_with_the_rule_that_the_api_names(
    promoted: FolderRegistry, wines: pd.DataFrame, client: httpx.Client, tmp_path: Path
) -> None:
    """By row, column and sentence, and counted; all others are scored."""
    spoiled = wines.astype({"free_sulfur_dioxide": float, "color": object})
    spoiled.loc[3, "alcohol"] = 95.0
    spoiled.loc[[10, 11], "density"] = [np.nan, np.inf]
    spoiled.loc[20, ["ph", "chlorides"]] = [-1.0, 9.0]
    spoiled.loc[30, "free_sulfur_dioxide"] = 500.0
    spoiled.loc[40, "color"] = "rosé"
    spoiled.to_parquet(tmp_path / "in.parquet")
    told = score(promoted, tmp_path / "in.parquet", tmp_path / "out")
    assert told[0].startswith("600 rows: 594 scored, 6 refused")
    assert {name: manifest(tmp_path / "out")[name] for name in ("rows", "scored", "refused")} == {
        "rows": 600, "scored": 594, "refused": 6,
    }  # fmt: skip
    refused = pd.read_parquet(tmp_path / "out" / "refused")
    assert set(refused["file"]) == {str(tmp_path / "in.parquet")}
    sendable = [3, 20, 30, 40]
    wrong = client.post("/predict/batch", json={"wines": tiny.as_wines(spoiled.loc[sendable])}).json()["errors"]
    by_api = [(sendable[each["row"]], each["field"], each["message"]) for each in wrong]
    by_hand = [(10, "density", "density is missing"), (11, "density", "density must be a finite number")]
    assert [*refused[["row", "column", "rule"]].itertuples(index=False, name=None)] == sorted(
        by_api + by_hand, key=lambda each: each[0]
    )
    assert scored(tmp_path / "out")["bottle"].tolist() == wines["bottle"].drop([3, 10, 11, 20, 30, 40]).tolist()


@pytest.mark.usefixtures("on_cluster")
def test_csv_of_people_is_scored_as_the_api_reads_it(
    promoted: FolderRegistry, wines: pd.DataFrame, tmp_path: Path
) -> None:
    """Semicolons, decimal commas, names with units and capitals; each row that cannot be read says why."""
    noted = wines.assign(cellar="Quinta").rename(columns={"alcohol": "Alcohol (% vol)", "ph": "pH"})
    noted.to_csv(tmp_path / "in.csv", sep=";", decimal=",", index=False)
    rows = (tmp_path / "in.csv").read_text().splitlines()
    place = [*noted.columns].index("Alcohol (% vol)")
    cells = rows[8].split(";")
    rows[8] = ";".join([*cells[:place], "strong", *cells[place + 1 :]])
    (tmp_path / "in.csv").write_text("\n".join([*rows, ""]))
    told = score(promoted, tmp_path / "in.csv", tmp_path / "out")
    assert told[0].startswith("600 rows: 599 scored, 1 refused")
    (refused,) = pd.read_parquet(tmp_path / "out" / "refused").to_dict("records")
    assert (refused["row"], refused["column"]) == (7, "Alcohol (% vol)")
    assert refused["rule"].startswith("alcohol must be a number, not strong")
    kept = pd.read_parquet(tmp_path / "out" / "scored")
    assert kept["bottle"].astype(int).tolist() == [row for row in range(600) if row != 7]
    assert kept["alcohol"].tolist() == wines["alcohol"].drop(7).tolist()
    assert {*kept["cellar"]} == {"Quinta"}
    assert {*kept["given_quality"]} <= {*map(str, range(11))}


def test_big_csv_is_cut_at_line_ends_and_rows_keep_their_numbers(
    wines: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line break inside of quotes ends no line."""
    wines.assign(note='he said "crisp"\nand left').to_csv(tmp_path / "in.csv", index=False)
    monkeypatch.setattr(lines, "BLOCK", 5_000)
    monkeypatch.setattr(lines, "SPAN", 20_000)
    found = parts.examine(str(tmp_path / "in.csv")).parts
    assert len(found) > 3
    batches = [(part, each) for part in found for each in parts.read(part)]
    assert [number for _, each in batches for number in each.numbers.tolist()] == [*range(600)]
    assert [int(text) for _, each in batches for text in each.rows["bottle"].to_pylist()] == [*range(600)]
    assert {note for _, each in batches for note in each.rows["note"].to_pylist()} == {'he said "crisp"\nand left'}
    assert not any(each.malformed for _, each in batches)


@pytest.mark.usefixtures("on_cluster")
def test_glob_and_address_are_taken_as_files_are(
    promoted: FolderRegistry, folder_of_wines: Path, tmp_path: Path
) -> None:
    """Whatever fsspec knows, for what comes in and for what goes out."""
    told = score(promoted, f"file://{folder_of_wines}/[0-2].parquet", tmp_path / "out")
    assert told[0].startswith("300 rows: 300 scored, 0 refused")
    address = os.environ[workers.ADDRESS]
    told = [*batch.score(promoted, f"{folder_of_wines}/5.parquet", f"file://{tmp_path}/other", PRODUCTION, address)]
    assert told[0].startswith("100 rows")
    assert len(scored(tmp_path / "other")) == 100


@pytest.mark.usefixtures("on_cluster")
def test_second_run_does_what_is_missing_and_nothing_else(
    promoted: FolderRegistry, folder_of_wines: Path, tmp_path: Path
) -> None:
    """Files that are there stay as they are, and what a killed run has left is swept."""
    output = tmp_path / "out"
    score(promoted, folder_of_wines, output)
    before = {path.name: path.stat().st_mtime_ns for path in (output / "scored").iterdir()}
    assert len(before) == 6
    (output / "scored" / "part-00002.parquet").unlink()
    (output / "_unfinished").mkdir(exist_ok=True)
    (output / "_unfinished" / "scored-00002-0").write_bytes(b"half of it")
    assert score(promoted, folder_of_wines, output)[0] == "5 of 6 parts are there already"
    after = {path.name: path.stat().st_mtime_ns for path in (output / "scored").iterdir()}
    assert [name for name in after if after[name] != before[name]] == ["part-00002.parquet"]
    assert scored(output)["bottle"].tolist() == [*range(600)]
    assert unfinished(output) == []


@pytest.mark.usefixtures("on_cluster")
def test_folder_is_for_one_model_and_one_input(
    promoted: FolderRegistry, folder_of_wines: Path, bundle_copy: Path, tmp_path: Path
) -> None:
    """Another model, other wines, or somebody else's files there: refused before anything is written."""
    output = tmp_path / "out"
    score(promoted, folder_of_wines, output)
    (bundle_copy / "MODEL_CARD.md").write_text("# Another\n")
    other = promoted.publish(bundle_copy, MODEL, kind="model").ref
    with pytest.raises(ScoringError, match=r"is another job's, as model differ: name another folder"):
        score(promoted, folder_of_wines, output, other)
    (folder_of_wines / "5.parquet").unlink()
    with pytest.raises(ScoringError, match=r"is another job's, as inputs differ: name another folder"):
        score(promoted, folder_of_wines, output)
    with pytest.raises(ScoringError, match="holds something else: name an empty folder"):
        score(promoted, folder_of_wines, tmp_path / "registry")
    assert manifest(output)["rows"] == 600


def spoil_header(place: Path) -> None:
    wines = pd.read_parquet(place / "3.parquet")
    wines.drop(columns=["ph", "alcohol"]).to_parquet(place / "3.parquet")


def cut_short(place: Path) -> None:
    whole = (place / "3.parquet").read_bytes()
    (place / "3.parquet").write_bytes(whole[: len(whole) // 2])


def put_text(place: Path) -> None:
    wines = pd.read_parquet(place / "3.parquet").astype({"alcohol": str})
    wines.to_parquet(place / "3.parquet")


def leave_no_rows(place: Path) -> None:
    for path in place.iterdir():
        pd.read_parquet(path).head(0).to_parquet(path)


SPOILED = {
    "columns are missing": (spoil_header, r"3\.parquet lacks ph, alcohol: a table of wines has the columns"),
    "cut short": (cut_short, r"3\.parquet cannot be read: .*write it again, or leave it out"),
    "text for numbers": (put_text, r"3\.parquet: alcohol holds (large_)?string: write the column as numbers"),
    "no rows": (leave_no_rows, "has no rows: there is nothing to score"),
    "no files": (shutil.rmtree, "names no table: it is a file, a folder or a glob of"),
}


@pytest.mark.usefixtures("on_cluster")
@pytest.mark.parametrize(("spoil", "sentence"), SPOILED.values(), ids=SPOILED)
def test_table_that_cannot_be_scored_is_refused_before_anything_is_written(
    promoted: FolderRegistry, folder_of_wines: Path, tmp_path: Path, spoil: Any, sentence: str
) -> None:
    """In a sentence that names the file."""
    spoil(folder_of_wines)
    with pytest.raises(ContractError, match=sentence):
        score(promoted, folder_of_wines, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("on_cluster")
def test_table_in_other_units_is_refused_whole_and_fails(
    promoted: FolderRegistry, wines: pd.DataFrame, tmp_path: Path
) -> None:
    """Density in kilograms per cubic metre: each row is refused, and the exit code says that nothing was scored."""
    wines.assign(density=wines["density"] * 1000).to_parquet(tmp_path / "in.parquet")
    with pytest.raises(ScoringError, match="no row could be scored: see whether columns are in the units"):
        score(promoted, tmp_path / "in.parquet", tmp_path / "out")
    assert manifest(tmp_path / "out")["refused"] == 600
    rules = pd.read_parquet(tmp_path / "out" / "refused")["rule"]
    assert rules.str.match(r"density must be at most 1\.2 g/mL, but is").all()


def deadly_file(place: Path, number: int, deaths: int) -> None:
    """Make one file of the folder end its reader so many times."""
    (place / f"{number}.parquet.deaths").write_text(str(deaths))


@pytest.mark.usefixtures("on_cluster")
def test_killed_worker_costs_nothing(promoted: FolderRegistry, folder_of_wines: Path, tmp_path: Path) -> None:
    """Its part is done again, by a worker that has the model; no row is lost, none is there twice."""
    deadly_file(folder_of_wines, 2, deaths=1)
    score(promoted, f"{deadly.PROTOCOL}://{folder_of_wines}", tmp_path / "out")
    assert (folder_of_wines / "2.parquet.deaths").read_text() == "0"
    assert scored(tmp_path / "out")["bottle"].tolist() == [*range(600)]
    assert unfinished(tmp_path / "out") == []


@pytest.mark.delivery
@pytest.mark.usefixtures("on_cluster")
def test_part_that_kills_its_workers_is_named_and_the_others_are_scored(
    promoted: FolderRegistry, folder_of_wines: Path, tmp_path: Path
) -> None:
    """And once it is mended, the same command does the rest."""
    deadly_file(folder_of_wines, 4, deaths=20)
    given = f"{deadly.PROTOCOL}://{folder_of_wines}"
    with pytest.raises(ScoringError, match=r"4\.parquet from row 0 on: its workers died.*\n5 of 6 parts are scored"):
        score(promoted, given, tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.json").exists()
    assert scored(tmp_path / "out")["bottle"].tolist() == [row for row in range(600) if row // 100 != 4]
    deadly_file(folder_of_wines, 4, deaths=0)
    assert score(promoted, given, tmp_path / "out")[0] == "5 of 6 parts are there already"
    assert scored(tmp_path / "out")["bottle"].tolist() == [*range(600)]


@pytest.mark.usefixtures("on_cluster")
def test_full_disk_is_said_and_leaves_whole_parts_only(
    promoted: FolderRegistry, folder_of_wines: Path, wines: pd.DataFrame, tmp_path: Path
) -> None:
    """With more space the same command does the rest."""
    many = pd.concat([wines] * 40, ignore_index=True).assign(bottle=range(24_000))
    many.to_parquet(folder_of_wines / "1.parquet")
    for number in (0, 2, 3, 4, 5):
        (folder_of_wines / f"{number}.parquet").unlink()
    many.head(50).to_parquet(folder_of_wines / "0.parquet")
    with small_disk(tmp_path / "disk", "256k") as place:
        with pytest.raises(ScoringError, match=r"No space left on device\n1 of 2 parts are scored"):
            score(promoted, folder_of_wines, place / "out")
        assert [path.name for path in (place / "out" / "scored").iterdir()] == ["part-00000.parquet"]
        assert unfinished(place / "out") == []
        subprocess.run(["mount", "-o", "remount,size=16m", place], check=True)
        score(promoted, folder_of_wines, place / "out")
        assert len(scored(place / "out")) == 24_050


def test_scheduler_that_does_not_answer_is_said(
    promoted: FolderRegistry, folder_of_wines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After five seconds, in a sentence that names the variable."""
    monkeypatch.setenv(workers.ADDRESS, address := f"tcp://127.0.0.1:{servers.free_port()}")
    with pytest.raises(ScoringError, match=f"DASK_SCHEDULER_ADDRESS={address} does not answer within 5 s"):
        score(promoted, folder_of_wines, tmp_path / "out")


def test_workers_of_another_version_are_refused(
    promoted: FolderRegistry, folder_of_wines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Naming theirs and ours: two versions may score one wine differently."""
    shutil.copytree(ROOT / "wine_serving", tmp_path / "old" / "wine_serving")
    provenance = tmp_path / "old" / "wine_serving" / "provenance.py"
    provenance.write_text(provenance.read_text().replace(f'VERSION = "{VERSION}"', 'VERSION = "1.5.0"'))
    with workers.on_this_machine(0) as started:
        command = [sys.executable, "-m", "distributed.cli.dask_worker", started.scheduler_address, "--no-nanny"]
        elsewhere = os.environ | {"PYTHONPATH": str(tmp_path / "old")}
        options = ["--nthreads", "1", "--no-dashboard", "--local-directory", str(tmp_path)]
        with subprocess.Popen([*command, *options], env=elsewhere, cwd=tmp_path, stderr=subprocess.DEVNULL) as worker:
            monkeypatch.setenv(workers.ADDRESS, started.scheduler_address)
            with pytest.raises(ScoringError, match=rf"has wine-quality 1\.5\.0, not {VERSION} as here"):
                score(promoted, folder_of_wines, tmp_path / "out")
            worker.terminate()
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("on_cluster")
def test_model_that_does_not_answer_its_golden_wines_scores_nothing(
    folder: FolderRegistry, bundle_copy: Path, folder_of_wines: Path, tmp_path: Path
) -> None:
    """It is asked on each worker, before the first row."""
    reference = json.loads((bundle_copy / REFERENCE_FILE).read_text())
    reference["golden"][0]["quality"] += 1
    (bundle_copy / REFERENCE_FILE).write_text(json.dumps(reference))
    folder.publish(bundle_copy, MODEL, kind="model", aliases=["production"])
    with pytest.raises(WineServingError, match="golden wine 0 scores"):
        score(folder, folder_of_wines, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("given", "output"), [("", "scored"), ("wines.csv", "")])
def test_who_forgets_input_or_output_is_told_both(promoted: FolderRegistry, given: str, output: str) -> None:
    """And nothing that happens to lie here is scored."""
    with pytest.raises(ScoringError, match="Say what to score, and where to: make score INPUT="):
        list(batch.score(promoted, given, output, PRODUCTION))


def test_unknown_model_is_said_before_a_worker_starts(
    promoted: FolderRegistry, folder_of_wines: Path, tmp_path: Path
) -> None:
    """As everywhere."""
    with pytest.raises(VersionNotFound, match="has no version v9"):
        score(promoted, folder_of_wines, tmp_path / "out", f"{MODEL}:v9")


def command(registry: FolderRegistry, given: Path, output: Path) -> subprocess.Popen[str]:
    """The command, as make starts it, on this machine's cores; it leads a group of processes, as in a terminal."""
    environment = {name: value for name, value in os.environ.items() if name != workers.ADDRESS}
    return subprocess.Popen(
        [sys.executable, "-m", "wine_serving", "score", "--output", output, "--", given],
        env=environment | {"WINE_REGISTRY": f"folder:{registry.root}"},
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def stopped(
    caller: subprocess.Popen[str], output: Path, stop: Callable[[int], None]
) -> tuple[str, list[psutil.Process]]:
    """What it complains of when it is stopped after its next part, and which of its processes are still there."""
    before = len([*output.glob("scored/*")])
    while len([*output.glob("scored/*")]) == before:
        assert caller.poll() is None, caller.communicate()
        time.sleep(0.005)
    children = psutil.Process(caller.pid).children(recursive=True)
    stop(caller.pid)
    _, complaints = caller.communicate()
    assert not (output / "manifest.json").exists()
    return complaints, psutil.wait_procs(children, timeout=60)[1]


@pytest.mark.delivery
def test_stopped_or_killed_caller_leaves_nobody_behind_and_goes_on_where_it_was(
    promoted: FolderRegistry, wines: pd.DataFrame, tmp_path: Path
) -> None:
    """Ctrl-C and SIGKILL in the middle, then the same again: whole, each row once, and true exit codes."""
    given, output = tmp_path / "cellar", tmp_path / "out"
    given.mkdir()
    for number in range(150):
        wines.assign(bottle=range(600 * number, 600 * number + 600)).to_parquet(given / f"{number:03}.parquet")
    caller = command(promoted, given, output)
    complaints, left = stopped(caller, output, lambda leader: os.killpg(leader, signal.SIGINT))
    assert (caller.returncode, left) == (130, [])
    assert complaints == "Stopped by Ctrl-C: what is done stays done; the same command goes on from there\n"
    caller = command(promoted, given, output)
    _, left = stopped(caller, output, lambda leader: os.kill(leader, signal.SIGKILL))
    assert (caller.returncode, left) == (-signal.SIGKILL, [])
    again = command(promoted, given, output)
    told, complaints = again.communicate()
    assert again.returncode == 0, complaints
    assert f"of {len([*given.iterdir()])} parts are there already" in told
    assert scored(output)["bottle"].tolist() == [*range(600 * 150)]
    assert unfinished(output) == []
