"""Charts in the page's colours, each with title, units and a text for who cannot see it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import altair as alt
import pandas as pd
import streamlit as st

from wine_ui.words import lowered

WINE: Final = "#a83f5b"  # these four keep three to one against both backgrounds
GOLD: Final = "#a67c1a"
GREY: Final = "#857c74"
GREEN: Final = "#3d8560"


def grades(
    shares: Mapping[str, float] | None,
    counts: Mapping[str, int],
    color: str,
    score: float,
    low: float,
    high: float,
    scale: Mapping[str, Any],
) -> None:
    """How tasters grade such wines, before the grades of known wines; without `shares`, score and range before them."""
    total = sum(counts.values())
    known = pd.DataFrame({"grade": map(int, counts), "share": [count / total for count in counts.values()]})
    axis = alt.X(
        "from:Q",
        title=f"Grade, {scale['minimum']} to {scale['maximum']}",
        scale=alt.Scale(domain=[scale["minimum"] - 0.5, scale["maximum"] + 0.5], nice=False),
        axis=alt.Axis(values=list(range(scale["minimum"], scale["maximum"] + 1)), format="d", grid=False),
    )
    layers = [bars(known, 0.42, "Known wines").mark_rect(color=GREY, opacity=0.4).encode(axis)]
    found = alt.Chart(pd.DataFrame({"low": [low], "high": [high], "score": [score]}))
    if shares:
        likely = pd.DataFrame({"grade": map(int, shares), "share": list(shares.values())})
        layers.append(bars(likely, 0.26, "Such wines").mark_rect(color=WINE).encode(axis))
    else:
        layers.append(found.mark_rect(color=WINE, opacity=0.25).encode(x="low:Q", x2="high:Q"))
    layers.append(found.mark_rule(color=GOLD if shares else WINE, size=4).encode(x="score:Q"))
    often = sorted((shares or {}).items(), key=lambda each: -each[1])[:3]
    told = ", ".join(f"{grade}: {share:.0%}" for grade, share in often)
    st.altair_chart(
        alt.layer(*layers).properties(title="How tasters grade such wines" if shares else "Among known wines"),
        width="stretch",
        height=250,
        alt=f"The score {score:.1f} over a bar for each grade of known wines; the likeliest grades of this one, {told}"
        if shares
        else f"The score {score:.1f}, roughly {low:.1f} to {high:.1f}, over a bar for each grade of known wines",
    )
    mine = (
        "Narrow bars: such wines, by the grade they get. Line: the score."
        if shares
        else "Line: the score, with its band."
    )
    st.caption(f"{mine} Wide bars: the grades of {total:,} known {color} wines.")


def bars(table: pd.DataFrame, half: float, title: str) -> alt.Chart:
    """A bar for each grade, so wide to either side."""
    table = table.assign(**{"from": table["grade"] - half, "to": table["grade"] + half})
    tooltip = [alt.Tooltip("grade:Q", title="Grade"), alt.Tooltip("share:Q", title=title, format=".1%")]
    y = alt.Y("share:Q", title="Share of wines", axis=alt.Axis(format="%", tickCount=4))
    found: alt.Chart = alt.Chart(table).mark_rect().encode(alt.X2("to:Q"), y, alt.Y2Datum(0), tooltip=tooltip)
    return found


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
    name = lowered(label)
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


def histogram(found: pd.Series) -> None:
    """How many wines of a file have which score: counted here, so that a browser need not hold every wine for it."""
    counts = (found // 0.25 * 0.25).value_counts().sort_index()
    table = pd.DataFrame({"from": counts.index, "to": counts.index + 0.25, "wines": counts.to_numpy()})
    axis, scores = (
        alt.Y("wines:Q", title="Wines", axis=alt.Axis(tickMinStep=1)),
        alt.Axis(tickMinStep=0.5, format=".1f"),
    )
    tooltip = [alt.Tooltip("from:Q", title="Score from"), alt.Tooltip("wines:Q", title="Wines")]
    chart = (
        alt.Chart(table)
        .mark_bar(color=WINE)
        .encode(alt.X("from:Q", bin="binned", title="Score", axis=scores), alt.X2("to:Q"), axis, tooltip=tooltip)
        .properties(title="Scores of this file")
    )
    st.altair_chart(
        chart,
        width="stretch",
        height=260,
        alt=f"Histogram of {len(found)} scores from {found.min():.1f} to {found.max():.1f}",
    )
