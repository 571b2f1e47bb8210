"""The page of an executed notebook: what a reader meets first, and pictures that follow the colour scheme."""

from base64 import b64encode
from pathlib import Path
from typing import Any

import nbformat
import pytest
from pages import arranged, render, themed

new: Any = nbformat.v4


def cell(text: str, *tags: str, shows: str = "") -> Any:
    """A cell of code with its tags, which has shown something."""
    outputs = [new.new_output("stream", text=shows)] if shows else []
    return new.new_code_cell(text, metadata={"tags": [*tags]}, outputs=outputs)


@pytest.fixture
def cells() -> list[Any]:
    """A notebook as it is written: what it is made with, then the way to its answer."""
    prose = new.new_markdown_cell
    made_with = [prose("Ingredients."), cell("import this"), cell("seed = 0", "parameters")]
    end = [cell("answer", "headline", shows="yes"), cell("table", "wines", shows="a wine")]
    return [prose("# Is it?"), *made_with, prose("## The way"), cell("steps"), *end]


def test_a_reader_meets_the_answer_and_wines_before_ingredients(cells: list[Any]) -> None:
    """Imports and parameters stand at the end, under a heading; nothing is lost."""
    found = [each.source for each in arranged(cells)]
    assert found[:5] == ["# Is it?", "answer", "table", "## The way", "steps"]
    assert found[5:] == ["## What this page is made with", "Ingredients.", "import this", "seed = 0"]


def test_without_an_answer_cells_stay_in_order(cells: list[Any]) -> None:
    """As where one of them failed: the failure is the last that is there."""
    cells[-2].outputs = []
    assert arranged(cells) == cells


def test_pictures_follow_the_colour_scheme(cells: list[Any], tmp_path: Path) -> None:
    """Ink, paper and the wine's red are those of the scheme, in the page as in the picture by itself."""
    drawn = '<svg><defs></defs><path style="stroke: #000000; fill: #ffffff"/><path style="fill: #7b2d43"/></svg>'
    picture = themed(drawn)
    assert 'style="stroke: var(--ink); fill: var(--paper)"' in picture
    assert "@media(prefers-color-scheme:dark){svg{--ink:#e9e4dd" in picture
    cells[-2].outputs = [new.new_output("display_data", {"image/svg+xml": drawn})]
    nbformat.write(new.new_notebook(cells=cells), tmp_path / "page.ipynb")
    page = render(tmp_path / "page.ipynb").read_text()
    assert b64encode(picture.encode()).decode() in page
