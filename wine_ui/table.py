"""A table of wines as people send it: any CSV that a spreadsheet writes, with the API's names in its first row."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import pandas as pd

from wine_ui.client import Schema
from wine_ui.units import NotANumber, read_number

MEGABYTES: Final = 10


class NotATable(ValueError):
    """The file cannot be read as a table of wines; the message says why."""


def read(content: bytes, schema: Schema) -> tuple[pd.DataFrame, dict[int, str]]:
    """The file as a table of texts with rows counted from 1, and by row why its cells do not fit the columns.

    NotATable when it is no table, or lacks a measurement.
    """
    if len(content) > MEGABYTES * 1_000_000:
        raise NotATable(f"the file is larger than {MEGABYTES} MB: split it.")
    text = decode(content).strip("\r\n")
    if not text.strip():
        raise NotATable("the file is empty.")
    wanted = [field["name"] for field in schema["fields"]]
    head, *rows = cells(text, delimiter(text, wanted))
    check(head, wanted, schema["category"]["name"])
    if not rows:
        raise NotATable("there are column names but no wines in it.")
    problems = {
        number: f"there are {len(row)} cells, but {len(head)} columns: write decimals with a point, or quote them"
        for number, row in enumerate(rows, 1)
        if any(row[len(head) :])
    }
    filled = [(row + [""] * len(head))[: len(head)] for row in rows]
    table = pd.DataFrame(filled, columns=unique(head), index=range(1, len(rows) + 1), dtype=str)
    return table, problems


def decode(content: bytes) -> str:
    """The file's text; Unicode, or what a spreadsheet in Western Europe writes."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace")
    if b"\x00" in content:
        raise NotATable("this is no text file: save the table as CSV.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")
    if sum(not (sign.isprintable() or sign.isspace()) for sign in text) > len(text) // 100:
        raise NotATable("this is no text file: save the table as CSV.")
    return text


def delimiter(text: str, wanted: Sequence[str]) -> str:
    """What separates the columns."""
    head = text.splitlines()[0].lower().replace(" ", "_")
    separator = max(";,\t|", key=head.count)
    if separator in head:
        return separator
    if any(name in head for name in wanted):
        raise NotATable("its columns are not separated by semicolons, commas or tabs: save it as CSV.")
    raise NotATable(f"its first row holds no column names: they must be {', '.join(wanted)}.")


def cells(text: str, separator: str) -> list[list[str]]:
    """The rows that are not empty."""
    lines = io.StringIO(text, newline="")
    try:
        return [row for row in csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True) if any(row)]
    except csv.Error as error:
        raise NotATable(f"it cannot be read as CSV ({error}): look for a quotation mark without its pair.") from None


def check(head: Sequence[str], wanted: Sequence[str], category: str) -> None:
    """Refuse columns that are missing, or there twice."""
    found = [name for column in head for name in names([column])]
    if missing := [name for name in wanted if name not in found]:
        raise NotATable(f"the columns {', '.join(missing)} are missing. The template has all of them.")
    if twice := [name for name in (*wanted, category) if found.count(name) > 1]:
        raise NotATable(f"the columns {', '.join(twice)} are there twice: keep one of each.")


def names(columns: Iterable[str]) -> dict[str, str]:
    """Our name of a column → its name in the file."""
    return {column.strip().lower().replace(" ", "_"): column for column in columns}


def unique(head: Sequence[str]) -> list[str]:
    """The columns' names, where one comes again with its number behind."""
    return [f"{name}.{number}" if name in head[:number] else name for number, name in enumerate(head)]


def wine(row: Mapping[Any, str], columns: Mapping[str, str], schema: Schema, category: str | None) -> dict[str, Any]:
    """One row as the API takes it, of that category where the table has none; a NotANumber names the column."""
    kind = schema["category"]["name"]
    found: dict[str, Any] = {kind: category or row[columns[kind]].strip().lower()}
    for field in schema["fields"]:
        try:
            number = read_number(row[columns[field["name"]]])
        except NotANumber as error:
            raise NotANumber(f"{field['name']}: {error}") from None
        if number is not None:
            found[field["name"]] = number
    return found


def template(schema: Schema) -> str:
    """A table with every column, and the presets as examples."""
    rows = [preset["wine"] for preset in schema["presets"]]
    columns = [each["name"] for each in (*schema["fields"], schema["category"])]
    return pd.DataFrame(rows)[columns].to_csv(index=False)
