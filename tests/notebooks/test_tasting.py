"""notebooks/tasting.py, grades.py and logged.py: who is asked, what becomes of each grade, and of logs that are odd."""

import csv
import json
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grades
import logged
import pandas as pd
import pytest
import tasting

from tests import tiny
from tests.serving.test_tables import xlsx
from tests.stand_ins.wandb_server.app import WandbServer
from wine_serving.errors import ContractError, LogRefused, NothingPromoted, VersionNotFound
from wine_serving.registry import GRADES, MODEL
from wine_serving.registry.copies import synchronize
from wine_serving.registry.folder import FolderRegistry
from wine_serving.registry.wandb import WandbRegistry
from wine_serving.schema import INPUTS, TARGET

WINES = tiny.as_wines(tiny.made_up_wines(40, seed=5))
MONDAY = datetime(2026, 3, 2, 8, tzinfo=UTC)


def line(row: int, **other: Any) -> dict[str, Any]:
    """A line of the log as the service writes it, of a wine that a user asked about."""
    said = {"quality": 5.5 + row / 100, "interval": {"low": 4.4, "high": 6.6, "level": 0.9}, "warnings": []}
    output = {**said, "grade": {"value": 6, "share": 0.5}, "prediction_id": f"id-{row}", "reference": f"cask {row}"}
    written = {
        "time": f"{MONDAY + timedelta(hours=row):%Y-%m-%dT%H:%M:%S.%fZ}", "message": "prediction", "format": 2,
        "request_id": "id", "model_version": "v0", "purpose": "user", "input": WINES[row], "output": output,
    }  # fmt: skip
    output.update(other.pop("output", {}))
    return written | other


LINES = [line(row) for row in range(40)]


@pytest.fixture(autouse=True)
def form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the wines that wait for a grade are listed."""
    monkeypatch.setattr(tasting, "OPEN", tmp_path / "artifacts" / "to-taste.csv")
    monkeypatch.setattr(tasting, "ROOT", tmp_path)
    return tmp_path / "artifacts" / "to-taste.csv"


@pytest.fixture
def log(tmp_path: Path) -> Callable[..., str]:
    """Write a log; its path."""

    def write(lines: Sequence[dict[str, Any]] = LINES, name: str = "log.jsonl") -> str:
        (tmp_path / name).write_text("".join(json.dumps(each) + "\n" for each in lines))
        return str(tmp_path / name)

    return write


@pytest.fixture
def take_in(promoted: FolderRegistry, tmp_path: Path) -> Callable[..., str]:
    """Take in grades, given as a table; all that is said of them."""

    def take(rows: list[dict[str, Any]], log: str = "", name: str = "grades.csv") -> str:
        pd.DataFrame(rows).to_csv(tmp_path / name, index=False)
        return "\n".join(tasting.take_in(promoted, str(tmp_path / name), log))

    return take


def held(registry: FolderRegistry) -> Any:
    """The newest rows of the collection, by prediction."""
    return grades.read(registry).table.set_index("prediction_id")


# Asking


def test_sample_draws_measured_wines_of_users_and_remembers(
    promoted: FolderRegistry, log: Callable[..., str], form: Path
) -> None:
    """Who was asked once is not asked again; what is listed for tasters holds no score."""
    twice = line(3, output={"prediction_id": "id-4"})  # an id that a caller gave to two requests
    odd = [line(0, purpose="what_if"), line(1, assumed=["ph"]), line(2, model_version="v7"), twice, *LINES[4:]]
    said = "\n".join(tasting.sample(promoted, 30, log(odd)))
    first = held(promoted)
    assert "30 of 35 wines that v0 scored for users are drawn" in said
    assert (len(first), first["asked"].sum(), first["grade"].notna().sum()) == (30, 30, 0)
    assert not {"id-0", "id-1", "id-2", "id-4"} & {*first.index}
    assert {*first["version"]} == {"v0"}
    list(tasting.sample(promoted, 30, log(odd)))
    assert len(held(promoted)) == 35
    with form.open() as opened:
        rows = [*csv.DictReader(opened)]
    assert len(rows) == 35
    assert [*rows[0]] == ["prediction_id", "reference", *INPUTS, TARGET]
    assert {row[TARGET] for row in rows} == {""}


def test_draw_is_by_chance_that_no_order_of_the_log_changes(promoted: FolderRegistry, log: Callable[..., str]) -> None:
    """The same wines are drawn from a log turned round, and they are not those that came first."""
    table = logged.read(log()).table
    none = grades.read(promoted).table
    drawn = {*tasting.draw(table, none, 10)["prediction_id"]}
    assert drawn == {*tasting.draw(table[::-1], none, 10)["prediction_id"]}
    assert drawn not in ({*table["prediction_id"][:10]}, {*table["prediction_id"][-10:]})


def test_wine_scored_often_is_drawn_as_one(promoted: FolderRegistry, log: Callable[..., str]) -> None:
    """However often a wine, or one that hardly differs, was asked about, it is one wine with one lot."""
    again = [line(0, output={"prediction_id": f"again-{number}"}) for number in range(50)]
    near = [
        line(0, output={"prediction_id": f"near-{number}"}, input=WINES[0] | {"alcohol": 8 + number / 10})
        for number in range(50)
    ]
    list(tasting.sample(promoted, 30, log([*LINES[:5], *again, *near])))
    assert len(held(promoted)) == 5


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ([line(0, model_version="v7")], "no wine that a user had scored by v0, which is in production; .* by v7"),
        ([line(0, purpose="check")], "scored by nobody"),
        ([], "holds no prediction: 0 lines cannot be read, 0 tell of refused requests, 0 of other things"),
        ([line(0, input={"fat": 3.0})], "holds no prediction: 1 lines cannot be read, such as log.jsonl, line 1: "),
    ],
    ids=["another model's", "nobody's", "empty", "another contract's"],
)
def test_log_without_a_wine_of_production_is_refused(
    promoted: FolderRegistry, log: Callable[..., str], lines: list[dict[str, Any]], sentence: str
) -> None:
    """In a sentence that says what is in it, and nothing is published."""
    with pytest.raises(LogRefused, match=sentence):
        list(tasting.sample(promoted, 5, log(lines)))
    assert promoted.records(GRADES) == []


def test_nobody_is_asked_without_a_production(folder: FolderRegistry, log: Callable[..., str]) -> None:
    """There is no model whose grades they could be."""
    with pytest.raises(NothingPromoted):
        list(tasting.sample(folder, 5, log()))


# Logs


def test_odd_lines_are_told_and_lose_nothing(log: Callable[..., str]) -> None:
    """Twice there, cut off, in another time zone, from the future: the rest is read, in the order of time."""
    elsewhere = line(3, time="2026-03-02T06:30:00-01:30")  # half past seven in UTC
    path = Path(log([*LINES[:3], *LINES[:2], elsewhere, line(4, time="2099-01-01T00:00:00Z")]))
    path.write_bytes(path.read_bytes() + json.dumps(LINES[5]).encode()[:-20])
    found = logged.read(f"{path}, {path}")
    assert found.table["prediction_id"].tolist() == ["id-0", "id-3", "id-1", "id-2", "id-4"]
    assert found.table["predicted_at"][1] == pd.Timestamp("2026-03-02T08:00:00Z")
    assert [re.sub(": .*", "", told) for told in found.told] == [
        "2 lines of the log cannot be read",
        "9 predictions stand in the log more than once, and count once",
        "2 predictions are dated in the future",
    ]


def test_log_is_named_by_files_and_folders(log: Callable[..., str], tmp_path: Path) -> None:
    """Weeks that were fetched add up in a folder; what is not there is named."""
    (tmp_path / "log").mkdir()
    for row in range(3):
        log([line(row)], f"log/{row}.jsonl")
    assert len(logged.read(f"{tmp_path}/log/").table) == 3
    for wrong in (f"{tmp_path}/nowhere.jsonl", f"{tmp_path}/log", " , "):
        with pytest.raises(LogRefused, match="LOG"):
            logged.read(wrong)


# Grades that come back


@pytest.fixture
def asked(promoted: FolderRegistry, log: Callable[..., str]) -> list[str]:
    """Twenty wines that were asked for: their ids."""
    list(tasting.sample(promoted, 20, log()))
    return [*held(promoted).index]


def number(prediction_id: str) -> int:
    return int(prediction_id.removeprefix("id-"))


def test_form_that_was_filled_in_is_taken_in(promoted: FolderRegistry, asked: list[str], form: Path) -> None:
    """Without any log, late as it may be; what has no grade yet is listed, and waits on."""
    assert len(asked) == 20
    table = pd.read_csv(form)
    table[TARGET] = ["6", "7", *[""] * 18]
    table.to_csv(form.with_name("filled.csv"), index=False, sep=";")
    said = "\n".join(tasting.take_in(promoted, str(form.with_name("filled.csv")), ""))
    assert "filled.csv: 2 grades are new, 0 correct an earlier one, 0 were known\n18 rows bring none" in said
    assert "row 3: quality was not measured" in said
    found = held(promoted)
    assert found.loc[table["prediction_id"][:2], "grade"].tolist() == [6, 7]
    assert found["asked"].all()
    assert len(pd.read_csv(form)) == 18
    assert found["source"].dropna().unique().tolist() == ["filled.csv"]


@pytest.mark.parametrize("key", ["prediction_id", "reference", "measurements"])
def test_grade_finds_its_prediction(
    promoted: FolderRegistry, take_in: Callable[..., str], log: Callable[..., str], key: str
) -> None:
    """By its id, by the caller's own name, or by what was measured; unasked, it is kept as volunteered."""
    names = {"prediction_id": {"prediction_id": "id-7"}, "reference": {"Reference": "cask 7"}, "measurements": WINES[7]}
    assert "1 grades are new" in take_in([names[key] | {"grade": 8}], log())
    row = held(promoted).loc["id-7"]
    assert (row["grade"], row["asked"], row["version"], row["score"]) == (8, False, "v0", 5.57)
    assert promoted.record(f"{GRADES}:latest").metadata["volunteered"] == 1


def test_spreadsheet_of_grades_is_taken(promoted: FolderRegistry, asked: list[str], tmp_path: Path) -> None:
    """As people have it."""
    (tmp_path / "panel.xlsx").write_bytes(xlsx([["Prediction ID", "Quality"], [asked[0], 7], [asked[1], 5]]))
    assert "2 grades are new" in "\n".join(tasting.take_in(promoted, str(tmp_path / "panel.xlsx"), ""))


def test_corrected_grade_counts_and_a_repeated_one_changes_nothing(
    promoted: FolderRegistry, asked: list[str], take_in: Callable[..., str]
) -> None:
    """The last word counts, within a file and between files; the same file again makes no version."""
    first, second = asked[:2]
    said = take_in([
        {"prediction_id": first, TARGET: 5},
        {"prediction_id": second, TARGET: 6},
        {"prediction_id": first, TARGET: 7},
        {"prediction_id": second, TARGET: 6},
    ])  # fmt: skip
    assert "row 1: is corrected by row 3\n" in said
    assert "row 4: says what row 2 says" in said
    before, version = held(promoted), promoted.aliases(GRADES)["latest"]
    assert "0 grades are new, 0 correct an earlier one, 1 were known" in take_in([{"prediction_id": second, TARGET: 6}])
    assert promoted.aliases(GRADES)["latest"] == version
    assert "0 grades are new, 1 correct an earlier one, 0 were known" in take_in([{"prediction_id": first, TARGET: 4}])
    after = held(promoted)
    assert (before.loc[first, "grade"], after.loc[first, "grade"]) == (7, 4)
    assert after.loc[first, "graded_at"] > before.loc[first, "graded_at"]
    assert after.loc[second, "graded_at"] == before.loc[second, "graded_at"]


def test_each_row_that_brings_no_grade_is_listed_with_why(
    promoted: FolderRegistry, take_in: Callable[..., str], log: Callable[..., str]
) -> None:
    """Foreign, impossible, ambiguous or nobody's: none is lost in silence, and the good row counts."""
    several = line(1, output={"prediction_id": "other", "reference": "cask 0"})
    path = log([*LINES[:6], several, line(6, purpose="what_if")])
    rows = [
        ({"prediction_id": "id-5", TARGET: 6}, ""),
        ({"prediction_id": "never", TARGET: 6}, "prediction never was never scored"),
        ({"reference": "cask 99", TARGET: 6}, "reference cask 99 was never scored"),
        ({"reference": "cask 0", TARGET: 6}, "reference cask 0 is the name of several wines: add their prediction_id"),
        ({"prediction_id": "id-6", TARGET: 6}, "prediction id-6 was asked as what_if"),
        ({"prediction_id": "id-1", TARGET: 11}, "quality must be a whole grade from 0 to 10, not 11"),
        ({"prediction_id": "id-1", TARGET: -1}, "quality must be a whole grade from 0 to 10, not -1"),
        ({"prediction_id": "id-1", TARGET: 6.5}, "quality must be a whole grade from 0 to 10, not 6.5"),
        ({"prediction_id": "id-1", TARGET: "good"}, "quality must be a number, not good"),
        ({TARGET: 6}, "says of no wine what it is"),
    ]
    said = take_in([row for row, _ in rows], path)
    assert "1 grades are new" in said
    assert "9 rows bring none" in said
    for place, (_, why) in enumerate(rows, 1):
        assert not why or f"row {place}: {why}" in said
    assert [*held(promoted).index] == ["id-5"]


def test_file_without_any_grade_of_ours_is_refused(promoted: FolderRegistry, take_in: Callable[..., str]) -> None:
    """Row by row, and no version is made of it."""
    with pytest.raises(ContractError, match=r"grades.csv brings no grade\n1 rows bring none.*\n  row 1: prediction x"):
        take_in([{"prediction_id": "x", TARGET: 6}])
    assert promoted.records(GRADES) == []


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("quality,ph\n6,3\n", "does not say which wines its grades are of"),
        ("prediction_id,reference\n6,a\n", "lacks quality"),
        ("prediction_id,score,low,high,grade\nid-1,6.1,5,7,6\n", "the column grade is what the model has said"),
    ],
    ids=["no wine", "no grade", "scored by us"],
)
def test_file_that_holds_no_tasters_grades_is_refused(
    promoted: FolderRegistry, tmp_path: Path, content: str, sentence: str
) -> None:
    """Above all not one that the service itself has scored: its grades would praise the model."""
    (tmp_path / "odd.csv").write_text(content)
    with pytest.raises(ContractError, match=sentence):
        list(tasting.take_in(promoted, str(tmp_path / "odd.csv"), ""))


def test_wine_keeps_its_row_whichever_prediction_is_named(
    promoted: FolderRegistry, asked: list[str], take_in: Callable[..., str], log: Callable[..., str]
) -> None:
    """A grade of a wine that was asked for is an asked one, also by the id that a newer version gave it."""
    row = number(asked[0])
    newer = log([line(row, model_version="v1", output={"prediction_id": "newer"})])
    take_in([{"prediction_id": "newer", TARGET: 3}], newer)
    found = held(promoted)
    assert (found.loc[asked[0], "grade"], found.loc[asked[0], "version"], len(found)) == (3, "v0", 20)


def test_volunteered_grade_counts_once_chance_has_drawn_its_wine(
    promoted: FolderRegistry, take_in: Callable[..., str], log: Callable[..., str]
) -> None:
    """Were graded wines left out of the draw, those that surprise would be missing among the asked."""
    take_in([{"prediction_id": "id-3", TARGET: 9}], log())
    said = "\n".join(tasting.sample(promoted, 40, log()))
    assert "1 of them are graded already" in said
    row = held(promoted).loc["id-3"]
    assert (row["asked"], row["grade"]) == (True, 9)


def test_grade_of_a_version_that_is_gone_is_kept(
    promoted: FolderRegistry, take_in: Callable[..., str], log: Callable[..., str]
) -> None:
    """It is data, whatever has become of the model; lineage names what the registry has."""
    rows = [{"prediction_id": "id-1", TARGET: 6}, {"prediction_id": "id-2", TARGET: 6}]
    take_in(rows, log([line(1, model_version="v9"), line(2)]))
    assert held(promoted)["version"].tolist() == ["v9", "v0"]
    assert promoted.record(f"{GRADES}:latest").inputs == (f"{MODEL}:v0",)


def test_wine_of_which_a_measurement_was_assumed_is_no_training_data(
    promoted: FolderRegistry, take_in: Callable[..., str], log: Callable[..., str]
) -> None:
    """It is kept, and left out of the table that 01_data takes."""
    take_in([{"prediction_id": f"id-{row}", TARGET: 6} for row in (1, 2)], log([line(1, assumed=["ph"]), line(2)]))
    wines = pd.read_csv(promoted.fetch(f"{GRADES}:latest") / grades.WINES)
    assert wines[[*INPUTS]].to_dict("records") == [WINES[2]]
    assert wines[TARGET].tolist() == [6]


# The commands


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["grades", "--", "", ""], "no table of grades is named: CSV=grades.csv names one"),
        (["sample", "--", "30", ""], "no prediction log is named: LOG=production.jsonl names one"),
        (["sample", "--", "-5", "x"], "N='-5' cannot be used: it must be a whole number from 1 to 1000"),
    ],
)
def test_what_is_not_said_is_asked_for(
    promoted: FolderRegistry,
    words: list[str],
    sentence: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a person types it after make."""
    monkeypatch.setenv("WINE_REGISTRY", f"folder:{promoted.root}")
    with suppress(SystemExit):
        assert tasting.main(words) == 1
    assert sentence in capsys.readouterr().err


# The collection


def test_two_who_write_at_once_lose_nothing(promoted: FolderRegistry, asked: list[str]) -> None:
    """Whoever comes second finds the version in between, and the newest one holds what both have said."""
    one, other = asked[:2]
    moment = pd.Timestamp("2026-04-01T10:00:00Z")

    def graded(table: pd.DataFrame, prediction: str, grade: float) -> pd.DataFrame:
        mine = table["prediction_id"] == prediction
        return table.assign(
            grade=table["grade"].mask(mine, grade), graded_at=table["graded_at"].mask(mine, moment), source="mine"
        )

    def interrupted(table: pd.DataFrame) -> pd.DataFrame:
        grades.change(promoted, lambda newest: graded(newest, other, 8), {})
        return graded(table, one, 4)

    grades.change(promoted, interrupted, {})
    assert held(promoted).loc[[one, other], "grade"].tolist() == [4, 8]


def test_collection_is_empty_until_somebody_is_asked_and_a_misspelt_version_is_refused(folder: FolderRegistry) -> None:
    """Who reads it need not ask whether it is there."""
    found = grades.read(folder)
    assert (found.ref, len(found.table), [*found.table]) == (None, 0, [*grades.COLUMNS, "asked"])
    with pytest.raises(VersionNotFound, match="run make sample or make grades first"):
        grades.read(folder, f"{GRADES}:v3")


def test_collection_lives_in_wandb_too(
    wandb_server: WandbServer, promoted: FolderRegistry, log: Callable[..., str], tmp_path: Path
) -> None:
    """What a runner asked is known to the next one, with what it was made from."""
    project = WandbRegistry(wandb_server.place, tmp_path / "cache")
    for version in synchronize(promoted, project):
        assert version
    list(tasting.sample(project, 5, log()))
    asked = grades.read(project)
    (tmp_path / "grades.csv").write_text(f"prediction_id,quality\n{asked.table['prediction_id'][0]},7\n")
    list(tasting.take_in(project, str(tmp_path / "grades.csv"), ""))
    found = grades.read(project)
    assert (len(found.table), found.table["grade"].sum()) == (5, 7)
    assert project.record(f"{GRADES}:latest").inputs == (f"{GRADES}:v0", f"{MODEL}:v0")
