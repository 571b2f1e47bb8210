"""The form: a field for each measurement, and laboratories' other ways to report them."""

import httpx
from streamlit.testing.v1 import AppTest

from tests.ui.visitor import fields, press, text


def test_form_is_built_from_the_schema(page: AppTest, api: str) -> None:
    """Each measurement with its label and unit, in the schema's order; nothing is typed twice."""
    told = httpx.get(f"{api}/schema").json()["fields"]
    assert fields(page) == [field["name"] for field in told]
    for field in told:
        label = page.text_input(key=field["name"]).label
        assert field["label"] in label
        assert field["unit"] in label


def test_unusual_measurement_is_warned_of(page: AppTest) -> None:
    """Beside the field, with what the model has seen."""
    page.text_input(key="alcohol").set_value("20")
    press(page, "Score this wine")
    assert any("Alcohol 20 lies outside" in str(warning.value) for warning in page.warning)


def test_laboratory_units_are_converted_in_view(page: AppTest) -> None:
    """Volatile acidity in sulfuric acid, titratable acidity per 100 mL."""
    page.text_input(key="lab_volatile_acidity").set_value("0,5").run()
    page.selectbox[0].select_index(1).run()
    assert "0.5 × 1.22 = **0.61 g/L as acetic acid**" in text(page)
    page.text_input(key="lab_fixed_acidity").set_value("0.7").run()
    page.selectbox[1].select_index(2).run()
    assert "0.7 × 10 − 0.76 (from volatile acidity) = **6.24 g/L as tartaric acid**" in text(page)
    press(page, "Use as fixed acidity")
    assert page.text_input(key="fixed_acidity").value == "6.24"
