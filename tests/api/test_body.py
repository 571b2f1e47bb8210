"""What the API refuses: always 4xx with a sentence, never a 500, never a coerced value."""

import json

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import tiny
from wine_serving.api.body import BODY_LIMIT
from wine_serving.schema import BATCH_LIMIT, FEATURES, INPUTS

WINE = tiny.as_wines(tiny.made_up_wines(1))[0]
JSON = {"content-type": "application/json"}


def text(**changes: str) -> bytes:
    """The wine as JSON, with some fields as they are written here."""
    fields = {name: json.dumps(value) for name, value in WINE.items()} | changes
    return ("{" + ", ".join(f'"{name}": {value}' for name, value in fields.items()) + "}").encode()


CASES: dict[str, tuple[bytes, int, str]] = {
    "unknown field": (text(price="5"), 422, "price is not a known field"),
    "missing field": (json.dumps({k: v for k, v in WINE.items() if k != "ph"}).encode(), 422, "ph is missing"),
    "text": (text(alcohol='"strong"'), 422, "alcohol must be a number"),
    "number as text": (text(alcohol='"10"'), 422, "alcohol must be a number"),
    "truth value": (text(alcohol="true"), 422, "alcohol must be a number"),
    "nothing": (text(alcohol="null"), 422, "alcohol must be a number"),
    "list": (text(alcohol="[10]"), 422, "alcohol must be a number"),
    "NaN": (text(alcohol="NaN"), 422, "alcohol must be a finite number"),
    "infinity": (text(alcohol="Infinity"), 422, "alcohol must be a finite number"),
    "1e999": (text(alcohol="1e999"), 422, "alcohol must be a finite number"),
    "huge integer": (text(alcohol="1" + "0" * 400), 422, "alcohol must be"),
    "negative": (text(fixed_acidity="-1"), 422, "fixed_acidity must be at least 0"),
    "kg/m³": (text(density="996.1"), 422, "density must be at most 1.2 g/mL"),
    "free above total": (text(free_sulfur_dioxide="200"), 422, "is above total_sulfur_dioxide"),
    "wrong colour": (text(color='"rosé"'), 422, "color must be 'red' or 'white'"),
    "colour in capitals": (text(color='"RED"'), 422, "color must be 'red' or 'white'"),
    "given twice": (text()[:-1] + b', "ph": 3.1}', 422, "ph is given more than once"),
    "a list": (b"[]", 422, "a JSON object is needed"),
    "a text": (b'"wine"', 422, "a JSON object is needed"),
    "truncated": (text()[:-20], 400, "no valid JSON"),
    "empty": (b"", 400, "no valid JSON"),
    "not UTF-8": (text()[:-1] + b', "\xff": 1}', 400, "no valid JSON in UTF-8"),
    "deeply nested": (b"[" * 100_000, 400, "no valid JSON"),
}


@pytest.mark.parametrize(("body", "status", "sentence"), CASES.values(), ids=CASES)
@pytest.mark.parametrize("path", ["/predict", "/explain"])
def test_bad_wine_is_refused_in_a_sentence(
    client: httpx.Client, path: str, body: bytes, status: int, sentence: str
) -> None:
    """With the field where there is one."""
    answer = client.post(path, content=body, headers=JSON)
    assert answer.status_code == status
    assert sentence in answer.json()["detail"]
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    if status == 422 and sentence.split(maxsplit=1)[0] in INPUTS:
        assert answer.json()["errors"][0]["field"] == sentence.split(maxsplit=1)[0]


@pytest.mark.parametrize("kind", [None, "text/plain", "application/json; charset=latin-1", "multipart/form-data"])
def test_other_content_is_refused(client: httpx.Client, kind: str | None) -> None:
    """415, naming what to send."""
    headers = {"content-type": kind} if kind else {}
    answer = client.post("/predict", content=text(), headers=headers)
    assert answer.status_code == 415
    assert "application/json" in answer.json()["detail"]


def test_body_over_the_limit_is_refused(client: httpx.Client) -> None:
    """413, before it is parsed."""
    answer = client.post("/predict/batch", content=b" " * (BODY_LIMIT + 1), headers=JSON)
    assert answer.status_code == 413
    assert "several batches" in answer.json()["detail"]


@pytest.mark.parametrize("count", [0, BATCH_LIMIT + 1])
def test_empty_or_oversized_batch_is_refused(client: httpx.Client, count: int) -> None:
    """Naming the limit."""
    answer = client.post("/predict/batch", json={"wines": [WINE] * count})
    assert answer.status_code == 422
    assert f"wines must hold 1 to {BATCH_LIMIT} wines" in answer.json()["detail"]


def test_refused_batch_lists_every_bad_row(client: httpx.Client) -> None:
    """Row, field and sentence; nothing of it is scored."""
    wines = [WINE, WINE | {"ph": 9.0}, WINE, {k: v for k, v in WINE.items() if k != "alcohol"}]
    answer = client.post("/predict/batch", json={"wines": wines})
    assert answer.status_code == 422
    assert [(each["row"], each["field"]) for each in answer.json()["errors"]] == [(1, "ph"), (3, "alcohol")]
    assert answer.json()["n_errors"] == 2


def test_list_of_bad_rows_is_bounded_and_counted(client: httpx.Client) -> None:
    """A thousand bad rows: the first hundred are listed, all are counted."""
    refused = client.post("/predict/batch", json={"wines": [WINE | {"ph": 9.0}] * 1000}).json()
    assert (len(refused["errors"]), refused["n_errors"]) == (100, 1000)


def test_key_given_twice_in_a_batch_names_its_row(client: httpx.Client) -> None:
    """Any JSON parser would keep one of the two without a word."""
    twice = text()[:-1] + b', "ph": 3.1}'
    answer = client.post("/predict/batch", content=b'{"wines": [' + text() + b"," + twice + b"]}", headers=JSON)
    assert answer.json()["errors"] == [{"row": 1, "field": "ph", "message": "ph is given more than once"}]


# Whatever is sent

junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
values = st.fixed_dictionaries(
    {feature.name: st.floats(feature.minimum - 1, feature.maximum + 1) | junk for feature in FEATURES}
    | {"color": st.sampled_from(["red", "white", "RED", ""]) | junk}
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wine=values)
def test_whatever_is_sent_is_answered_or_refused(client: httpx.Client, wine: dict[str, object]) -> None:
    """Never a 5xx; what is accepted is a wine within all bounds."""
    answer = client.post("/predict", content=json.dumps(wine).encode(), headers=JSON)
    assert answer.status_code in (200, 422)
    if answer.status_code == 200:
        assert wine["color"] in ("red", "white")
        for feature in FEATURES:
            value = wine[feature.name]
            assert isinstance(value, int | float)
            assert not isinstance(value, bool)
            assert feature.minimum <= value <= feature.maximum
        assert wine["free_sulfur_dioxide"] <= wine["total_sulfur_dioxide"]  # type: ignore[operator]


possible = st.fixed_dictionaries(
    {feature.name: st.floats(feature.minimum, feature.maximum) for feature in FEATURES}
    | {"color": st.sampled_from(["red", "white"])}
).filter(lambda wine: wine["free_sulfur_dioxide"] <= wine["total_sulfur_dioxide"])


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wine=possible)
def test_every_possible_wine_is_answered(client: httpx.Client, wine: dict[str, object]) -> None:
    """With a score on the scale, inside its own interval."""
    answer = client.post("/predict", json=wine).raise_for_status().json()
    assert 0 <= answer["quality"] <= 10
    assert answer["interval"]["low"] <= answer["quality"] <= answer["interval"]["high"]
