"""Charts in the page's colours, each with title, units and a text for who cannot see it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import altair as alt
import pandas as pd
import streamlit as st

WINE: Final = "#a83f5b"  # these four keep three to one against both backgrounds
GOLD: Final = "#a67c1a"
GREY: Final = "#857c74"
GREEN: Final = "#3d8560"


def distribution(
    counts: Mapping[str, int], color: str, score: float, low: float, high: float, scale: Mapping[str, Any]
) -> None:
    """The score and its interval on the scale, before the grades of known wines."""
    total = sum(counts.values())
    known = pd.DataFrame(
        [(int(grade), int(grade) - 0.42, int(grade) + 0.42, count / total) for grade, count in counts.items()],
        columns=["grade", "from", "to", "share"],
    )
    axis = alt.X(
        "from:Q",
        title=f"Grade, {scale['minimum']} to {scale['maximum']}",
        scale=alt.Scale(domain=[scale["minimum"] - 0.5, scale["maximum"] + 0.5], nice=False),
        axis=alt.Axis(values=list(range(scale["minimum"], scale["maximum"] + 1)), format="d", grid=False),
    )
    bars = (
        alt.Chart(known)
        .mark_rect(color=GREY, opacity=0.55)
        .encode(
            axis,
            alt.X2("to:Q"),
            alt.Y("share:Q", title="Share of known wines", axis=alt.Axis(format="%", tickCount=4)),
            alt.Y2Datum(0),
            tooltip=[alt.Tooltip("grade", title="Grade"), alt.Tooltip("share", title="Share", format=".1%")],
        )
    )
    found = alt.Chart(pd.DataFrame({"low": [low], "high": [high], "score": [score]}))
    band = found.mark_rect(color=WINE, opacity=0.25).encode(x="low:Q", x2="high:Q")
    line = found.mark_rule(color=WINE, size=4).encode(x="score:Q")
    st.altair_chart(
        (bars + band + line).properties(title="This wine among the known ones"),
        width="stretch",
        height=250,
        alt=f"The score {score:.1f} with a band from {low:.1f} to {high:.1f}, over a bar for each grade of known wines",
    )
    st.caption(f"Line: this wine's score. Band: its range. Bars: how tasters graded {total:,} known {color} wines.")


def contributions(table: pd.DataFrame) -> None:
    """Which measurements moved the score, up or down; `table` with label, value and contribution."""
    largest = table.reindex(table["contribution"].abs().sort_values(ascending=False).index)
    reach = 1.05 * float(largest["contribution"].abs().max()) or 1.0
    points = alt.Axis(labelExpr="datum.value == 0 ? '0' : format(datum.value, '+.2~f')", tickCount=5)
    chart = (
        alt.Chart(largest)
        .mark_bar()
        .encode(
            alt.X("contribution:Q", title="Score points", axis=points, scale=alt.Scale(domain=[-reach, reach])),
            alt.Y("label:N", title=None, sort=None, axis=alt.Axis(labelLimit=220, labelOverlap=False)),
            color=alt.condition("datum.contribution >= 0", alt.value(GREEN), alt.value(WINE)),
            tooltip=[
                alt.Tooltip("label", title="Measurement"),
                alt.Tooltip("value", title="Value"),
                alt.Tooltip("contribution", title="Score points", format="+.2f"),
            ],
        )
        .properties(title="What moved the score")
    )
    told = ", ".join(f"{row.label} {row.contribution:+.2f}" for row in largest.head(3).itertuples())
    st.altair_chart(chart, width="stretch", height=360, alt=f"Bars of score points by measurement; the largest: {told}")


def curve(points: Sequence[tuple[float, float | None]], label: str, unit: str, value: float, score: float) -> None:
    """The score as one measurement moves; gaps where the wine would be impossible."""
    title = f"{label} ({unit})" if unit else label
    name = label if label[1:2].isupper() else label.lower()  # pH stays pH
    table = pd.DataFrame(points, columns=["value", "score"])
    line = (
        alt.Chart(table)
        .mark_line(color=WINE, size=3, invalid="break-paths-show-domains")
        .encode(
            alt.X("value:Q", title=title, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=8)),
            alt.Y("score:Q", title="Score", scale=alt.Scale(zero=False, nice=True)),
            tooltip=[alt.Tooltip("value", title=label), alt.Tooltip("score", title="Score", format=".2f")],
        )
    )
    here = alt.Chart(pd.DataFrame({"value": [value], "score": [score]})).mark_point(color=GOLD, size=120, filled=True)
    known = table["score"].dropna()
    st.altair_chart(
        (line + here.encode(x="value:Q", y="score:Q")).properties(title=f"If only {name} were different"),
        width="stretch",
        height=260,
        alt=f"The score moves between {known.min():.1f} and {known.max():.1f} as {name} goes from "
        f"{points[0][0]:g} to {points[-1][0]:g} {unit}; this wine is marked",
    )


def histogram(scores: Sequence[float]) -> None:
    """How many wines of a file have which score."""
    chart = (
        alt.Chart(pd.DataFrame({"score": scores}))
        .mark_bar(color=WINE)
        .encode(
            alt.X("score:Q", bin=alt.Bin(step=0.25), title="Score"),
            alt.Y("count()", title="Wines", axis=alt.Axis(tickMinStep=1)),
        )
        .properties(title="Scores of this file")
    )
    st.altair_chart(
        chart,
        width="stretch",
        height=260,
        alt=f"Histogram of {len(scores)} scores from {min(scores):.1f} to {max(scores):.1f}",
    )
