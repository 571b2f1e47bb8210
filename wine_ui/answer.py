"""The answer: a verdict in words, score and range, and what stands behind them; or why there is none."""

from collections.abc import Callable

import pandas as pd
import streamlit as st

from wine_ui import beside, charts, claims, connection, oenology, sheet, words
from wine_ui.assessment import Assessment, what_if
from wine_ui.beside import shown
from wine_ui.client import ApiError, Schema
from wine_ui.recovery import excuse


def show(schema: Schema, submit: Callable[[Schema], None]) -> None:
    """What the API said, or why it could not; `submit` asks again."""
    with st.container(key="headline"):
        found = standing(schema, submit)
    if found is None:
        return
    with st.container(key="stale" if outdated(schema, found) else "fresh"):
        behind(schema, found)


def behind(schema: Schema, found: Assessment) -> None:
    """What stands behind the figures."""
    prediction = found.prediction
    charts.grades(
        prediction["probabilities"] if found.vouched else None,
        schema["distribution"][found.category],
        *(found.category, prediction["quality"], found.low, found.high, schema["target"]),
    )
    if found.vouched:
        for sentence in claims.extremes(connection.model(), prediction):
            st.caption(sentence)
    with st.container(key="assumptions"):
        assumptions(schema, found)
    with st.container(key="paper"):
        paper(schema, found)
    with st.container(key="beside"):
        beside.show(schema, found)
    with st.container(key="why"):
        why(schema, found)
        curve(schema, found)
    facts(found)
    when = f"{found.at:%d %B %Y, %H:%M} UTC"
    st.caption(
        f"Answered by model {prediction['model_version']}, {when}. The address in the browser leads to this wine."
    )


def standing(schema: Schema, submit: Callable[[Schema], None]) -> Assessment | None:
    """Verdict and figures, and whether they are still those of the form; None where there is nothing to show."""
    state = st.session_state
    if state.get("failure"):
        excuse(state.failure, lambda: submit(connection.schema()))
        return None
    found: Assessment | None = state.get("answer")
    if found is None and not state.get("problems"):
        st.info("The score appears here: type at least one measurement, then press **Score this wine**.")
    if state.get("problems"):
        general = state.problems.get("", "One or more fields cannot be used: each says why.")
        st.error(general, icon=":material/edit:")
    elif found is not None and outdated(schema, found):
        told = "This answer belongs to other measurements than the form's: press **Score this wine**."
        st.info(told, icon=":material/update:")
    if found is not None:
        with st.container(key="stale-figures" if outdated(schema, found) else "figures"):
            headline(schema, found)
        if state.get("moved"):
            st.info(f"The model was exchanged meanwhile: this is the answer of {found.prediction['model_version']}.")
    return found


def outdated(schema: Schema, found: Assessment) -> bool:
    """Whether the form says something else than what was answered."""
    numbers, problems = sheet.measured(schema)
    given = {name: value for name, value in found.wine.items() if name not in found.assumed}
    return bool(problems) or given != numbers | {schema["category"]["name"]: sheet.category(schema)}


def headline(schema: Schema, found: Assessment) -> None:
    """The verdict in words, then score and range, and no more than the model knows of such wines."""
    prediction = found.prediction
    level = f"{prediction['interval']['level']:.0%}"
    with st.container(key="verdict"):
        st.markdown(words.verdict(schema, found))
    told = (
        f"Range, for {level} of such wines" if found.vouched else "Range, at the least" if found.unlike else "Roughly"
    )
    with st.container(horizontal=True, gap="large"):
        st.metric(
            "Score, extrapolated" if found.unlike else "Score", f"{prediction['quality']:.1f} of 10", width="content"
        )
        st.metric(told, f"{found.low:.1f} to {found.high:.1f}", width="content")
        if found.vouched:
            st.metric("7 or better", words.percent(prediction["at_least_7"]), width="content")
    if found.unlike:
        more = f" And {len(found.unlike) - 2} more." if len(found.unlike) > 2 else ""
        st.warning(f"{'. '.join(found.unlike[:2])}.{more} How often such wines lie in the range is not known.")
    elif found.assumed:
        st.caption(f"This is no {level} range, as not everything was measured.")


def paper(schema: Schema, found: Assessment) -> None:
    """The measurements, as they are printed beneath the answer."""
    lines = ["**The measurements**", ""]
    for field in (schema["category"], *schema["fields"]):
        unit, assumed = field.get("unit", ""), " (assumed)" if field["name"] in found.assumed else ""
        lines.append(f"- {field['label']}: **{shown(found.wine[field['name']])}** {unit}".rstrip() + assumed)
    st.markdown("\n".join(lines))


def assumptions(schema: Schema, found: Assessment) -> None:
    """What was not measured, what was assumed instead, and how much that matters."""
    lines = []
    for field in schema["fields"]:
        name = field["name"]
        if name not in found.assumed:
            continue
        line = f"- **{field['label']}**: assumed {found.assumed[name]:g} {field['unit']}".rstrip()
        if name in found.spread:
            low, high = found.spread[name]
            line += f"; over what is usual the score goes from {low:.2f} to {high:.2f}"
        lines.append(line)
    if lines:
        typical = f"**Not measured, so taken as typical for the {schema['category']['label'].lower()}:**"
        st.markdown("\n".join([typical, *lines]))


def why(schema: Schema, found: Assessment) -> None:
    """Which measurements pushed the score up or down."""
    labels = {each["name"]: each["label"] for each in (*schema["fields"], schema["category"])}
    table = pd.DataFrame(found.explanation["contributions"])
    table["value"] = table["field"].map(lambda name: shown(found.wine[name]))
    table["label"] = table["field"].map(labels) + " " + table["value"]
    charts.contributions(table)
    st.caption(
        f"From the typical score {found.explanation['typical']:.2f} to this wine's {found.explanation['quality']:.2f}: "
        "the bars add up to the difference."
    )


def curve(schema: Schema, found: Assessment) -> None:
    """What the score would be if one measurement were different."""
    fields = {field["name"]: field for field in schema["fields"]}
    name = st.selectbox(
        "What if this were different?",
        list(fields),
        index=list(fields).index(oenology.ASKED_FIRST) if oenology.ASKED_FIRST in fields else 0,
        format_func=lambda each: fields[each]["label"],
        key="what_if",
    )
    field, value = fields[name], float(found.wine[name])
    low, high = field["usual"][found.category]
    try:
        points = what_if(connection.client(), found.wine, name, min(low, value), max(high, value))
    except ApiError as error:
        st.caption(f"{error} {error.advice}")
        return
    charts.curve(points, field["label"], field["unit"], value, found.prediction["quality"])
    gaps = " Where the line is missing, no such wine is possible." if any(score is None for _, score in points) else ""
    st.caption(
        f"An association in the wines that the model knows, not advice: changing one thing changes others.{gaps}"
    )


def facts(found: Assessment) -> None:
    """What follows from the measurements by rule, beside the score."""
    if lines := [f"- {fact.label}: **{fact.value}**, {fact.note}" for fact in oenology.facts(found.wine)]:
        st.markdown("\n".join(["**Also true of this wine, and not part of the score**", *lines]))
