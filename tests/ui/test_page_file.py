"""Score a file, without a browser: every row scored or explained, against a real API."""

import httpx
import pytest

from tests import tiny
from tests.ui.visitor import text, upload


@pytest.mark.usefixtures("connected")
def test_good_rows_of_a_file_are_scored_and_bad_ones_explained(api: str) -> None:
    """The scores are the API's, and each bad cell says why, by row."""
    wines = tiny.made_up_wines(30).drop(columns=["quality", "group", "n_rows", "source"])
    table = wines.assign(name=[f"no. {n}" for n in range(30)]).astype(object)
    table.loc[3, "ph"], table.loc[7, "density"], table.loc[9, "alcohol"] = "sour", 996.0, ""
    page = upload(table.to_csv(index=False).encode())
    assert not page.exception
    assert "**27 of 30 wines scored.** 3 could not be." in text(page)
    best, worst, problems, scored = (each.value for each in page.dataframe)
    assert list(problems["row"]) == [4, 8, 10]
    for word, why in zip(("pH", "Density", "Alcohol"), problems["what is wrong"], strict=True):
        assert word in why
    good = [row for row in range(30) if row not in (3, 7, 9)]
    answer = httpx.post(f"{api}/predict/batch", json={"wines": tiny.as_wines(wines.iloc[good])}).json()
    assert list(scored["row"]) == [row + 1 for row in good]
    assert list(scored["score"]) == [each["quality"] for each in answer["predictions"]]
    assert list(best["score"]) == sorted(scored["score"], reverse=True)[:5]
    assert list(worst["score"]) == sorted(scored["score"])[:5]


@pytest.mark.usefixtures("connected")
def test_color_that_the_file_does_not_say_is_asked_for() -> None:
    """UCI's own file: semicolons, quoted names with spaces, decimal commas; nothing is scored as red in silence."""
    wines = tiny.made_up_wines(5).drop(columns=["color", "group", "n_rows", "source"])
    names = [f'"{name.replace("_", " ")}"' for name in map(str, wines)]
    rows = [";".join(str(value).replace(".", ",") for value in row) for row in wines.to_numpy()]
    page = upload("\n".join([";".join(names), *rows]).encode())
    assert "does not say: **Colour**" in page.info[0].value
    page.selectbox(key="said color").select("all are white").run()
    assert not page.exception
    assert "**5 of 5 wines scored.**" in text(page)
    assert set(page.dataframe[-1].value["Colour"]) == {"white"}


@pytest.mark.usefixtures("connected")
def test_file_that_is_no_table_is_told_in_a_sentence() -> None:
    """The API's own."""
    page = upload(b"hello\n")
    assert "The file is no table of wines" in page.error[0].value
