"""Sheets: what was typed on one is there when a visitor comes back to it."""

from streamlit.testing.v1 import AppTest

from tests.ui.visitor import press


def test_going_from_sheet_to_sheet_loses_nothing(page: AppTest) -> None:
    """What was typed on a preset and on one's own sheet is there when one comes back."""
    first = page.session_state["start"]
    page.text_input(key="alcohol").set_value("13").run()
    page.button_group(key="start").set_value("mine").run()
    assert page.text_input(key="alcohol").value == ""
    page.text_input(key="alcohol").set_value("9").run()
    page.button_group(key="start").set_value(first).run()
    assert page.text_input(key="alcohol").value == "13"
    page.button_group(key="start").set_value("mine").run()
    assert page.text_input(key="alcohol").value == "9"


def test_changes_to_a_preset_can_be_undone(page: AppTest) -> None:
    """One button brings the real wine back."""
    before = page.text_input(key="alcohol").value
    page.text_input(key="alcohol").set_value("13").run()
    press(page, "Undo my changes to this sheet")
    assert page.text_input(key="alcohol").value == before
