"""Score a file: a table of wines goes to the API as it is, and what came of it is shown and given back."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import pandas as pd
import streamlit as st

from wine_ui import charts, connection
from wine_ui.client import Refused, Schema, Scored
from wine_ui.table import kind, template
from wine_ui.words import named

MEGABYTES: Final = 10
FEW: Final = 5  # best and worst wines
UNLIKE: Final = "unlike known wines in"
FIGURES: Final = {
    **{each: st.column_config.NumberColumn(format="%.2f") for each in ("score", "low", "high")},
    "7 or better": st.column_config.NumberColumn(format="percent"),
    "row": st.column_config.NumberColumn(width="small"),
}


def show() -> None:
    """The page."""
    schema = connection.schema()
    st.title("Score a file of wines", anchor=False)
    st.markdown(
        "A CSV or Excel file with one wine in each row, however it is separated and named: what it does not say is "
        f"asked. Decimal commas are read; other columns are kept. Up to {MEGABYTES} MB."
    )
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    kinds = ["csv", "tsv", "txt", "xlsx"]
    given = left.file_uploader("CSV or Excel file", type=kinds, max_upload_size=MEGABYTES, key="file")
    right.download_button("Download a template", template(schema), "wines.csv", "text/csv", icon=":material/download:")
    with st.expander("Which columns?", icon=":material/view_column:"):
        st.table(columns(schema), hide_index=True)
    if given is None:
        st.session_state.pop("scored", None)
        return
    try:
        answer(given, schema)
    except Refused as refused:
        if not refused.candidates:
            st.error(f"{given.name}: {named(str(refused), schema)}", icon=":material/description:")
            return
        ask(refused.candidates, schema, given)


def answer(given: Any, schema: Schema) -> None:
    """What came of the file; the API is asked once for each file and what was said of it."""
    state, name = st.session_state, schema["category"]["name"]
    said: dict[str, str] = state.said if state.get("said_of") == given.file_id else {}
    key = (given.file_id, *said.items())
    if state.get("scored", (None,))[0] != key:
        state.pop("scored", None)  # two large answers need not lie side by side
        with st.spinner(f"Scoring {given.name} ({given.size / 1e6:.1f} MB) …", show_time=True):
            found = connection.client().predict_table(given.getvalue(), kind(given.name), said, name)
        rows = pd.DataFrame(found.pop("rows"), columns=Scored._fields)
        rows["unlike"] = rows["unlike"].map({names: in_labels(names, schema) for names in rows["unlike"].unique()})
        state.scored = (key, found, rows)
    _, found, rows = state.scored
    if said:
        st.button("Say again what the file does not", on_click=state.pop, args=("said_of",), icon=":material/help:")
    result(found, rows, schema, given.name, partial(with_answers, given, said))


def in_labels(names: str, schema: Schema) -> str:
    """Measurements as people call them."""
    labels = {field["name"]: field["label"] for field in schema["fields"]}
    return ", ".join(labels.get(name, name) for name in names.split(","))


def columns(schema: Schema) -> pd.DataFrame:
    """What each column holds."""
    rows = [
        (field["name"], f"{field['label']}, {field['unit']}".rstrip(", "), field["help"]) for field in schema["fields"]
    ]
    name, label = schema["category"]["name"], schema["category"]["label"]
    category = (name, label, f"{' or '.join(schema['colors'])}; asked for where the column is missing")
    return pd.DataFrame([*rows, category], columns=["Column", "Holds", "Meaning"])


def ask(candidates: Mapping[str, list[str]], schema: Schema, given: Any) -> None:
    """Have the visitor say what the file does not: which column is meant, or of which category all wines are."""
    category = schema["category"]["name"]
    labels = {each["name"]: each["label"] for each in (*schema["fields"], schema["category"])}
    lacking = ", ".join(labels[name] for name in candidates)
    st.info(f"{given.name} does not say: **{lacking}**. Nothing is scored before you have.", icon=":material/help:")
    chosen: dict[str, str | None] = {}
    for name, among in candidates.items():
        whole = {f"all are {each}": each for each in schema["colors"]} if name == category else {}
        choice = st.selectbox(f"Which column holds {labels[name]}?", [*whole, *among], index=None, key=f"said {name}")
        chosen[name if choice in whole else f"column.{name}"] = whole.get(choice or "", choice)
    if all(chosen.values()):
        st.session_state.said, st.session_state.said_of = chosen, given.file_id
        st.rerun()


def with_answers(given: Any, said: Mapping[str, str]) -> bytes:
    """The file as the API gives it back."""
    return connection.client().table_with_answers(given.getvalue(), kind(given.name), said)


def result(found: Mapping[str, Any], rows: pd.DataFrame, schema: Schema, name: str, file: Callable[[], bytes]) -> None:
    """What came of the file: a summary on top, then the download, what was refused, and every row."""
    counts = found["summary"]
    bad = f" {counts['refused']:,} could not be." if counts["refused"] else ""
    unusual = int((rows["unlike"] != "").sum())
    odd = f" {unusual:,} are unlike the wines that the model knows: their scores are extrapolations." if unusual else ""
    st.markdown(f"**{counts['scored']:,} of {counts['rows']:,} wines scored.**{bad}{odd}")
    st.download_button(
        "Download the result",
        file,
        f"{name.rsplit('.', 1)[0]}-scored.csv",
        "text/csv",
        type="primary",
        icon=":material/download:",
    )
    st.caption("Your own file, with the answers behind its columns: each row has its score, or why it has none.")
    table = rows.rename(columns={"category": schema["category"]["label"], "good": "7 or better", "unlike": UNLIKE})
    table["7 or better"] = table["7 or better"].round(2)
    if not rows.empty:
        charts.histogram(rows["score"])
        extremes(table)
    refused(found["refused"], counts["faults"], schema)
    if not rows.empty:
        st.header("All scored rows", anchor=False)
        st.dataframe(table, hide_index=True, width="stretch", column_config=FIGURES)
        st.caption("A click on a column's head sorts. Row 1 is the first one below the column names.")


def extremes(table: pd.DataFrame) -> None:
    """The best and the worst wines of the file."""
    ranked = table.sort_values("score", ascending=False, kind="stable")
    if len(ranked) < 2 * FEW:
        return
    for column, title, few in zip(
        st.columns(2), ("best", "worst"), (ranked[:FEW], ranked[: -FEW - 1 : -1]), strict=True
    ):
        with column:
            st.header(f"The five {title}", anchor=False)
            shown = few[["row", few.columns[1], "score", "low", "high", UNLIKE]]
            st.dataframe(shown, hide_index=True, width="stretch", column_config=FIGURES)


def refused(faults: list[Mapping[str, Any]], count: int, schema: Schema) -> None:
    """Why rows could not be scored."""
    if not faults:
        return
    st.header("Rows that could not be scored", anchor=False)
    told = [{"row": cell["row"], "what is wrong": named(cell["message"], schema)} for cell in faults]
    st.dataframe(pd.DataFrame(told), hide_index=True, width="stretch", column_config=FIGURES)
    more = " The first hundred reasons are shown; the result above has each." if count > len(faults) else ""
    st.caption(f"Row 1 is the first one below the column names.{more}")
