"""What the API refuses: always 4xx with a sentence, never a 500, never a coerced value."""

import asyncio
import json
import socket
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.types import Message

from tests import tiny
from tests.api import mutants
from tests.servers import Server
from wine_serving.api.body import BATCH_BYTES, WINE_BYTES, Bodies
from wine_serving.errors import RequestRefused
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
    "deeply nested": (b"[" * 60_000, 400, "no valid JSON"),
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


OTHER: dict[str, tuple[dict[str, str], str]] = {
    "no kind": ({}, "application/json"),
    "text": ({"content-type": "text/plain"}, "application/json"),
    "a form": ({"content-type": "multipart/form-data"}, "application/json"),
    "another charset": ({"content-type": "application/json; charset=latin-1"}, "in UTF-8"),
    "compressed": (JSON | {"content-encoding": "gzip"}, "compressed body is not taken"),
}


@pytest.mark.parametrize(("headers", "reason"), OTHER.values(), ids=OTHER)
def test_other_content_is_refused(client: httpx.Client, headers: dict[str, str], reason: str) -> None:
    """415, with the true reason and what to send."""
    answer = client.post("/predict", content=text(), headers=headers)
    assert answer.status_code == 415
    assert reason in answer.json()["detail"]


@pytest.mark.parametrize("charset", ["utf8", "UTF-8", '"utf-8"'])
def test_utf8_is_taken_by_all_its_names_and_with_a_mark(client: httpx.Client, charset: str) -> None:
    """Some programs begin a text with a byte order mark."""
    headers = {"content-type": f"application/json; charset={charset}"}
    for path, content in (("/predict", text()), ("/predict/batch", b'{"wines": [' + text() + b"]}")):
        assert client.post(path, content=b"\xef\xbb\xbf" + content, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("path", "limit"), [("/predict", WINE_BYTES), ("/explain", WINE_BYTES), ("/predict/batch", BATCH_BYTES)]
)
def test_body_over_the_limit_is_refused_before_it_is_read(client: httpx.Client, path: str, limit: int) -> None:
    """413, as soon as its head says how long it is, or as soon as it has become too long."""
    answer = client.post(path, content=b" " * (limit + 1), headers=JSON)
    assert answer.status_code == 413
    assert f"longer than {limit:,} bytes" in answer.json()["detail"]
    pieces = (b" " * 50_000 for _ in range(limit // 50_000 + 1))
    assert client.post(path, content=pieces, headers=JSON).status_code == 413


def test_announced_length_is_judged_alone(server: Server) -> None:
    """The refusal comes although no byte of the body does."""
    head = "POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    head += f"content-length: {WINE_BYTES + 1}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", int(server.address.rpartition(":")[2])), 20) as connection:
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


def test_body_without_progress_is_given_up() -> None:
    """One task ends what stands still, with 408; what goes on is left alone, however slowly."""

    async def slow(bodies: Bodies, *pauses: float) -> bytes | int:
        pieces = iter(pauses)

        async def receive() -> Message:
            await asyncio.sleep(next(pieces))
            return {"type": "http.request", "body": b"x", "more_body": True}

        try:
            return await bodies.gather({}, receive, len(pauses) - 1)
        except RequestRefused as refused:
            return refused.status

    async def both() -> list[bytes | int]:
        bodies = Bodies(patience=0.3)
        sweeping = asyncio.create_task(bodies.keep_sweeping())
        try:
            return [*await asyncio.gather(slow(bodies, 0.01, 60), slow(bodies, *[0.05] * 12))]
        finally:
            sweeping.cancel()

    assert asyncio.run(both()) == [408, 413]


def batch(*rows: bytes) -> bytes:
    return b'{"wines": [' + b",".join(rows) + b"]}"


def keys(count: int) -> bytes:
    return b"{" + b",".join(b'"%x": 1' % number for number in range(count)) + b"}"


HEAVY: dict[str, bytes] = {
    "unknown keys": keys(240_000),
    "unknown keys in a row": batch(keys(240_000)),
    "empty rows": batch(*[b"{}"] * 9_999),
    "many more empty rows": batch(*[b"{}"] * 2_000_000),
    "many numbers": batch(*[b"1"] * 3_900_000),
    "a long key": batch(b'{"' + b"k" * 8_000_000 + b'": 1}'),
    "a long text": batch(text(color='"' + "r" * 8_000_000 + '"')),
    "a long list": batch(text(ph="[" + "1," * 390_000 + "1]")),
    "rows that lack one field": batch(*[text().replace(b'"ph"', b'"pH"')] * 9_999),
    "cut off": batch(*[b"{}"] * 700_000)[:-2],
}


@pytest.mark.parametrize("body", HEAVY.values(), ids=HEAVY)
def test_refusal_costs_little_and_is_small(client: httpx.Client, server: Server, body: bytes) -> None:
    """Whatever stands in it: an answer of some kilobytes, and no more than 100 MB beside it."""
    assert len(body) <= BATCH_BYTES
    assert server.process
    before = peak(server.process.pid)
    answer = client.post("/predict/batch", content=body, headers=JSON)
    assert answer.status_code in (400, 422)
    assert len(answer.content) < 40_000
    assert len(answer.json()["errors"]) <= 100
    assert peak(server.process.pid) - before < 100_000_000


def peak(pid: int) -> int:
    """The most bytes that a process has held, as far as the system tells; then it is counted anew."""
    status, clear = Path(f"/proc/{pid}/status"), Path(f"/proc/{pid}/clear_refs")
    if not status.exists():
        return 0
    most = int(status.read_text().partition("VmHWM:")[2].split()[0]) * 1024
    clear.write_text("5")
    return most


@pytest.mark.parametrize("seed", [1, 2])
def test_what_is_taken_is_what_the_contract_takes(seed: int) -> None:
    """A body is taken by the quick way exactly when pydantic, asked alone, takes it."""
    assert mutants.disagreements(seed, 1500) == []


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
    """A thousand bad rows: a hundred are looked for and told, and it is said that there may be more."""
    refused = client.post("/predict/batch", json={"wines": [WINE | {"ph": 9.0}] * 1000}).json()
    assert (len(refused["errors"]), refused["n_errors"]) == (100, 100)
    assert "and at least 99 more" in refused["detail"]


def test_reference_comes_back(client: httpx.Client) -> None:
    """The caller's own name for a wine, whatever stands in it, for one wine and in a batch."""
    for name in ("bottle 12", "12:30, {Süd}", "x" * 64):
        assert client.post("/predict", json=WINE | {"reference": name}).json()["reference"] == name
    rows = client.post("/predict/batch", json={"wines": [WINE, WINE | {"reference": "a:b"}]}).json()["predictions"]
    assert [row.get("reference") for row in rows] == [None, "a:b"]
    refused = client.post("/predict", json=WINE | {"reference": "x" * 65}).json()
    assert refused["detail"] == "reference must be at most 64 characters long"


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
