"""Differences with their intervals as a plot in text, which reads the same in a comment, a mail and a terminal."""

from collections.abc import Mapping
from typing import Final

from wine_serving.verdict import Metric

COLUMNS: Final = 78
NAME, COUNT, FIGURE = 16, 6, 25  # columns of a line's name, of its number of wines, and of its figure
PLOT: Final = COLUMNS - NAME - COUNT - FIGURE - 2  # with a space on either side; odd, so that zero is in the middle
CUT: Final = 4  # times the reach of the first line: where wines are few, the rest of an interval is an arrow


def drawn(differences: Mapping[str, Metric], wines: Mapping[str, int]) -> list[str]:
    """A line for each difference, about a common zero, and one below that says how to read them.

    >>> for line in drawn({"all wines": Metric(value=-0.5, low=-1, high=0.25)}, {"all wines": 9}):
    ...     print(line)
    all wines            9 |------o------+---|            -0.500 (-1.000 to 0.250)
                               better    |    worse               95 % in brackets
    """
    ends = [max(abs(each.low), abs(each.high)) for each in differences.values()]
    reach = min(max(ends, default=0), CUT * ends[0] if ends and ends[0] else 1.0) or 1.0
    lines = [
        f"{name:{NAME}.{NAME}}{wines.get(name, 0):{COUNT}d} {on_a_line(each, reach)} {each!s:>{FIGURE}}"
        for name, each in differences.items()
    ]
    return [
        *lines,
        f"{'':{NAME + COUNT + 1}}{'better':^{PLOT // 2}}|{'worse':^{PLOT // 2}} {'95 % in brackets':>{FIGURE}}",
    ]


def on_a_line(each: Metric, reach: float) -> str:
    """From `low` to `high` on a line from -reach to reach, with zero in its middle and an o at the value.

    >>> on_a_line(Metric(value=0.5, low=0.2, high=3), 1.0)
    '              +  |---o------>'
    """
    half = PLOT // 2
    low, value, high = (round(end / reach * half) + half for end in (each.low, each.value, each.high))
    marks = dict.fromkeys(range(max(low, 0), min(high, PLOT - 1) + 1), "-")
    marks |= {half: "+", low: "|", high: "|", value: "o"}
    marks |= {0: "<"} if low < 0 else {}
    marks |= {PLOT - 1: ">"} if high >= PLOT else {}
    return "".join(marks.get(place, " ") for place in range(PLOT))
