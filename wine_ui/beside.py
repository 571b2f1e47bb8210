"""Two wines side by side: one is kept, and stands beside each answer that follows; one link leads to both."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import pandas as pd
import streamlit as st

from wine_ui import connection, sheet
from wine_ui.assessment import Assessment, assess
from wine_ui.client import ApiError, Schema
from wine_ui.words import percent

PREFIX: Final = "beside."  # of a kept wine's measurements in the address


class Kept(NamedTuple):
    """A wine that is kept: its sheet as it was typed, and what the API said of it."""

    texts: dict[str, str]
    found: Assessment


def arrive(schema: Schema, given: Mapping[str, str]) -> None:
    """Keep the wine that the address names, if it names one that can be scored."""
    texts = {name.removeprefix(PREFIX): text for name, text in given.items() if name.startswith(PREFIX)}
    kept: Kept | None = st.session_state.get("kept")
    if kept and kept.texts == texts:
        return
    category = texts.get(schema["category"]["name"], "")
    numbers, problems = sheet.read(schema, texts)
    st.session_state.kept = None
    if category in schema["colors"] and numbers and not problems:
        try:
            found = assess(connection.client(), schema, category, numbers, "what_if")
        except ApiError:
            return  # the wine on the form says what is wrong
        st.session_state.kept = Kept(texts, found)


def address() -> dict[str, str]:
    """What the address says of the kept wine."""
    kept: Kept | None = st.session_state.get("kept")
    return {f"{PREFIX}{name}": text for name, text in kept.texts.items() if text} if kept else {}


def keep(found: Assessment) -> None:
    """Keep the wine that was answered last."""
    given = {name: value for name, value in found.wine.items() if name not in found.assumed}
    st.session_state.kept = Kept({name: shown(value) for name, value in given.items()}, found)


def drop() -> None:
    """Keep none any more."""
    st.session_state.kept = None


def show(schema: Schema, found: Assessment) -> None:
    """Both wines, measurement by measurement where they differ; or a button that keeps this one."""
    kept: Kept | None = st.session_state.get("kept")
    if kept is None or kept.found.wine == found.wine:
        told = "Kept: score another wine, and both stand side by side."
        if kept:
            st.caption(told)
        st.button(
            "Compare with another wine" if kept is None else "Do not compare",
            on_click=keep if kept is None else drop,
            args=(found,) if kept is None else (),
            icon=":material/compare_arrows:",
        )
        return
    st.header("Side by side", anchor=False)
    st.markdown(difference(found, kept.found))
    st.table(table(schema, found, kept.found), border="horizontal", hide_index=True)
    with st.container(horizontal=True):
        st.button("Keep this one instead", on_click=keep, args=(found,))
        st.button("Do not compare", on_click=drop)


def difference(this: Assessment, other: Assessment) -> str:
    """Which wine is scored higher, and whether that settles anything."""
    points = round(this.prediction["quality"], 1) - round(other.prediction["quality"], 1)
    if abs(points) < 0.05:
        return "Both are scored the same."
    told = f"This wine is scored **{abs(points):.1f} points {'higher' if points > 0 else 'lower'}** than the kept one"
    if this.low <= other.high and other.low <= this.high:
        return f"{told}; as the ranges overlap, tasters may see it the other way round."
    return f"{told}, and the ranges do not overlap."


def table(schema: Schema, this: Assessment, other: Assessment) -> pd.DataFrame:
    """The answers, and the measurements that differ."""
    rows = [("Score", *(f"{each.prediction['quality']:.1f}" for each in (this, other)))]
    rows.append(("Range", *(f"{each.low:.1f} to {each.high:.1f}" for each in (this, other))))
    if this.vouched and other.vouched:
        rows.append(("7 or better", *(percent(each.prediction["at_least_7"]) for each in (this, other))))
    for field in (schema["category"], *schema["fields"]):
        name, unit = field["name"], field.get("unit")
        pair = [cell(each, name) for each in (this, other)]
        if pair[0] != pair[1]:
            rows.append((f"{field['label']} ({unit})" if unit else field["label"], *pair))
    return pd.DataFrame(rows, columns=["", "This wine", "The kept one"])


def cell(found: Assessment, name: str) -> str:
    """A measurement of one of them."""
    text = shown(found.wine[name])
    return f"{text}, assumed" if name in found.assumed else text


def shown(value: Any) -> str:
    """A measurement as one writes it."""
    return value if isinstance(value, str) else f"{value:g}"
