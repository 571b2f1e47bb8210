"""The form: the wine to start from, a field for each measurement that the API asks for, and the button."""

import re
from collections.abc import Callable, Mapping
from itertools import groupby
from typing import Any

import streamlit as st

from wine_ui import sheet, units
from wine_ui.assessment import Assessment
from wine_ui.client import Schema

Submit = Callable[[Schema], None]


def show(schema: Schema, submit: Submit) -> None:
    """All of it, from top to bottom."""

    def undo() -> None:
        sheet.reset(schema)
        submit(schema)

    start(schema, submit)
    with st.container(key="measurements"):
        measurements(schema, category(schema))
    laboratory(schema)
    st.caption(
        f"An empty field was not measured: the typical value for the {schema['category']['label'].lower()} is used "
        "instead, and said so."
    )
    with st.container(key="submit", horizontal=True, vertical_alignment="center"):
        st.button("Score this wine", type="primary", on_click=submit, args=(schema,))
        if sheet.changed(schema):
            st.button("Undo my changes to this sheet", type="tertiary", on_click=undo)


def start(schema: Schema, submit: Submit) -> None:
    """The wine to start from; whichever is chosen is scored."""

    def switch() -> None:
        sheet.switch(schema)
        submit(schema)

    starts = sheet.starts(schema)
    st.pills(
        "Start from",
        list(starts),
        format_func=starts.__getitem__,
        key=sheet.START,
        required=True,
        on_change=switch,
        help="Real wines of the dataset, or your own. Whatever you type stays where you typed it.",
        wrap=True,
    )
    if grade := sheet.tasted(schema):
        st.caption(f"A real wine of the dataset: the tasters' grade was {grade:g}.")


def category(schema: Schema) -> str:
    """What wines differ in, such as their colour."""
    name, label = schema["category"]["name"], schema["category"]["label"]
    st.segmented_control(label, schema["colors"], format_func=str.capitalize, key=name, required=True)
    return sheet.category(schema)


def measurements(schema: Schema, category: str) -> None:
    """The measurements, grouped as a laboratory does."""
    for group, fields in groupby(schema["fields"], key=lambda field: field["group"]):
        st.header(group, anchor=False)
        for number, field in enumerate(fields):
            if number % 2 == 0:  # row by row, as one reads and as the tab key goes
                columns = st.columns(2)
            with columns[number % 2]:
                measurement(field, category)


def measurement(field: Mapping[str, Any], category: str) -> None:
    """One field with its unit and help, and below it what is wrong or unusual about it."""
    name, unit = field["name"], field["unit"]
    low, high = field["usual"][category]
    usual = f"{low:g} to {high:g} {unit}".rstrip()
    st.text_input(
        f"{field['label']} ({unit})" if unit else field["label"],
        key=name,
        placeholder=f"not measured (typical {field['typical'][category]:g})",
        help=f"{field['help']} Usual for a {category} wine: {usual}.",
    )
    if problem := st.session_state.get("problems", {}).get(name):
        st.error(plain(problem))
    found: Assessment | None = st.session_state.get("answer")
    for warning in found.warnings(name) if found else []:
        st.warning(warning)


def plain(text: str) -> str:
    """A text that may hold what a visitor or a link wrote, without the page's markup in it."""
    return re.sub(r"([\\`*\[\]<:$!])", r"\\\1", text)


def laboratory(schema: Schema) -> None:
    """Other ways in which laboratories give measurements of this form, converted in view."""
    fields = {field["name"]: field for field in schema["fields"]}
    wanted = [each for each in units.LAB_FIGURES if each.needs <= fields.keys()]
    if not wanted:
        return
    with st.expander(units.LAB_QUESTION, icon=":material/swap_horiz:"):
        known, _ = sheet.measured(schema)
        for each in wanted:
            value = converted(each, fields, known)
            if value is not None:
                known[each.field] = value


def converted(figure: units.LabFigure, fields: Mapping[str, Any], known: Mapping[str, float]) -> float | None:
    """Show a laboratory's figure in the form's unit, and offer to fill it in; None where there is none."""
    number, factor = asked(figure)
    if number is None:
        return None
    less, minus = 0.0, ""
    if part := figure.part:
        label = fields[part.field]["label"].lower()
        if part.field not in known:
            st.caption(f"{part.rule}: fill in the {label}, too.")
            return None
        less = part.factor * known[part.field]
        minus = f" − {less:.2f} (from {label})"
    field = fields[figure.field]
    value = round(number * factor - less, units.decimals(field["step"]) + 1)
    st.markdown(f"{number:g} × {factor:g}{minus} = **{value:g} {field['unit']}**")
    label, key = f"Use as {field['label'].lower()}", f"use_{figure.field}"
    st.button(label, key=key, on_click=fill, args=(figure.field, value))
    return value


def asked(figure: units.LabFigure) -> tuple[float | None, float]:
    """What a laboratory's figure is, and by what to multiply it."""
    left, right = st.columns([2, 3])
    text = left.text_input(figure.label, key=f"lab_{figure.field}")
    way = right.selectbox("reported in", figure.conversions, format_func=lambda each: each.label)
    try:
        return units.read_number(text), way.factor
    except units.NotANumber as error:
        st.error(str(error))
        return None, way.factor


def fill(name: str, value: float) -> None:
    """Write a converted value into its field."""
    st.session_state[name] = f"{value:g}"
