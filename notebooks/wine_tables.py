"""Tables of graded wines: which are wanted, and where they may lie; `wine_serving.tables` reads them."""

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType

import pandas as pd
from grades import WINES

from wine_serving import tables
from wine_serving.errors import ContractError, TableRefused
from wine_serving.schema import MEASUREMENTS, SEGMENT, TARGET, measurements
from wine_serving.settings import ROOT

COLUMNS = [*MEASUREMENTS, SEGMENT, TARGET]
ENDINGS = (".csv", ".tsv", ".xlsx")
MOST = 10_000_000  # rows: no visitor sends these
KEPT = "extra"  # the folder of a dataset that holds the tables given for it


def wanted_tables(
    origin: Collection[str],
    before: Path | None,
    extra_csv: str | None,
    without: str | None,
    ever: Collection[str],
    returned: Mapping[str, Path] = MappingProxyType({}),
) -> dict[str, Path]:
    """All tables besides the origin's files, by name: those of the dataset before, those given now, less some.

    A table that is given again under its name takes the place of the one before, as does the one of `returned` grades.
    `ever` are the names in all datasets.
    """
    listed = json.loads((before / "dataset.json").read_text(encoding="utf-8"))["sources"] if before else {}
    kept = {name: before / KEPT / name for name in listed if before and name not in origin}
    given, out = given_tables(extra_csv), _listed(without)
    if taken := [name for name in given if name.casefold() in {each.casefold() for each in (*origin, WINES)}]:
        raise ContractError(
            f"{taken[0]} is the name of a file of the origin, or of grades that came back: give your table another one"
        )
    given |= returned
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


def given_tables(named: str | None, where: str = "extra_csv") -> dict[str, Path]:
    """The tables that a person names, by file name: files, and folders that end in /, separated by commas."""
    found: dict[str, Path] = {}
    for path in (path for name in _listed(named) for path in _paths(name, where)):
        if found.setdefault(path.name, path) != path:
            raise ContractError(f"{found[path.name]} and {path} have one name, by which tables are known: rename one")
    return found


def _listed(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _paths(name: str, where: str) -> list[Path]:
    """A table, or those in a folder."""
    if not name.endswith("/"):
        return [given_table(name, where)]
    inside = sorted(path for path in (ROOT / name).glob("*") if path.suffix.lower() in ENDINGS)
    if not inside:
        raise ContractError(f"{ROOT / name} is no folder with a .csv, .tsv or .xlsx file: correct {where}")
    return [given_table(str(path), where) for path in inside]


def given_table(name: str, where: str = "extra_csv") -> Path:
    """The path of a table that a person names: in a workflow, where others read along, within the repository."""
    path = ROOT / name
    if path.suffix.lower() not in ENDINGS:
        raise ContractError(
            f"{name} cannot be read as a table: {where} must end in .csv, .tsv, .xlsx, or / for a folder"
        )
    if os.environ.get("GITHUB_ACTIONS") == "true" and not path.resolve().is_relative_to(ROOT):
        raise ContractError(
            f"{name} lies outside the repository: commit the table, and name it relative to {ROOT.name}"
        )
    return path


def content_of(path: Path, where: str = "extra_csv") -> bytes:
    """The bytes of a table that a person has named."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ContractError(f"{path} does not exist: correct {where} (relative to {ROOT})") from None
    except OSError as error:
        raise ContractError(f"{path} cannot be read ({type(error).__name__})") from None


def read_table(path: Path, **constants: str) -> pd.DataFrame:
    """The graded wines in a file; `constants` are columns that it does not have. What is none is left out, and said."""
    try:
        table = tables.read(content_of(path), segment=constants.get(SEGMENT), graded=True, most=MOST)
    except TableRefused as error:
        raise ContractError(f"{path}: {error}") from None
    if not table.wines:
        raise ContractError(f"{path} holds no wine with a grade:\n{tables.told(table.faults)}")
    if table.faults:
        left_out = len(table.rows) - len(table.wines)
        print(f"{path.name}: {left_out} of {len(table.rows)} rows are left out:\n{tables.told(table.faults)}")
    rows = [(*measurements(wine), getattr(wine, SEGMENT), table.grades[row]) for row, wine in table.wines.items()]
    return pd.DataFrame(rows, columns=COLUMNS)
