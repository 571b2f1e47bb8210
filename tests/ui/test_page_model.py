"""About the model, without a browser: who answers, and how it was judged, in either format of a verdict."""

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tests import frozen, servers
from tests.ui.visitor import TIMEOUT, text
from wine_serving.registry import MODEL
from wine_serving.registry.folder import FolderRegistry

GATE = {"low": None, "high": None, "unit": "", "outcome": "holds", "why": "It must be so."}
GATES = [
    GATE | {"name": "coverage", "value": 0.9, "low": 0.87, "high": 0.93, "bound": [0.83, 0.96], "direction": "between"},
    GATE
    | {"name": "gain", "value": -0.02, "low": -0.03, "high": -0.01, "bound": 0, "direction": "upper below"}
    | {"unit": "RMSE"},
    GATE | {"name": "wines", "value": 1068, "bound": 300, "direction": "at least"},
    GATE | {"name": "size", "value": 14.25, "bound": 14, "direction": "at most", "unit": "MB", "outcome": "fails"},
    GATE | {"name": "time", "value": None, "bound": None, "direction": "at most", "unit": "ms", "outcome": "hold"},
]


def about() -> AppTest:
    """The page about the model."""

    def show() -> None:
        from wine_ui import page_model, recovery

        recovery.guarded(page_model.show)()

    page = AppTest.from_function(show, default_timeout=TIMEOUT).run()
    assert not page.exception
    return page


@pytest.mark.usefixtures("connected")
def test_about_says_who_released_the_model() -> None:
    """Version, since when, by whom, from which data."""
    read = text(about())
    assert "**Model v0**, a random forest. In production since" in read
    assert "CC BY 4.0" in read
    assert "has not been evaluated" in read


def test_verdict_of_the_first_format_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kept registry's: gates are texts, and are shown as they are."""
    with servers.api(tmp_path / "log", WINE_REGISTRY=f"folder:{frozen.unpack_registry(tmp_path)}") as server:
        monkeypatch.setenv("WINE_API_URL", server.address)
        bands, gates = about().table
    assert list(bands.value.columns) == ["Wines", "How many", "Off by (points)", "Range held the grade"]
    assert list(gates.value.columns) == ["Gate", "Asked", "Measured", "Holds"]
    assert list(gates.value.loc[2]) == ["better than mean: ΔRMSE", "upper end < 0", "-0.174 (-0.203 to -0.145)", "yes"]


def test_verdict_of_the_second_format_is_told(
    promoted: FolderRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gates are figures: the page says what was asked and measured, and why."""
    verdict: dict[str, Any] = {"format": 2, "candidate": {"metrics": {}}, "slices": {}, "gates": GATES}
    promoted.attach_evaluation(f"{MODEL}:v0", verdict)
    with servers.api(tmp_path / "log", WINE_REGISTRY=f"folder:{promoted.root}") as server:
        monkeypatch.setenv("WINE_API_URL", server.address)
        page = about()
    assert page.table[1].value.to_numpy().tolist() == [
        ["coverage", "0.83 to 0.96", "0.900 (0.870 to 0.930)", "yes"],
        ["gain", "upper end below 0 RMSE", "-0.020 (-0.030 to -0.010) RMSE", "yes"],
        ["wines", "at least 300", "1068", "yes"],
        ["size", "at most 14 MB", "14.25 MB", "no"],
        ["time", "", "not measured", "undecided"],
    ]
    assert "- **size**: It must be so." in text(page)
