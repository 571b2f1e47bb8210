"""Score a wine: the form on the left, the answer on the right."""

import re
from collections.abc import Mapping
from itertools import groupby
from typing import Any, Final

import pandas as pd
import streamlit as st

from wine_ui import charts, oenology, recovery, sheet, units
from wine_ui.assessment import Answer, assess, what_if
from wine_ui.client import COLOR, ApiError, Refused

NEAREST: Final = "The nearest whole grade, and for how many of such wines it is the one that tasters gave."

Schema = Mapping[str, Any]


def show() -> None:
    """The page."""
    schema = recovery.schema()
    first = "sheets" not in st.session_state
    sheet.prepare(schema)
    if first and any(sheet.measured(schema)):
        submit(schema)
    st.title("How good is this wine?")
    st.markdown(
        "Type what a laboratory measured and read the grade that tasters of Vinho Verde would most likely give. "
        "The score is an estimate of the **median of their grades, from 0 to 10**: it says nothing about price, safety "
        "or legality."
    )
    left, right = st.columns([5, 6], gap="large")
    with left:
        form(schema)
    sheet.keep(schema)
    sheet.link(schema)
    with right, st.container(key="answer"):
        answer(schema)


def submit(schema: Schema) -> None:
    """Ask the API about the wine on the form; what comes of it is kept for this visitor."""
    state = st.session_state
    numbers, problems = sheet.measured(schema)
    state.problems, state.failure = problems, None
    if problems:
        return
    try:
        state.answer = assess(recovery.client(), schema, st.session_state[COLOR], numbers)
    except Refused as refused:
        state.problems = {problem["field"] or "": problem["message"] for problem in refused.problems}
    except ApiError as error:
        state.failure = error
    else:
        state.moved = state.answer.prediction["model_version"] != schema["model_version"]
        if state.moved:
            recovery.forget()


def form(schema: Schema) -> None:
    """The measurements, grouped as a laboratory does."""
    starts, colors = sheet.starts(schema), sheet.colors(schema)
    st.pills(
        "Start from",
        list(starts),
        format_func=starts.__getitem__,
        key=sheet.START,
        required=True,
        on_change=switch,
        args=(schema,),
        help="Real wines of the dataset, or your own. Whatever you type stays where you typed it.",
        wrap=True,
    )
    if grade := sheet.tasted(schema):
        st.caption(f"A real wine of the dataset: the tasters' grade was {grade}.")
    st.segmented_control(
        "Colour",
        list(colors),
        format_func=colors.__getitem__,
        key=COLOR,
        required=True,
    )
    color = st.session_state[COLOR]
    for group, fields in groupby(schema["fields"], key=lambda field: field["group"]):
        st.markdown(f"##### {group}")
        for number, field in enumerate(fields):
            if number % 2 == 0:  # row by row, as one reads and as the tab key goes
                columns = st.columns(2)
            with columns[number % 2]:
                measurement(field, color)
    lab_units(schema)
    st.caption("An empty field was not measured: the typical value for the colour is used instead, and said so.")
    with st.container(key="submit", horizontal=True, vertical_alignment="center"):
        st.button("Score this wine", type="primary", on_click=submit, args=(schema,))
        if sheet.changed(schema):
            st.button("Undo my changes to this sheet", type="tertiary", on_click=sheet.reset, args=(schema,))


def switch(schema: Schema) -> None:
    """Lay the chosen sheet, and score it unless nothing is on it yet."""
    sheet.switch(schema)
    if any(sheet.measured(schema)):
        submit(schema)


def measurement(field: Mapping[str, Any], color: str) -> None:
    """One field with its unit and help, and below it what is wrong or unusual about it."""
    name, unit = field["name"], field["unit"]
    low, high = field["usual"][color]
    st.text_input(
        f"{field['label']} ({unit})" if unit else field["label"],
        key=name,
        placeholder=f"not measured (typical {field['typical'][color]:g})",
        help=f"{field['help']} Usual for a {color} wine: {low:g} to {high:g} {unit}.",
    )
    if problem := st.session_state.get("problems", {}).get(name):
        st.error(plain(problem))
    for warning in warnings(name):
        st.warning(warning)


def plain(text: str) -> str:
    """A text that may hold what a visitor or a link wrote, without the page's markup in it."""
    return re.sub(r"([\\`*\[\]<:$!])", r"\\\1", text)


def warnings(name: str | None) -> list[str]:
    """What the last answer found unusual about a measurement, or about the combination (None)."""
    found: Answer | None = st.session_state.get("answer")
    listed = found.prediction["warnings"] if found else []
    return [warning["message"] for warning in listed if warning["field"] == name]


def lab_units(schema: Schema) -> None:
    """Other ways in which laboratories report acidity, converted in view."""
    with st.expander("My laboratory reports acidity in another way", icon=":material/swap_horiz:"):
        volatile = st.columns([2, 3])
        text = volatile[0].text_input("Volatile acidity", key="lab_volatile")
        way = volatile[1].selectbox("reported in", units.VOLATILE, format_func=lambda each: each.label)
        converted = convert(schema, "volatile_acidity", text, way, 0.0)
        titratable = st.columns([2, 3])
        text = titratable[0].text_input("Titratable (total) acidity", key="lab_titratable")
        way = titratable[1].selectbox("reported in", units.TITRATABLE, format_func=lambda each: each.label)
        known, _ = sheet.measured(schema)
        off = converted if converted is not None else known.get("volatile_acidity")
        if text and off is None:
            st.caption("Fixed acidity is titratable less volatile acidity: fill in the volatile acidity, too.")
        elif off is not None:
            convert(schema, "fixed_acidity", text, way, units.TARTARIC_OF_ACETIC * off)


def convert(schema: Schema, name: str, text: str, way: units.Conversion, less: float) -> float | None:
    """Show what a laboratory's figure is in the form's unit, and offer to fill it in; None where there is no figure."""
    try:
        number = units.read_number(text)
    except units.NotANumber as error:
        st.error(str(error))
        return None
    if number is None:
        return None
    field = next(field for field in schema["fields"] if field["name"] == name)
    value = round(number * way.factor - less, units.decimals(field["step"]) + 1)
    minus = f" − {less:.2f} (from volatile acidity)" if less else ""
    st.markdown(f"{number:g} × {way.factor:g}{minus} = **{value:g} {field['unit']}**")
    st.button(f"Use as {field['label'].lower()}", key=f"use_{name}", on_click=fill, args=(name, value))
    return value


def fill(name: str, value: float) -> None:
    """Write a converted value into its field."""
    st.session_state[name] = f"{value:g}"


def answer(schema: Schema) -> None:
    """What the API said, or why it could not."""
    with st.container(key="headline"):
        found = standing(schema)
    if found is None:
        return
    for warning in warnings(None):
        st.warning(warning)
    color, prediction = str(found.wine[COLOR]), found.prediction
    counts = schema["distribution"][color]
    charts.distribution(counts, color, prediction["quality"], found.low, found.high, schema["target"])
    assumptions(schema, found)
    why(schema, found)
    curve(schema, found)
    derived(found)
    st.caption(f"Answered by model {prediction['model_version']}. The link in the address bar leads to this wine.")


def standing(schema: Schema) -> Answer | None:
    """Score, interval and grade, and whether they are still those of the form; None where there is nothing to show."""
    state = st.session_state
    if state.get("failure"):
        recovery.excuse(state.failure, lambda: submit(recovery.schema()))
        return None
    found: Answer | None = state.get("answer")
    if found is None and not state.get("problems"):
        st.info("The score appears here.")
    if found is not None:
        headline(found)
    if state.get("problems"):
        general = state.problems.get("", "One or more fields cannot be used: each says why.")
        st.error(general, icon=":material/edit:")
    elif found is not None and outdated(schema, found):
        st.info("The form has changed since this answer: press **Score this wine**.", icon=":material/update:")
    if found is not None and state.get("moved"):
        st.info(f"The model was exchanged meanwhile: this is the answer of {found.prediction['model_version']}.")
    return found


def outdated(schema: Schema, found: Answer) -> bool:
    """Whether the form says something else than what was answered."""
    numbers, problems = sheet.measured(schema)
    given = {name: value for name, value in found.wine.items() if name not in found.assumed}
    return bool(problems) or given != numbers | {COLOR: st.session_state[COLOR]}


def headline(found: Answer) -> None:
    """Score, interval and grade."""
    prediction = found.prediction
    level, grade = f"{prediction['interval']['level']:.0%}", prediction["grade"]
    told = "Roughly" if found.assumed else f"Range, for {level} of such wines"
    right = "Nearest whole grade" if found.assumed else f"Grade, right for {grade['share']:.0%}"
    with st.container(horizontal=True, gap="large"):
        st.metric("Score", f"{prediction['quality']:.1f} of 10", width="content")
        st.metric(told, f"{found.low:.1f} to {found.high:.1f}", width="content")
        st.metric(right, grade["value"], help=None if found.assumed else NEAREST, width="content")
    if found.assumed:
        st.caption(f"This is no {level} interval, as not everything was measured.")


def assumptions(schema: Schema, found: Answer) -> None:
    """What was not measured, what was assumed instead, and how much that matters."""
    labels = {field["name"]: field for field in schema["fields"]}
    lines = []
    for name, value in found.assumed.items():
        field = labels[name]
        line = f"- **{field['label']}**: assumed {value:g} {field['unit']}".rstrip()
        if name in found.spread:
            low, high = found.spread[name]
            line += f"; over what is usual the score goes from {low:.2f} to {high:.2f}"
        lines.append(line)
    if lines:
        st.markdown("**Not measured, so taken as typical for the colour:**\n" + "\n".join(lines))


def why(schema: Schema, found: Answer) -> None:
    """Which measurements pushed the score up or down."""
    labels = {field["name"]: field["label"] for field in schema["fields"]} | {COLOR: "Colour"}
    table = pd.DataFrame(found.explanation["contributions"])
    table["value"] = table["field"].map(lambda name: shown(found.wine[name]))
    table["label"] = table["field"].map(labels) + " " + table["value"]
    charts.contributions(table)
    st.caption(
        f"From the typical score {found.explanation['typical']:.2f} to this wine's {found.explanation['quality']:.2f}: "
        "the bars add up to the difference."
    )


def shown(value: float | str) -> str:
    """A measurement as one writes it."""
    return value if isinstance(value, str) else f"{value:g}"


def curve(schema: Schema, found: Answer) -> None:
    """What the score would be if one measurement were different."""
    fields = {field["name"]: field for field in schema["fields"]}
    name = st.selectbox(
        "What if this were different?",
        list(fields),
        index=list(fields).index("alcohol") if "alcohol" in fields else 0,
        format_func=lambda each: fields[each]["label"],
        key="what_if",
    )
    field, value = fields[name], float(found.wine[name])
    low, high = field["usual"][found.wine[COLOR]]
    try:
        points = what_if(recovery.client(), found.wine, name, min(low, value), max(high, value))
    except ApiError as error:
        st.caption(f"{error} {error.advice}")
        return
    charts.curve(points, field["label"], field["unit"], value, found.prediction["quality"])
    gaps = " Where the line is missing, no such wine is possible." if any(score is None for _, score in points) else ""
    st.caption(
        f"An association in the wines that the model knows, not advice: changing one thing changes others.{gaps}"
    )


def derived(found: Answer) -> None:
    """What follows from the measurements by rule, beside the score."""
    listed = oenology.derived(found.wine)
    st.markdown(
        "**Also true of this wine, and not part of the score**\n"
        + "\n".join(f"- {fact.label}: **{fact.value}**, {fact.note}" for fact in listed)
    )
