"""Score a file: a table of wines in, the same table with scores out, and what is wrong with which row in place."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import pandas as pd
import streamlit as st

from wine_ui import charts, recovery
from wine_ui.client import COLOR, Problem
from wine_ui.units import NotANumber, read_number

MEGABYTES: Final = 10
CHUNK: Final = 1000  # wines a call: the progress bar moves, and one bad row costs little
RESULTS: Final = ("score", "low", "high", "grade", "warnings", "problem")

Schema = Mapping[str, Any]


class NotATable(ValueError):
    """The file cannot be read as a table of wines; the message says why."""


def show() -> None:
    """The page."""
    schema = recovery.schema()
    st.title("Score a file of wines")
    st.markdown(
        "A CSV file with one wine in each row: our own column names, or those of UCI's file (semicolons and names with "
        f"spaces). Decimal commas are read; other columns are kept. Up to {MEGABYTES} MB."
    )
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    given = left.file_uploader("CSV file", type=["csv", "txt"], max_upload_size=MEGABYTES, key="file")
    right.download_button("Download a template", template(schema), "wines.csv", "text/csv", icon=":material/download:")
    with st.expander("Which columns?", icon=":material/view_column:"):
        st.table(columns(schema), hide_index=True)
    if given is None:
        return
    try:
        table, problems = read(given.getvalue(), schema)
        color = None if COLOR in names(table.columns) else right.segmented_control(
            "Colour of these wines", schema["colors"], default=schema["colors"][0], required=True
        )  # fmt: skip
    except NotATable as error:
        st.error(f"{given.name}: {error}", icon=":material/description:")
        return
    key = (given.file_id, color)
    if st.session_state.get("scored", (None,))[0] != key:
        st.session_state.scored = (key, score(table, problems, schema, color))
    result(st.session_state.scored[1], given.name)


def template(schema: Schema) -> str:
    """A table with every column, and the presets as examples."""
    rows = [preset["wine"] for preset in schema["presets"]]
    return pd.DataFrame(rows)[[*(field["name"] for field in schema["fields"]), COLOR]].to_csv(index=False)


def columns(schema: Schema) -> pd.DataFrame:
    """What each column holds."""
    rows = [
        (field["name"], f"{field['label']}, {field['unit']}".rstrip(", "), field["help"]) for field in schema["fields"]
    ]
    color = (COLOR, "Colour", f"{' or '.join(schema['colors'])}; asked for where the column is missing")
    return pd.DataFrame([*rows, color], columns=["Column", "Holds", "Meaning"])


def names(columns: Iterable[str]) -> dict[str, str]:
    """Our name of a column → its name in the file."""
    return {column.strip().lower().replace(" ", "_"): column for column in columns}


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
    check(head, wanted)
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


def check(head: Sequence[str], wanted: Sequence[str]) -> None:
    """Refuse columns that are missing, or there twice."""
    found = [name for column in head for name in names([column])]
    if missing := [name for name in wanted if name not in found]:
        raise NotATable(f"the columns {', '.join(missing)} are missing. The template has all of them.")
    if twice := [name for name in (*wanted, COLOR) if found.count(name) > 1]:
        raise NotATable(f"the columns {', '.join(twice)} are there twice: keep one of each.")


def unique(head: Sequence[str]) -> list[str]:
    """The columns' names, where one comes again with its number behind."""
    return [f"{name}.{number}" if name in head[:number] else name for number, name in enumerate(head)]


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


def wine(row: Mapping[Any, str], columns: Mapping[str, str], schema: Schema, color: str | None) -> dict[str, Any]:
    """One row as the API takes it; a NotANumber names the column."""
    found: dict[str, Any] = {COLOR: color or row[columns[COLOR]].strip().lower()}
    for field in schema["fields"]:
        try:
            number = read_number(row[columns[field["name"]]])
        except NotANumber as error:
            raise NotANumber(f"{field['name']}: {error}") from None
        if number is not None:
            found[field["name"]] = number
    return found


def score(table: pd.DataFrame, problems: Mapping[int, str], schema: Schema, color: str | None) -> pd.DataFrame:
    """The table with the columns of RESULTS behind its own; rows that cannot be scored say why in `problem`."""
    known = names(table.columns)
    wines: dict[int, dict[str, Any]] = {}
    scored: dict[int, dict[str, Any]] = {}
    for number, row in zip(table.index, table.to_dict("records"), strict=True):
        try:
            wines[number] = wine(row, known, schema, color)
        except NotANumber as error:
            scored[number] = {"problem": str(error)}
    for number, problem in problems.items():
        wines.pop(number, None)
        scored[number] = {"problem": problem}
    bar = st.progress(0.0, "Scoring …")
    waiting = list(wines)
    for start in range(0, len(waiting), CHUNK):
        part = waiting[start : start + CHUNK]
        for number, answer in zip(part, recovery.client().predict_each([wines[each] for each in part]), strict=True):
            scored[number] = told(answer)
        bar.progress(min(1.0, (start + CHUNK) / len(waiting)), f"Scored {min(start + CHUNK, len(waiting)):,} wines")
    bar.empty()
    told_nothing = {"warnings": "", "problem": ""}
    answers = [told_nothing | scored[number] for number in table.index]
    results = pd.DataFrame(answers, columns=list(RESULTS), index=table.index)
    taken = {name: f"{name}_predicted" for name in RESULTS if name in table.columns}
    return pd.concat([table, results.rename(columns=taken)], axis=1)


def told(answer: dict[str, Any] | list[Problem]) -> dict[str, Any]:
    """The cells behind a row."""
    if isinstance(answer, list):
        return {"problem": "; ".join(problem["message"] for problem in answer)}
    return {
        "score": round(answer["quality"], 2),
        "low": round(answer["interval"]["low"], 2),
        "high": round(answer["interval"]["high"], 2),
        "grade": answer["grade"]["value"],
        "warnings": "; ".join(warning["message"] for warning in answer["warnings"]),
    }


def result(scored: pd.DataFrame, name: str) -> None:
    """What came of the file: counts, problems, table, histogram and download."""
    score_column, problem_column = own(scored, "score"), own(scored, "problem")
    bad = scored[scored[problem_column] != ""]
    good = scored[score_column].dropna()
    st.markdown(
        f"**{len(good):,} of {len(scored):,} wines scored.**" + (f" {len(bad):,} could not be." if len(bad) else "")
    )
    st.download_button(
        "Download the result",
        scored.to_csv(index=False),
        f"{name.rsplit('.', 1)[0]}-scored.csv",
        "text/csv",
        type="primary",
        icon=":material/download:",
    )
    if len(bad):
        st.markdown("##### Rows that could not be scored")
        shown = pd.DataFrame({"row": bad.index, "what is wrong": bad[problem_column]})
        narrow = {"row": st.column_config.NumberColumn(width="small")}
        st.dataframe(shown, hide_index=True, width="stretch", column_config=narrow)
        st.caption("Row 1 is the first one below the column names.")
    if len(good):
        charts.histogram(good.tolist())
    st.markdown("##### All rows")
    first = [own(scored, each) for each in RESULTS]
    wide = {own(scored, each): st.column_config.TextColumn(width="medium") for each in ("warnings", "problem")}
    figures = {own(scored, each): st.column_config.NumberColumn(format="%.2f") for each in ("score", "low", "high")}
    st.dataframe(
        scored[[*first, *(each for each in scored.columns if each not in first)]],
        width="stretch",
        column_config=wide | figures,
    )
    st.caption("A click on a column's head sorts.")


def own(scored: pd.DataFrame, name: str) -> str:
    """The result's column of that name, also where the file had one of its own."""
    return f"{name}_predicted" if f"{name}_predicted" in scored.columns else name
