"""A large answer read as it comes."""

import doctest
import json
from typing import Any

import pytest

from wine_ui import stream

ROWS = [{"row": row, "nested": {"of": ["]", "}"]}} for row in range(5)]
ANSWERS: dict[str, Any] = {
    "rows": {"rows": ROWS, "refused": [], "summary": {"rows": 5}},
    "no rows": {"rows": [], "refused": [{"rows": 1}]},
    "rows behind": {"refused": [], "rows": ROWS},
    "no table": {"detail": "no"},
    "a list": [1, 2],
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_answer_is_the_same_however_it_is_cut(answer: Any) -> None:
    """Into single signs, into pieces, or not at all; with spaces or without."""
    for text in (json.dumps(answer), json.dumps(answer, separators=(",", ":")), json.dumps(answer, indent=1)):
        for size in (1, 7, len(text)):
            pieces = (text[start : start + size] for start in range(0, len(text), size))
            assert stream.read(pieces, lambda row: row) == answer


@pytest.mark.parametrize("text", ["", "<html>", '{"rows":[{"row":1}', '{"rows":[{"row":1}, x]}', '{"rows":[]'])
def test_what_breaks_off_is_no_answer(text: str) -> None:
    """As json says it."""
    with pytest.raises(ValueError):  # noqa: PT011 - whatever its words are
        stream.read([text], lambda row: row)


def test_examples_are_true() -> None:
    """Those in the docstrings."""
    assert doctest.testmod(stream).failed == 0
