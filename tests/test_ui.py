"""The page without a browser: what a visitor reads after what they did, against a real API."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from tests import servers, tiny
from tests.conftest import ROOT
from wine_serving.registry import MODEL
from wine_serving.registry.folder import FolderRegistry
from wine_ui import file, units
from wine_ui.assess import what_if
from wine_ui.client import Client, Unreachable
from wine_ui.facts import derived
from wine_ui.settings import Settings, SettingsError

TIMEOUT = 30  # seconds for one run of the page


@pytest.fixture(scope="module")
def api(served_registry: FolderRegistry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running API with the small bundle in production."""
    log = tmp_path_factory.mktemp("api") / "log"
    with servers.api(log, WINE_REGISTRY=f"folder:{served_registry.root}", WINE_PREDICTION_LOG="false") as server:
        yield server.address


@pytest.fixture(autouse=True)
def forgetful() -> Iterator[None]:
    """Nothing is remembered from the test before."""
    st.cache_data.clear()
    yield
    st.cache_resource.clear()


@pytest.fixture
def page(api: str, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """The page as a first visitor sees it."""
    monkeypatch.setenv("WINE_API_URL", api)
    return opened()


def opened() -> AppTest:
    """The page, opened."""
    return AppTest.from_file(str(ROOT / "wine_ui" / "app.py"), default_timeout=TIMEOUT).run()


def press(page: AppTest, label: str) -> AppTest:
    """Press the button with that label."""
    return next(button for button in page.button if button.label == label).click().run()


def text(page: AppTest) -> str:
    """All that can be read."""
    parts = [*page.markdown, *page.caption, *page.info, *page.warning, *page.error, *page.title, *page.subheader]
    return "\n".join(str(part.value) for part in parts)


def on_form(page: AppTest) -> dict[str, Any]:
    """The wine that stands on the form, as the API takes it."""
    numbers = {each.key: units.read_number(each.value) for each in page.text_input if not each.key.startswith("lab_")}
    return numbers | {"color": page.session_state["color"]}


def score(page: AppTest) -> float:
    """The score that is shown."""
    return float(page.metric[0].value.split()[0])


def predicted(api: str, wine: dict[str, Any]) -> float:
    """What the API says of a wine, as shown."""
    answer = httpx.post(f"{api}/predict", json=wine).raise_for_status().json()
    return round(answer["quality"], 1)


def test_form_is_built_from_the_schema(page: AppTest, api: str) -> None:
    """Each measurement with its label and unit, in the schema's order; nothing is typed twice."""
    fields = httpx.get(f"{api}/schema").json()["fields"]
    asked = [each for each in page.text_input if not each.key.startswith("lab_")]
    assert [each.key for each in asked] == [field["name"] for field in fields]
    assert all(
        field["label"] in each.label and field["unit"] in each.label for field, each in zip(fields, asked, strict=True)
    )


def test_first_visit_shows_a_scored_preset(page: AppTest, api: str) -> None:
    """A page that answers before anything was typed, with the model's version."""
    assert score(page) == predicted(api, on_form(page))
    assert "Answered by model v0" in text(page)


def test_decimal_comma_is_read(page: AppTest, api: str) -> None:
    """12,5 is twelve and a half."""
    page.text_input(key="alcohol").set_value("12,5").run()
    assert "The form has changed since this answer" in text(page)
    press(page, "Score this wine")
    assert on_form(page)["alcohol"] == 12.5
    assert score(page) == predicted(api, on_form(page))
    assert "has changed since" not in text(page)


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
    assert "is above total_sulfur_dioxide" in text(page)


def test_unusual_measurement_is_warned_of(page: AppTest) -> None:
    """Beside the field, with what the model has seen."""
    page.text_input(key="alcohol").set_value("20")
    press(page, "Score this wine")
    assert any("Alcohol 20 lies outside" in str(warning.value) for warning in page.warning)


def test_unmeasured_field_is_assumed_and_said(page: AppTest, api: str) -> None:
    """The typical value is used, the answer names it and how much it matters, and claims no 90 % interval."""
    typical = next(f for f in httpx.get(f"{api}/schema").json()["fields"] if f["name"] == "chlorides")["typical"]
    page.text_input(key="chlorides").set_value("")
    press(page, "Score this wine")
    assert score(page) == predicted(api, on_form(page) | {"chlorides": typical[page.session_state["color"]]})
    assert "**Chlorides**: assumed" in text(page)
    assert "This is no 90% interval" in text(page)


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


def test_laboratory_units_are_converted_in_view(page: AppTest) -> None:
    """Volatile acidity in sulfuric acid, titratable acidity per 100 mL."""
    page.text_input(key="lab_volatile").set_value("0,5").run()
    page.selectbox[0].select_index(1).run()
    assert "0.5 × 1.22 = **0.61 g/L as acetic acid**" in text(page)
    page.text_input(key="lab_titratable").set_value("0.7").run()
    page.selectbox[1].select_index(2).run()
    assert "0.7 × 10 − 0.76 (from volatile acidity) = **6.24 g/L as tartaric acid**" in text(page)
    press(page, "Use as fixed acidity")
    assert page.text_input(key="fixed_acidity").value == "6.24"


def asked(api: str, route: str) -> float:
    """How often the API has answered on a route."""
    lines = httpx.get(f"{api}/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(f'wine_requests_total{{route="{route}"'))


def test_one_submit_is_one_request(page: AppTest, api: str) -> None:
    """Changing fields asks for no score; the button asks once, and for one explanation."""
    before = asked(api, "/predict"), asked(api, "/explain")
    page.text_input(key="alcohol").set_value("11").run()
    page.text_input(key="ph").set_value("3.1").run()
    assert (asked(api, "/predict"), asked(api, "/explain")) == before
    press(page, "Score this wine")
    assert (asked(api, "/predict"), asked(api, "/explain")) == (before[0] + 1, before[1] + 1)


def test_what_if_is_one_batch_with_gaps_where_no_wine_is_possible(api: str) -> None:
    """Free above total sulfur dioxide has no score; all else has the API's."""
    wine = tiny.as_wines(tiny.made_up_wines(1))[0] | {"total_sulfur_dioxide": 50.0}
    with closing(Client(Settings(api_url=api))) as client:
        points = what_if(client, wine, "free_sulfur_dioxide", 10, 90)
        before = asked(api, "/predict/batch")
        what_if(client, wine, "alcohol", 9, 12)
    assert asked(api, "/predict/batch") == before + 1
    assert all((score is None) == (value > 50) for value, score in points)


# Calm


def test_service_that_is_away_is_said_and_comes_back(
    served_registry: FolderRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sentence and what to do; the same page answers as soon as the service does."""
    port = servers.free_port()
    monkeypatch.setenv("WINE_API_URL", f"http://127.0.0.1:{port}")
    page = opened()
    assert f"There is no wine service at http://127.0.0.1:{port}" in text(page)
    with servers.api(tmp_path / "log", port, WINE_REGISTRY=f"folder:{served_registry.root}"):
        press(page, "Try again")
        assert page.metric[0].value.endswith("of 10")
    page.text_input(key="alcohol").set_value("13")
    press(page, "Score this wine")
    assert "There is no wine service" in text(page)
    assert page.text_input(key="alcohol").value == "13"


def test_nothing_promoted_is_said_with_the_command_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The API's own sentence."""
    with servers.api(tmp_path / "log", WINE_REGISTRY=f"folder:{tmp_path / 'empty'}") as server:
        monkeypatch.setenv("WINE_API_URL", server.address)
        assert "make pipeline" in text(opened())


def test_wrong_key_is_said(served_registry: FolderRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And with the right one the page works."""
    registry = f"folder:{served_registry.root}"
    with servers.api(tmp_path / "log", WINE_REGISTRY=registry, WINE_API_KEY="right") as server:
        monkeypatch.setenv("WINE_API_URL", server.address)
        monkeypatch.setenv("WINE_API_KEY", "wrong")
        assert "wants another key" in text(opened())
        st.cache_resource.clear()
        monkeypatch.setenv("WINE_API_KEY", "right")
        assert "Answered by model v0" in text(opened())


def test_service_that_never_answers_is_given_up() -> None:
    """After the time-out, with a sentence."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = Client(Settings(api_url=f"http://127.0.0.1:{silent.getsockname()[1]}"), patience=0.2)
        with closing(client), pytest.raises(Unreachable, match="is not answering in time"):
            client.schema()


def test_model_that_was_exchanged_meanwhile_is_said(
    promoted: FolderRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next answer says that another version gave it, and the form is that version's."""
    with servers.api(tmp_path / "log", WINE_REGISTRY=f"folder:{promoted.root}") as server:
        monkeypatch.setenv("WINE_API_URL", server.address)
        page = opened()
        tiny.write_bundle(tmp_path / "another", seed=1)
        promoted.publish(tmp_path / "another", MODEL, kind="model", aliases=["production"])
        server.stop()
        server.start()
        press(page, "Score this wine")
        assert "The model was exchanged meanwhile: this is the answer of v1" in text(page)
        press(page, "Score this wine")
        assert "exchanged meanwhile" not in text(page)


def test_address_that_is_none_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Naming the variable."""
    monkeypatch.setenv("WINE_API_URL", "localhost 8000")
    with pytest.raises(SettingsError, match="WINE_API_URL='localhost 8000' cannot be used"):
        Settings.from_environment()
    assert "WINE_API_URL" in text(opened())


def test_another_service_at_the_address_is_said(tmp_path: Path) -> None:
    """A page of somebody else is not taken for an answer."""
    with servers.Server(
        [sys.executable, "-m", "http.server", str(port := servers.free_port()), "--bind", "127.0.0.1"],
        "/README.md", tmp_path / "log", port,
    ) as other:  # fmt: skip
        client = Client(Settings(api_url=other.address))
        with closing(client), pytest.raises(Unreachable):
            client.schema()


# A file


@pytest.fixture
def schema(api: str) -> dict[str, Any]:
    """The form's content."""
    found: dict[str, Any] = httpx.get(f"{api}/schema").json()
    return found


@pytest.mark.parametrize(
    ("content", "sentence"),
    {
        "empty": (b" \n", "the file is empty"),
        "binary": (b"\x89PNG\r\n\x1a\n\x00\x00", "this is no text file"),
        "junk": (bytes(range(1, 256)) * 20, "this is no text file"),
        "no delimiter": (b"fixed_acidity/ph\n7/3\n", "not separated by semicolons"),
        "no header": (b"hello\n", "its first row holds no column names"),
        "columns missing": (b"alcohol,ph\n10,3\n", "the columns fixed_acidity, .* are missing"),
        "there twice": (
            b";".join(name.encode() for name in [*tiny.CENTERS, "ph"]) + b"\n",
            "the columns ph are there twice",
        ),
        "open quote": (
            b'";"'.join(name.encode() for name in tiny.CENTERS) + b'\n"1;2\n',
            "cannot be read as CSV|are missing",
        ),
        "too large": (b"alcohol;ph\n" * 1_000_000, "larger than 10 MB"),
    }.values(),
)
def test_file_that_is_no_table_of_wines_is_refused(content: bytes, sentence: str, schema: dict[str, Any]) -> None:
    """A clear sentence each."""
    with pytest.raises(file.NotATable, match=sentence):
        file.read(content, schema)


def test_template_can_be_scored(schema: dict[str, Any]) -> None:
    """What we offer is what we take."""
    assert len(file.read(file.template(schema).encode(), schema)[0]) == len(schema["presets"])


def test_cells_never_slip_into_another_column(schema: dict[str, Any]) -> None:
    """A separator at the end changes nothing; a row with too many cells is named and the others stand."""
    names, wine = ",".join(tiny.CENTERS), ",".join(str(mean) for mean, _ in tiny.CENTERS.values())
    table, problems = file.read(f"{names}\n{wine},\n{wine.replace('.', ',')}\n\n{wine}\n".encode(), schema)
    assert [float(cell) for cell in table.loc[1]] == [mean for mean, _ in tiny.CENTERS.values()]
    assert list(table.loc[1]) == list(table.loc[3])
    assert list(problems) == [2]
    assert "but 11 columns" in problems[2]


def test_unicode_as_spreadsheets_export_it_is_read(schema: dict[str, Any]) -> None:
    """With or without a mark at its beginning."""
    text = file.template(schema)
    tables = [file.read(text.encode(encoding), schema)[0] for encoding in ("utf-8", "utf-8-sig", "utf-16")]
    assert tables[0].equals(tables[1])
    assert tables[0].equals(tables[2])


def upload(content: bytes) -> AppTest:
    """The file page after an upload."""

    def show() -> None:
        from wine_ui import calm, file

        calm.guarded(file.show)()

    page = AppTest.from_function(show, default_timeout=TIMEOUT).run()
    page.file_uploader(key="file").upload("cellar.csv", content, "text/csv")
    return page.run()


@pytest.mark.usefixtures("page")
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


@pytest.mark.usefixtures("page")
def test_file_as_uci_writes_it_is_read() -> None:
    """Semicolons, quoted names with spaces, decimal commas, and no colour: one is chosen."""
    wines = tiny.made_up_wines(5).drop(columns=["color", "group", "n_rows", "source"])
    names = [f'"{name.replace("_", " ")}"' for name in wines]
    rows = [";".join(str(value).replace(".", ",") for value in row) for row in wines.to_numpy()]
    page = upload("\n".join([";".join(names), *rows]).encode())
    assert "**5 of 5 wines scored.**" in text(page)
    assert "fixed acidity" in page.dataframe[0].value.columns


@pytest.mark.usefixtures("page")
def test_result_keeps_a_column_of_the_same_name() -> None:
    """A file that has a `score` of its own keeps it."""
    wines = tiny.made_up_wines(3).drop(columns=["group", "n_rows", "source"]).assign(score=[1, 2, 3])
    scored = upload(wines.to_csv(index=False).encode()).dataframe[0].value
    assert list(scored["score"]) == ["1", "2", "3"]
    assert scored["score_predicted"].notna().all()


# About, facts, units


@pytest.mark.usefixtures("page")
def test_about_says_who_released_the_model() -> None:
    """Version, since when, by whom, from which data."""

    def show() -> None:
        from wine_ui import about, calm

        calm.guarded(about.show)()

    read = text(AppTest.from_function(show, default_timeout=TIMEOUT).run())
    assert "**Model v0**, a random forest. In production since" in read
    assert "CC BY 4.0" in read
    assert "has not been evaluated" in read


def test_derived_facts_follow_their_rules() -> None:
    """Molecular sulfur dioxide, sweetness, and notes above usual limits with their source."""
    wine = tiny.as_wines(tiny.made_up_wines(1))[0] | {
        "color": "red", "free_sulfur_dioxide": 40.0, "total_sulfur_dioxide": 180.0, "ph": 3.2,
        "residual_sugar": 3.0, "volatile_acidity": 1.5,
    }  # fmt: skip
    found = {fact.label: f"{fact.value} {fact.note}" for fact in derived(wine)}
    assert found["Molecular sulfur dioxide"].startswith("1.57 mg/L")
    assert found["Sweetness"].startswith("dry")
    assert "150 mg/L (2019/934" in found["Total sulfur dioxide"]
    assert "1.4 g/L (27 CFR 4.21)" in found["Volatile acidity"]


@pytest.mark.parametrize(
    ("typed", "number"),
    [("10.5", 10.5), ("10,5", 10.5), (" 7 ", 7.0), ("1 000", 1000.0), ("", None), (None, None), ("-1", -1.0)],
)
def test_numbers_are_read_as_laboratories_write_them(typed: str | None, number: float | None) -> None:
    """Decimal point or comma; nothing is nothing."""
    assert units.read_number(typed) == number


@pytest.mark.parametrize("typed", ["abc", "1,2,3", "1e999", "nan", "5 g/L", "1.000,5"])
def test_what_is_no_number_is_never_guessed(typed: str) -> None:
    """It is refused, with the text."""
    with pytest.raises(units.NotANumber):
        units.read_number(typed)


def test_page_knows_the_api_over_http_only() -> None:
    """No module of the page imports the service's code, or what only models need."""
    modules = ", ".join(
        f"wine_ui.{path.stem}" for path in (ROOT / "wine_ui").glob("*.py") if path.stem not in ("__init__", "app")
    )
    script = f"import sys, {modules}; print({{name.split('.')[0] for name in sys.modules}})"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert not [name for name in ("wine_serving", "sklearn", "onnxruntime", "wandb") if f"'{name}'" in loaded]


def test_bad_rows_among_many_are_all_found(api: str) -> None:
    """More bad rows than one answer lists: the good ones are scored all the same, in order."""
    wines = tiny.as_wines(tiny.made_up_wines(400))
    bad = {row: dict(wine) | {"ph": 9.0} for row, wine in enumerate(wines) if row % 2}
    with closing(Client(Settings(api_url=api))) as client:
        answers = client.predict_each([bad.get(row, wine) for row, wine in enumerate(wines)])
    assert [isinstance(answer, list) for answer in answers] == [row in bad for row in range(400)]
    assert pd.Series([answer["quality"] for answer in answers if not isinstance(answer, list)]).between(0, 10).all()
