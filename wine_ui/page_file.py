"""Score a file: a table of wines in, the same table with scores out, and what is wrong with which cell."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import pandas as pd
import streamlit as st

from wine_ui import charts, connection
from wine_ui.client import Refused, Schema
from wine_ui.table import kind, template

MEGABYTES: Final = 10


def show() -> None:
    """The page."""
    schema = connection.schema()
    st.title("Score a file of wines")
    st.markdown(
        "A CSV or Excel file with one wine in each row: our own column names, or those of UCI's file (semicolons and "
        f"names with spaces). Decimal commas are read; other columns are kept. Up to {MEGABYTES} MB."
    )
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    given = left.file_uploader("CSV file", type=["csv", "tsv", "txt", "xlsx"], max_upload_size=MEGABYTES, key="file")
    right.download_button("Download a template", template(schema), "wines.csv", "text/csv", icon=":material/download:")
    with st.expander("Which columns?", icon=":material/view_column:"):
        st.table(columns(schema), hide_index=True)
    if given is None:
        return
    state = st.session_state
    content, which = given.getvalue(), (given.name, hash(given.getvalue()))
    said: dict[str, str] = state.said if state.get("said_of") == which else {}
    key = (*which, *said.items())
    try:
        if state.get("scored", (None,))[0] != key:
            with st.spinner("Scoring …"):
                state.scored = (key, connection.client().predict_table(content, kind(given.name), said))
    except Refused as refused:
        st.error(f"{given.name}: {refused}", icon=":material/description:")
        if refused.candidates:
            ask(refused.candidates, schema, which)
        return
    result(state.scored[1], schema, given.name, partial(with_answers, content, given.name, said))


def columns(schema: Schema) -> pd.DataFrame:
    """What each column holds."""
    rows = [
        (field["name"], f"{field['label']}, {field['unit']}".rstrip(", "), field["help"]) for field in schema["fields"]
    ]
    name, label = schema["category"]["name"], schema["category"]["label"]
    category = (name, label, f"{' or '.join(schema['colors'])}; asked for where the column is missing")
    return pd.DataFrame([*rows, category], columns=["Column", "Holds", "Meaning"])


def ask(candidates: Mapping[str, list[str]], schema: Schema, which: tuple[str, int]) -> None:
    """Have the visitor say what the file does not: which column is meant, or of which category all wines are."""
    category = schema["category"]["name"]
    labels = {each["name"]: each["label"] for each in (*schema["fields"], schema["category"])}
    chosen: dict[str, str | None] = {}
    for name, among in candidates.items():
        whole = {f"all are {each}": each for each in schema["colors"]} if name == category else {}
        choice = st.selectbox(f"Where does {labels[name]} stand?", [*whole, *among], index=None, key=f"said {name}")
        chosen[name if choice in whole else f"column.{name}"] = whole.get(choice or "", choice)
    if all(chosen.values()):
        st.session_state.said, st.session_state.said_of = chosen, which
        st.rerun()


def with_answers(content: bytes, name: str, said: Mapping[str, str]) -> bytes:
    """The file as the API gives it back."""
    return connection.client().table_with_answers(content, kind(name), said)


def told(row: Mapping[str, Any], category: str) -> dict[str, Any]:
    """What is shown of a row."""
    return {
        "row": row["row"],
        "score": round(row["quality"], 2),
        "low": round(row["interval"]["low"], 2),
        "high": round(row["interval"]["high"], 2),
        "grade": row["grade"]["value"],
        category: row[category],
        "warnings": "; ".join(warning["message"] for warning in row["warnings"]),
    }


def result(scored: Mapping[str, Any], schema: Schema, name: str, file: Any) -> None:
    """What came of the file: counts, problems, table, histogram and download."""
    counts, refused = scored["summary"], scored["refused"]
    bad = f" {counts['refused']:,} could not be." if counts["refused"] else ""
    st.markdown(f"**{counts['scored']:,} of {counts['rows']:,} wines scored.**{bad}")
    st.download_button(
        "Download the result",
        file,
        f"{name.rsplit('.', 1)[0]}-scored.csv",
        "text/csv",
        type="primary",
        icon=":material/download:",
    )
    if refused:
        st.markdown("##### Rows that could not be scored")
        table = pd.DataFrame([{"row": cell["row"], "what is wrong": cell["message"]} for cell in refused])
        narrow = {"row": st.column_config.NumberColumn(width="small")}
        st.dataframe(table, hide_index=True, width="stretch", column_config=narrow)
        more = " The first hundred reasons are shown." if counts["faults"] > len(refused) else ""
        st.caption(f"Row 1 is the first one below the column names.{more}")
    rows = pd.DataFrame([told(row, schema["category"]["name"]) for row in scored["rows"]])
    if rows.empty:
        return
    charts.histogram(rows["score"].tolist())
    st.markdown("##### All scored rows")
    figures = {each: st.column_config.NumberColumn(format="%.2f") for each in ("score", "low", "high")}
    st.dataframe(rows, hide_index=True, width="stretch", column_config=figures)
    st.caption("A click on a column's head sorts. The download has your own columns, too.")
