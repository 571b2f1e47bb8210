"""Tables of graded wines: which are wanted, and each read and held against the contract, or refused in a sentence."""

import csv
import json
import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path

import pandas as pd

from wine_serving.errors import ContractError
from wine_serving.schema import MEASUREMENTS, SEGMENT, TARGET, TARGET_RANGE, check_table
from wine_serving.settings import ROOT

COLUMNS = [*MEASUREMENTS, SEGMENT, TARGET]
ENDINGS = (".csv", ".tsv")
KEPT = "extra"  # the folder of a dataset that holds the tables given for it


def wanted_tables(
    origin: Collection[str], before: Path | None, extra_csv: str | None, without: str | None, ever: Collection[str]
) -> dict[str, Path]:
    """All tables besides the origin's files, by name: those of the dataset before, those given now, less some.

    A table that is given again under its name takes the place of the one before. `ever` are the names in all datasets.
    """
    listed = json.loads((before / "dataset.json").read_text(encoding="utf-8"))["sources"] if before else {}
    kept = {name: before / KEPT / name for name in listed if before and name not in origin}
    given, out = given_tables(extra_csv), _listed(without)
    if taken := [name for name in given if name in origin]:
        raise ContractError(f"{taken[0]} is the name of a file of the origin: give your table another one")
    if unknown := [name for name in out if name not in {*kept, *given, *ever} - {*origin}]:
        there = ", ".join(kept | given) or "none"
        raise ContractError(f"{unknown[0]} cannot be left out: tables given so far are {there}; correct without")
    wanted = {name: path for name, path in (kept | given).items() if name not in out}
    if lost := [name for name, path in wanted.items() if name not in given and not path.is_file()]:
        raise ContractError(
            f"the dataset before names {lost[0]}, but was made when datasets did not keep their tables: "
            "give it again in extra_csv, or leave it out by naming it in without"
        )
    return wanted


def given_tables(named: str | None) -> dict[str, Path]:
    """The tables that a person names, by file name: files, and folders that end in /, separated by commas."""
    found: dict[str, Path] = {}
    for path in (path for name in _listed(named) for path in _paths(name)):
        if found.setdefault(path.name, path) != path:
            raise ContractError(f"{found[path.name]} and {path} have one name, by which tables are known: rename one")
    return found


def _listed(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _paths(name: str) -> list[Path]:
    """A table, or those in a folder."""
    if not name.endswith("/"):
        return [given_table(name)]
    inside = sorted(path for path in (ROOT / name).glob("*") if path.suffix.lower() in ENDINGS)
    if not inside:
        raise ContractError(f"{ROOT / name} is no folder with a .csv or .tsv file: correct extra_csv")
    return [given_table(str(path)) for path in inside]


def given_table(name: str) -> Path:
    """The path of a table that a person names: in a workflow, where others read along, within the repository."""
    path = ROOT / name
    if path.suffix.lower() not in ENDINGS:
        raise ContractError(f"{name} cannot be read as a table: extra_csv must end in .csv, .tsv, or / for a folder")
    if os.environ.get("GITHUB_ACTIONS") == "true" and not path.resolve().is_relative_to(ROOT):
        raise ContractError(
            f"{name} lies outside the repository: commit the table, and name it relative to {ROOT.name}"
        )
    return path


def read_table(path: Path, **constants: str) -> pd.DataFrame:
    """The table with the contract's columns; `constants` are columns that the file does not have."""
    check_header(path)
    try:
        table = pd.read_csv(path, sep=None, engine="python", encoding="utf-8")
    except (csv.Error, pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ContractError(f"{path} is not a CSV file that can be read: {error}") from None
    table.columns = pd.Index(column_names(table.columns))
    table = table.assign(**constants)
    check_columns(table, path)
    check_table(table.drop(columns=TARGET).to_dict("records"), str(path))
    check_grades(table[TARGET], path)
    return table[COLUMNS].astype(dict.fromkeys(MEASUREMENTS, float) | {TARGET: int})


def column_names(header: Iterable[str]) -> list[str]:
    """The columns that a table's first line names, as the contract writes them.

    >>> column_names(["Fixed Acidity", " pH"])
    ['fixed_acidity', 'ph']
    """
    return [str(name).strip().lower().replace(" ", "_") for name in header]


def check_header(path: Path) -> None:
    """A ContractError that quotes nothing, where the first line names no table of wines: it may be any file."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            known = set(column_names(re.split(r"[;,\t]", file.readline(10_000).replace('"', ""))))
    except FileNotFoundError:
        raise ContractError(f"{path} does not exist: correct extra_csv (relative to {ROOT})") from None
    except (UnicodeDecodeError, OSError) as error:
        raise ContractError(f"{path} is not a CSV file that can be read ({type(error).__name__})") from None
    if len(known & set(COLUMNS)) < len(COLUMNS) / 2:
        raise ContractError(f"{path} is not a CSV file of wines: its first line must name {', '.join(COLUMNS)}")


def check_columns(table: pd.DataFrame, path: Path) -> None:
    """A ContractError that names columns too few and too many."""
    found = {"lacks": set(COLUMNS) - set(table.columns), "has unknown": set(table.columns) - set(COLUMNS)}
    if wrong := [f"{what} {', '.join(sorted(names))}" for what, names in found.items() if names]:
        raise ContractError(f"{path} {' and '.join(wrong)}: its columns must be {', '.join(COLUMNS)}")


def check_grades(given: pd.Series, path: Path) -> None:
    """A ContractError that names the first row without a whole grade on the tasters' scale."""
    low, high = TARGET_RANGE
    grades = pd.to_numeric(given, errors="coerce")
    bad = given[~grades.between(low, high) | (grades % 1 != 0)]
    if len(bad):
        rule = f"must be a whole grade from {low} to {high}, not {bad.iloc[0]}"
        raise ContractError(f"{path}: row {bad.index[0]}: {TARGET} {rule}")
