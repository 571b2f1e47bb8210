"""Another table than wine: the page is built from what the service says, and nothing of the page is changed."""

from collections.abc import Iterator

import pytest
from streamlit.testing.v1 import AppTest

from tests.stand_ins import cheeses
from tests.ui.visitor import opened, press, score, text, upload


@pytest.fixture(autouse=True)
def dairy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A service that grades cheeses, and a page that asks it."""
    with cheeses.service() as address:
        monkeypatch.setenv("WINE_API_URL", address)
        yield


def goat(page: AppTest) -> AppTest:
    """The cheese, made of another milk."""
    page.button_group(key="milk").set_value("goat").run()
    return press(page, "Score this wine")


def test_cheese_is_scored() -> None:
    """A field for each measurement and for whose milk it is; the answer is the service's."""
    page = opened()
    assert not page.exception
    assert [each.label for each in page.text_input] == ["Fat (g/100 g)", "Salt (g/100 g)", "Age (weeks)"]
    assert page.button_group(key="milk").label == "Milk"
    assert score(page) == 6.0
    assert score(goat(page)) == 7.0
    assert "Answered by model v7" in text(page)


def test_nothing_about_wine_is_said_of_a_cheese() -> None:
    """No laboratory's acidity, no limits for sulfur; what might be different begins with the first measurement."""
    page = opened()
    assert [each.label for each in page.expander] == []
    assert [each.label for each in page.selectbox] == ["What if this were different?"]
    assert page.selectbox(key="what_if").value == "fat"
    assert "Also true of this wine" not in text(page)


def test_what_was_not_measured_is_assumed() -> None:
    """As typical for the milk."""
    page = opened()
    page.text_input(key="fat").set_value("")
    press(page, "Score this wine")
    assert "taken as typical for the milk" in text(page)
    assert "**Fat**: assumed 28 g/100 g; over what is usual the score goes from 4.40 to 8.60" in text(page)


def test_file_of_cheeses_is_scored() -> None:
    """With the milk of each in a column, or asked for."""
    assert "**1 of 1 wines scored.**" in text(upload(b"fat;salt;age;milk\n30;1,8;20;goat\n"))
    page = upload(b"fat;salt;age\n30;1,8;20\n")
    asked = page.selectbox(key="said milk")
    assert (asked.label, asked.options) == ("Which column holds Milk?", ["all are cow", "all are goat", "age"])
    page = asked.select("all are goat").run()
    assert "**1 of 1 wines scored.**" in text(page)
    assert list(page.dataframe[0].value["Milk"]) == ["goat"]
