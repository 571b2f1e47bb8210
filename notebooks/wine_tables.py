"""A file with a table of graded wines, read and held against the contract, or refused in a sentence."""

import csv
import os
import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from wine_serving.errors import ContractError
from wine_serving.schema import MEASUREMENTS, SEGMENT, TARGET, TARGET_RANGE, check_table
from wine_serving.settings import ROOT

COLUMNS = [*MEASUREMENTS, SEGMENT, TARGET]


def given_table(name: str) -> Path:
    """The path of a table that a person names: in a workflow, where others read along, within the repository."""
    path = ROOT / name
    if path.suffix.lower() not in (".csv", ".tsv"):
        raise ContractError(f"{name} cannot be read as a table: extra_csv must end in .csv or .tsv")
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
