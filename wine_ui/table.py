"""A table of wines as the page offers and sends it; the API reads it."""

import pandas as pd

from wine_ui.client import Schema

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def kind(name: str) -> str:
    """What a file of that name is, as the API is told."""
    return XLSX if name.lower().endswith(".xlsx") else "text/csv"


def template(schema: Schema) -> str:
    """A table with every column, and the presets as examples."""
    rows = [preset["wine"] for preset in schema["presets"]]
    columns = [each["name"] for each in (*schema["fields"], schema["category"])]
    return pd.DataFrame(rows)[columns].to_csv(index=False)
