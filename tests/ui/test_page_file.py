"""Score a file, without a browser: every row scored or explained, against a real API."""

import httpx
import pytest

from tests import tiny
from tests.ui.visitor import text, upload


@pytest.mark.usefixtures("connected")
def test_good_rows_of_a_file_are_scored_and_bad_ones_explained(api: str) -> None:
    """Every input column is kept, the scores are the API's, and each bad row says why, by row."""
    wines = tiny.made_up_wines(30).drop(columns=["quality", "group", "n_rows", "source"])
    table = wines.assign(name=[f"no. {n}" for n in range(30)]).astype(object)
    table.loc[3, "ph"], table.loc[7, "density"], table.loc[9, "alcohol"] = "sour", 996.0, ""
    page = upload(table.to_csv(index=False).encode())
    assert not page.exception
    assert "**27 of 30 wines scored.** 3 could not be." in text(page)
    problems, scored = page.dataframe[0].value, page.dataframe[1].value
    assert list(problems["row"]) == [4, 8, 10]
    for word, why in zip(("ph", "density", "alcohol"), problems["what is wrong"], strict=True):
        assert word in why
    assert list(scored["name"]) == list(table["name"])
    good = scored["score"].notna()
    answer = httpx.post(f"{api}/predict/batch", json={"wines": wines[good.to_numpy()].to_dict("records")}).json()
    assert list(scored["score"][good]) == [round(each["quality"], 2) for each in answer["predictions"]]


@pytest.mark.usefixtures("connected")
def test_file_as_uci_writes_it_is_read() -> None:
    """Semicolons, quoted names with spaces, decimal commas, and no colour: one is chosen."""
    wines = tiny.made_up_wines(5).drop(columns=["color", "group", "n_rows", "source"])
    names = [f'"{name.replace("_", " ")}"' for name in map(str, wines)]
    rows = [";".join(str(value).replace(".", ",") for value in row) for row in wines.to_numpy()]
    page = upload("\n".join([";".join(names), *rows]).encode())
    assert "**5 of 5 wines scored.**" in text(page)
    assert "fixed acidity" in page.dataframe[0].value.columns


@pytest.mark.usefixtures("connected")
def test_result_keeps_a_column_of_the_same_name() -> None:
    """A file that has a `score` of its own keeps it."""
    wines = tiny.made_up_wines(3).drop(columns=["group", "n_rows", "source"]).assign(score=[1, 2, 3])
    scored = upload(wines.to_csv(index=False).encode()).dataframe[0].value
    assert list(scored["score"]) == ["1", "2", "3"]
    assert scored["score_predicted"].notna().all()
