"""The table that the page offers."""

from wine_serving import tables
from wine_ui.client import Schema
from wine_ui.table import XLSX, kind, template


def test_template_can_be_scored(schema: Schema) -> None:
    """What we offer is what we take."""
    assert len(tables.read(template(schema).encode()).wines) == len(schema["presets"])


def test_spreadsheets_are_told_from_text() -> None:
    """By their names."""
    assert [kind(name) for name in ("a.CSV", "b.txt", "c.XLSX")] == ["text/csv", "text/csv", XLSX]
