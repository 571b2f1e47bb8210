"""Score a wine, without a browser: what a visitor reads after what they did, against a real API."""

from typing import Any

import httpx
from streamlit.testing.v1 import AppTest

from tests.ui.visitor import asked, on_form, press, score, text


def predicted(api: str, wine: dict[str, Any]) -> float:
    """What the API says of a wine, as shown."""
    answer = httpx.post(f"{api}/predict", json=wine).raise_for_status().json()
    return round(float(answer["quality"]), 1)


def test_first_visit_shows_a_scored_preset(page: AppTest, api: str) -> None:
    """A page that answers before anything was typed, with the model's version."""
    assert score(page) == predicted(api, on_form(page))
    assert "Answered by model v0" in text(page)


def test_decimal_comma_is_read(page: AppTest, api: str) -> None:
    """12,5 is twelve and a half."""
    page.text_input(key="alcohol").set_value("12,5").run()
    assert "belongs to other measurements" in text(page)
    press(page, "Score this wine")
    assert on_form(page)["alcohol"] == 12.5
    assert score(page) == predicted(api, on_form(page))
    assert "belongs to other" not in text(page)


def test_text_is_refused_beside_its_field(page: AppTest) -> None:
    """What was typed stays, and nothing is sent."""
    page.text_input(key="ph").set_value("sour")
    press(page, "Score this wine")
    assert "“sour” is not a number" in text(page)
    assert page.text_input(key="ph").value == "sour"


def test_impossible_wine_is_refused_in_the_words_of_the_api(page: AppTest) -> None:
    """The rule stands in the API alone."""
    page.text_input(key="free_sulfur_dioxide").set_value("300")
    press(page, "Score this wine")
    assert "is above total sulfur dioxide" in text(page)


def test_unmeasured_field_is_assumed_and_said(page: AppTest, api: str) -> None:
    """The typical value is used, the answer names it and how much it matters, and claims no 90 % interval."""
    typical = next(f for f in httpx.get(f"{api}/schema").json()["fields"] if f["name"] == "chlorides")["typical"]
    page.text_input(key="chlorides").set_value("")
    press(page, "Score this wine")
    assert score(page) == predicted(api, on_form(page) | {"chlorides": typical[page.session_state["color"]]})
    assert "**Chlorides**: assumed" in text(page)
    assert "This is no 90% range" in text(page)


def test_one_submit_is_one_request(page: AppTest, api: str) -> None:
    """Changing fields asks for no score; the button asks once, and for one explanation."""
    before = asked(api, "/predict"), asked(api, "/explain")
    page.text_input(key="alcohol").set_value("11").run()
    page.text_input(key="ph").set_value("3.1").run()
    assert (asked(api, "/predict"), asked(api, "/explain")) == before
    press(page, "Score this wine")
    assert (asked(api, "/predict"), asked(api, "/explain")) == (before[0] + 1, before[1] + 1)
