"""Score a file: a table of wines in, the same table with scores out, and what is wrong with which row in place."""

from collections.abc import Mapping
from typing import Any, Final

import pandas as pd
import streamlit as st

from wine_ui import charts, connection
from wine_ui.client import Problem, Schema
from wine_ui.table import MEGABYTES, NotATable, names, read, template, wine
from wine_ui.units import NotANumber

CHUNK: Final = 1000  # wines a call: the progress bar moves, and one bad row costs little
RESULTS: Final = ("score", "low", "high", "grade", "warnings", "problem")


def show() -> None:
    """The page."""
    schema = connection.schema()
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
    except NotATable as error:
        st.error(f"{given.name}: {error}", icon=":material/description:")
        return
    with right:
        category = missing_category(table, schema)
    key = (given.file_id, category)
    if st.session_state.get("scored", (None,))[0] != key:
        st.session_state.scored = (key, score(table, problems, schema, category))
    result(st.session_state.scored[1], given.name)


def columns(schema: Schema) -> pd.DataFrame:
    """What each column holds."""
    rows = [
        (field["name"], f"{field['label']}, {field['unit']}".rstrip(", "), field["help"]) for field in schema["fields"]
    ]
    name, label = schema["category"]["name"], schema["category"]["label"]
    category = (name, label, f"{' or '.join(schema['colors'])}; asked for where the column is missing")
    return pd.DataFrame([*rows, category], columns=["Column", "Holds", "Meaning"])


def missing_category(table: pd.DataFrame, schema: Schema) -> str | None:
    """The category of all wines, asked for where the table has no column for it."""
    if schema["category"]["name"] in names(table.columns):
        return None
    label, categories = f"{schema['category']['label']} of these wines", list[str](schema["colors"])
    return st.segmented_control(label, categories, default=categories[0], required=True)


def score(table: pd.DataFrame, problems: Mapping[int, str], schema: Schema, category: str | None) -> pd.DataFrame:
    """The table with the columns of RESULTS behind its own; rows that cannot be scored say why in `problem`."""
    known = names(table.columns)
    wines: dict[int, dict[str, Any]] = {}
    scored: dict[int, dict[str, Any]] = {}
    for number, row in zip(table.index, table.to_dict("records"), strict=True):
        try:
            wines[number] = wine(row, known, schema, category)
        except NotANumber as error:
            scored[number] = {"problem": str(error)}
    for number, problem in problems.items():
        wines.pop(number, None)
        scored[number] = {"problem": problem}
    bar = st.progress(0.0, "Scoring …")
    waiting = list(wines)
    for start in range(0, len(waiting), CHUNK):
        part = waiting[start : start + CHUNK]
        for number, answer in zip(part, connection.client().predict_each([wines[each] for each in part]), strict=True):
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
