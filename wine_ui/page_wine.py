"""Score a wine: the form on the left, the answer on the right."""

import streamlit as st

from wine_ui import answer, beside, connection, form, sheet
from wine_ui.assessment import assess
from wine_ui.client import ApiError, Purpose, Refused, Schema
from wine_ui.words import named


def show() -> None:
    """The page."""
    schema = connection.schema()
    if sheet.prepare(schema):
        beside.arrive(schema, st.query_params.to_dict())
        submit(schema, "what_if" if sheet.went_back() else "user")  # what one goes back to was asked about before
    st.title("How good is this wine?", anchor=False)
    with st.container(key="intro"):
        st.markdown(
            "Type what a laboratory measured and read the grade that tasters of Vinho Verde would most likely give. "
            "The score is an estimate of the **median of their grades, from 0 to 10**: it says nothing about price, "
            "safety or legality."
        )
    left, right = st.columns([5, 6], gap="large")
    with left, st.container(key="form"):
        form.show(schema, submit)
    sheet.keep(schema)
    sheet.link(beside.address())
    with right, st.container(key="answer"):
        answer.show(schema, submit)


def submit(schema: Schema, purpose: Purpose = "user") -> None:
    """Ask the API about the wine on the form; what comes of it is kept for this visitor."""
    state = st.session_state
    sheet.point(schema)
    numbers, problems = sheet.measured(schema)
    state.problems, state.failure = problems, None
    if not numbers:
        state.answer = None  # an old answer beside an empty form would be taken for this wine's
    if problems or not numbers:
        return
    try:
        state.answer = assess(connection.client(), schema, sheet.category(schema), numbers, purpose)
    except Refused as refused:
        said = {problem["field"] or "": problem["message"] for problem in refused.problems}
        state.problems = {name: named(message, schema) for name, message in said.items()}
    except ApiError as error:
        state.failure = error
    else:
        state.moved = state.answer.prediction["model_version"] != schema["model_version"]
        if state.moved:
            connection.forget()
