"""The model: which one answers, who released it, how good it is, and what it cannot do."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import pandas as pd
import streamlit as st

from wine_ui import connection, last_look
from wine_ui.settings import Settings

SENTENCES: Final = {
    "mae": "On average the score is **{value:.2f} points** off the tasters' grade ({low:.2f} to {high:.2f}).",
    "within_one": "Rounded, it is within one grade for **{value:.0%}** of wines ({low:.0%} to {high:.0%}).",
    "coverage": "The stated range held the true grade for **{value:.0%}** of them ({low:.0%} to {high:.0%}).",
    "r2": "The measurements explain **{value:.0%}** of what makes grades differ ({low:.0%} to {high:.0%}); the rest is "
    "taste, and tasters disagree.",
    "rps_skill": "The chance that it gives each grade is **{value:.0%}** closer to what tasters said than the guess of "
    "somebody who knows only the colour ({low:.0%} to {high:.0%}).",
}
HOLDS: Final = {"holds": "yes", "fails": "no", "hold": "undecided", "not shown": "not shown"}

Metrics = Mapping[str, Mapping[str, float]]


def show() -> None:
    """The page."""
    model = connection.client().model()
    st.title("Who answers here?", anchor=False)
    st.markdown(standing(model))
    if model["evaluation"]:
        judged(model["evaluation"])
    else:
        st.info("This version has not been evaluated: its figures below come from its training alone.")
    last_look.show(model)
    origin(model)
    for title, card in {"Model card": model["card"], "Dataset card": model["dataset_card"]}.items():
        with st.expander(title):
            st.markdown(re.sub(r"^#", "###", card, flags=re.MULTILINE))  # below the page's own headings


def judged(evaluation: Mapping[str, Any]) -> None:
    """How good it is, for which wines, and what was asked of it."""
    st.header("How good is it?", anchor=False)
    st.markdown(in_words(evaluation["candidate"]["metrics"]))
    st.header("Where is it right, and where not?", anchor=False)
    st.markdown("Rare wines are hard: few very bad and very good ones were there to learn from.")
    st.table(bands(evaluation["slices"]), border="horizontal", hide_index=True)
    st.header("What was asked before it was released", anchor=False)
    st.markdown(answered(evaluation["gates"]))
    with st.expander("Each question, for experts"):
        st.table(gates(evaluation["gates"]), border="horizontal", hide_index=True)
        st.caption(
            "ΔRMSE: its typical error minus another model's on the same wines, so below zero it is the better one; in "
            "brackets, the 95 % interval."
        )
        if reasons := [f"- **{gate['name']}**: {gate['why']}" for gate in evaluation["gates"] if "why" in gate]:
            st.markdown("\n".join(["Why each of them was asked:\n", *reasons]))


def answered(listed: list[Mapping[str, Any]]) -> str:
    """How many questions were answered as they must be, and which were not."""
    failed = [gate["Gate"] for gate in gates(listed).to_dict("records") if gate["Holds"] != "yes"]
    if not failed:
        return f"Each of {len(listed)} questions was answered as it must be."
    good = len(listed) - len(failed)
    return f"{good} of {len(listed)} questions were answered as they must be, but not: {', '.join(failed)}."


def standing(model: Mapping[str, Any]) -> str:
    """Version, since when and by whose decision."""
    name = f"**Model {model['model_version']}**, a {model['metadata']['estimator'].replace('_', ' ')}"
    if promotion := model["promotion"]:
        when = datetime.fromisoformat(promotion["when"])
        return f"{name}. In production since {when:%d %B %Y, %H:%M} UTC, by {promotion['by']}: {promotion['reason']}."
    return f"{name}. It is served by name and is not what stands in production."


def in_words(metrics: Metrics) -> str:
    """The metrics on wines that the model had never seen, as a layman reads them."""
    lines = [f"- {sentence.format(**metrics[name])}" for name, sentence in SENTENCES.items() if name in metrics]
    return "\n".join(lines) + (
        "\n\nMeasured on wines that it had never seen; in brackets, the range in which the figure lies with 95 % "
        "confidence."
    )


def bands(slices: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Error and coverage by colour and by band of grades."""
    return pd.DataFrame(
        [
            {"Wines": name, "How many": found["wines"], "Off by (points)": shown(found["mae"], ".2f")}
            | ({"Range held the grade": shown(found["coverage"], ".0%")} if "coverage" in found else {})
            for name, found in slices.items()
        ]
    )


def gates(listed: list[Mapping[str, Any]]) -> pd.DataFrame:
    """Each gate with what was asked and what was measured."""
    return pd.DataFrame([texts(gate) if "gate" in gate else figures(gate) for gate in listed])


def texts(gate: Mapping[str, Any]) -> dict[str, str]:
    """A gate of the first format, where everything is a sentence already."""
    holds = "yes" if gate["passed"] else "no"
    return {"Gate": gate["gate"], "Asked": gate["threshold"], "Measured": gate["measured"], "Holds": holds}


def figures(gate: Mapping[str, Any]) -> dict[str, str]:
    """A gate of the second format: its figure, and the bound with the side on which the figure must lie."""
    return {
        "Gate": gate["name"],
        "Asked": asked(gate),
        "Measured": measured(gate),
        "Holds": HOLDS[gate["outcome"]],
    }


def asked(gate: Mapping[str, Any]) -> str:
    """Where a gate's figure must lie."""
    bound, side = gate["bound"], (gate["direction"] or "").replace("upper", "upper end").replace("lower", "lower end")
    if bound is None:
        return ""
    place = " to ".join(map(number, bound)) if isinstance(bound, list) else f"{side} {number(bound)}"
    return f"{place} {gate['unit']}".rstrip()


def measured(gate: Mapping[str, Any]) -> str:
    """A gate's figure, with its interval where it has one."""
    if gate["value"] is None:
        return "not measured"
    figure = number(gate["value"]) if gate["low"] is None else shown(gate, ".3f")
    return f"{figure} {gate['unit']}".rstrip()


def number(value: float) -> str:
    """A figure without more digits than it needs."""
    return f"{value:.3f}".rstrip("0").rstrip(".")


def shown(metric: Mapping[str, float], form: str) -> str:
    """A figure with its interval."""
    return f"{metric['value']:{form}} ({metric['low']:{form}} to {metric['high']:{form}})"


def origin(model: Mapping[str, Any]) -> None:
    """Where it comes from: dataset, commit, report and licence."""
    st.header("Where does it come from?", anchor=False)
    dataset, evaluation = model["dataset"], model["evaluation"] or {}
    source = (
        "UCI's [Wine Quality](https://archive.ics.uci.edu/dataset/186/wine+quality), CC BY 4.0 (Cortez et al. 2009)"
    )
    name = " ".join(filter(None, (dataset["name"], dataset["version"])))
    lines = [f"Dataset: {name}, digest `{dataset['digest'][:12]}`. {source}."]
    if model["commit"]:
        lines.append(f"Code: commit `{model['commit'][:12]}`.")
    if report := evaluation.get("report"):
        page = f"history/{report.partition(':')[2]}/04_evaluation.html"
        published = Settings.from_environment().reports_url
        link = f"[{report}]({str(published).rstrip('/')}/{page})" if published else report
        lines.append(f"Evaluation report: {link}.")
    run = (model["record"] or {}).get("run") or {}
    if run.get("url"):
        lines.append(f"Training run: [{run['name']}]({run['url']}).")
    st.markdown("\n".join(f"- {line}" for line in lines))
