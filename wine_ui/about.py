"""About the model: which one answers, who released it, how good it is, and what it cannot do."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pandas as pd
import streamlit as st

from wine_ui import calm
from wine_ui.settings import Settings

Metrics = Mapping[str, Mapping[str, float]]


def show() -> None:
    """The page."""
    model = calm.client().model()
    st.title("Who answers here?")
    st.markdown(standing(model))
    evaluation = model["evaluation"]
    if evaluation:
        metrics = evaluation["candidate"]["metrics"]
        st.subheader("How good is it?")
        st.markdown(in_words(metrics))
        st.subheader("Where is it right, and where not?")
        st.markdown("Rare wines are hard: few very bad and very good ones were there to learn from.")
        st.table(bands(evaluation["slices"]), border="horizontal", hide_index=True)
        st.subheader("What was asked before it was released")
        st.table(gates(evaluation["gates"]), border="horizontal", hide_index=True)
        st.caption(
            "ΔRMSE: its typical error minus another model's on the same wines, so below zero it is the better one; "
            "in brackets, the 95 % interval."
        )
    else:
        st.info("This version has not been evaluated: its figures below come from its training alone.")
    origin(model)
    for title, card in {"Model card": model["card"], "Dataset card": model["dataset_card"]}.items():
        with st.expander(title):
            st.markdown(re.sub(r"^#", "####", card, flags=re.MULTILINE))  # below the page's own headings


def standing(model: Mapping[str, Any]) -> str:
    """Version, since when and by whose decision."""
    name = f"**Model {model['model_version']}**, a {model['metadata']['estimator'].replace('_', ' ')}"
    if promotion := model["promotion"]:
        when = datetime.fromisoformat(promotion["when"])
        return f"{name}. In production since {when:%d %B %Y, %H:%M} UTC, by {promotion['by']}: {promotion['reason']}."
    return f"{name}. It is served by name and is not what stands in production."


def in_words(metrics: Metrics) -> str:
    """The metrics on wines that the model had never seen, as a layman reads them."""
    lines = []
    if mae := metrics.get("mae"):
        lines.append(
            f"On average the score is **{mae['value']:.2f} points** off the tasters' grade "
            f"({mae['low']:.2f} to {mae['high']:.2f})."
        )
    if near := metrics.get("within_one"):
        lines.append(
            f"Rounded, it is within one grade for **{near['value']:.0%}** of wines "
            f"({near['low']:.0%} to {near['high']:.0%})."
        )
    if coverage := metrics.get("coverage"):
        lines.append(
            f"The stated range held the true grade for **{coverage['value']:.0%}** of them "
            f"({coverage['low']:.0%} to {coverage['high']:.0%})."
        )
    if r2 := metrics.get("r2"):
        lines.append(
            f"The measurements explain **{r2['value']:.0%}** of what makes grades differ "
            f"({r2['low']:.0%} to {r2['high']:.0%}); the rest is taste, and tasters disagree."
        )
    return "\n".join(f"- {line}" for line in lines) + (
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
    """Each gate with what was asked and what was measured; the first evaluations had other names for it."""
    return pd.DataFrame(
        [
            {
                "Gate": gate.get("name", gate.get("gate")),
                "Asked": gate.get("asked", gate.get("threshold")),
                "Measured": gate["measured"],
                "Holds": "yes" if gate.get("outcome", gate.get("passed")) in ("holds", True) else "no",
            }
            for gate in listed
        ]
    )


def shown(metric: Mapping[str, float], form: str) -> str:
    """A figure with its interval."""
    return f"{metric['value']:{form}} ({metric['low']:{form}} to {metric['high']:{form}})"


def origin(model: Mapping[str, Any]) -> None:
    """Where it comes from: dataset, commit, report and licence."""
    st.subheader("Where does it come from?")
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
        link = f"[{report}]({str(published).rstrip('/')}/{page})" if published else f"`{report}`, in `reports/{page}`"
        lines.append(f"Evaluation report: {link}.")
    run = (model["record"] or {}).get("run") or {}
    if run.get("url"):
        lines.append(f"Training run: [{run['name']}]({run['url']}).")
    st.markdown("\n".join(f"- {line}" for line in lines))
