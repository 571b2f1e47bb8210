"""What stands on the form: one sheet of measurements for each start, so that going from one to another loses nothing.

Fields hold text, as laboratories write it; an empty field was not measured. All of it lives in the session's state, and
in `sheets` while another sheet is on the form. The address bar leads to the wine that was asked about last, so that the
browser's history holds wines, and its back button goes back one.
"""

from collections.abc import Mapping
from typing import Final

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from wine_ui.client import Schema
from wine_ui.units import NotANumber, read_number

MINE: Final = "mine"
START: Final = "start"


def prepare(schema: Schema) -> bool:
    """Put a sheet on the form, and say whether it came from the address: then it is to be scored.

    It is the one left here before, what the address says (on a first visit, or after a press of the back button), or a
    typical wine.
    """
    state, given = st.session_state, st.query_params.to_dict()
    first = "sheets" not in state
    if first:
        state.sheets, state.address = {}, {}
    if first or (went_back() and given != state.address):
        return arrive(schema, given)
    if schema["category"]["name"] not in state:
        lay(schema, state.laid)
    return False


def went_back() -> bool:
    """Whether the visitor has just pressed the browser's back or forward button."""
    context = get_script_run_ctx()
    return context is not None and context.is_history_navigation


def arrive(schema: Schema, given: Mapping[str, str]) -> bool:
    """Lay the sheet that an address leads to."""
    start = given[START] if given.get(START) in starts(schema) else None
    if given.keys() & original(schema, MINE).keys():
        st.session_state.sheets[start or MINE] = linked(schema, given)
    elif start == MINE:
        st.session_state.sheets.pop(MINE, None)
    lay(schema, start or (MINE if MINE in st.session_state.sheets else schema["presets"][0]["name"]))
    return True


def linked(schema: Schema, given: Mapping[str, str]) -> dict[str, str]:
    """The sheet that an address holds."""
    empty = original(schema, MINE)
    texts = {name: given.get(name, text) for name, text in empty.items()}
    name = schema["category"]["name"]
    return texts if texts[name] in schema["colors"] else texts | {name: empty[name]}


def point(schema: Schema) -> None:
    """Have the address lead to the wine that is on the form now."""
    state = st.session_state
    state.address = {START: state.laid} | {name: state[name] for name in original(schema, MINE) if state.get(name)}


def link(more: Mapping[str, str]) -> None:
    """Write the address into the bar, with what stands beside the wine."""
    address = st.session_state.address | more
    if st.query_params.to_dict() != address:
        st.query_params.from_dict(address)


def starts(schema: Schema) -> dict[str, str]:
    """What a visitor may start from, and what it is called."""
    return {MINE: "My wine"} | {preset["name"]: preset["label"] for preset in schema["presets"]}


def lay(schema: Schema, start: str) -> None:
    """Put a sheet on the form as it was left, or as the preset has it."""
    st.session_state.laid = st.session_state[START] = start
    for name, text in st.session_state.sheets.get(start, original(schema, start)).items():
        st.session_state[name] = text


def original(schema: Schema, start: str) -> dict[str, str]:
    """A sheet as nobody has changed it: a preset's wine, or one where nothing was measured."""
    for preset in schema["presets"]:
        if preset["name"] == start:
            return {name: value if isinstance(value, str) else f"{value:g}" for name, value in preset["wine"].items()}
    return {field["name"]: "" for field in schema["fields"]} | {schema["category"]["name"]: schema["colors"][0]}


def keep(schema: Schema) -> None:
    """Remember the sheet that is on the form."""
    state = st.session_state
    state.sheets[state.laid] = {name: state[name] for name in original(schema, MINE) if name in state}


def switch(schema: Schema) -> None:
    """The visitor has chosen another start: keep this sheet, lay that one."""
    keep(schema)
    lay(schema, st.session_state[START])


def reset(schema: Schema) -> None:
    """Lay the sheet as nobody has changed it."""
    st.session_state.sheets.pop(st.session_state.laid, None)
    lay(schema, st.session_state.laid)


def changed(schema: Schema) -> bool:
    """Whether the visitor has changed the sheet that is on the form."""
    state = st.session_state
    return any(state.get(name) != text for name, text in original(schema, state.laid).items())


def tasted(schema: Schema) -> float | None:
    """The tasters' grade of the preset that is on the form, as long as nobody has changed it."""
    start = st.session_state.laid
    return (
        None
        if changed(schema)
        else next((each["quality"] for each in schema["presets"] if each["name"] == start), None)
    )


def category(schema: Schema) -> str:
    """What is chosen on the form, such as the colour."""
    return str(st.session_state[schema["category"]["name"]])


def measured(schema: Schema) -> tuple[dict[str, float], dict[str, str]]:
    """The measurements on the form in the API's units, and by field what is no number."""
    return read(schema, {field["name"]: st.session_state.get(field["name"], "") for field in schema["fields"]})


def read(schema: Schema, texts: Mapping[str, str]) -> tuple[dict[str, float], dict[str, str]]:
    """The measurements in texts, and by field what is no number."""
    numbers, problems = {}, {}
    for field in schema["fields"]:
        try:
            number = read_number(texts.get(field["name"]))
        except NotANumber as error:
            problems[field["name"]] = str(error)
        else:
            if number is not None:
                numbers[field["name"]] = number
    return numbers, problems
