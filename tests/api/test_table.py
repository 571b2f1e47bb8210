"""`POST /predict/table`: a table as people have it."""

import io
import json

import httpx
import pandas as pd
import pytest

from tests import tiny
from tests.api.test_body import peak
from tests.servers import Server
from wine_serving.schema import INPUTS, SEGMENT
from wine_serving.tables import MAX_BYTES, MAX_ROWS

TABLE = tiny.made_up_wines(40)[[*INPUTS]]
CSV = {"Content-Type": "text/csv"}


@pytest.mark.parametrize("kind", ["text/csv; charset=iso-8859-1", "text/csv; header=present", "TEXT/CSV"])
def test_table_is_taken_whatever_else_its_kind_says(client: httpx.Client, kind: str) -> None:
    """How it is written is found out."""
    content = TABLE.assign(cellar="Côte").to_csv(index=False).encode("latin-1")
    answer = client.post("/predict/table", content=content, headers={"Content-Type": kind}).raise_for_status().json()
    assert answer["summary"]["scored"] == 40


def text(table: pd.DataFrame = TABLE) -> bytes:
    return table.to_csv(index=False).encode()


def test_table_is_answered_as_its_wines_are(client: httpx.Client) -> None:
    """Each row by its number, with the color it was scored as; and what cannot be scored, cell by cell."""
    spoilt = TABLE.astype(object)
    spoilt.loc[3, "ph"], spoilt.loc[3, "density"], spoilt.loc[9, "chlorides"] = "n.d.", 996.1, "<0.05"
    answer = client.post("/predict/table", content=text(spoilt), headers=CSV).raise_for_status().json()
    good = [row for row in range(40) if row not in (3, 9)]
    batch = client.post("/predict/batch", json={"wines": tiny.as_wines(TABLE.iloc[good])}).json()["predictions"]
    assert [row["row"] for row in answer["rows"]] == [row + 1 for row in good]
    for row, single, wine in zip(answer["rows"], batch, tiny.as_wines(TABLE.iloc[good]), strict=True):
        assert row == single | {"row": row["row"], "color": wine[SEGMENT], "prediction_id": row["prediction_id"]}
        assert row["prediction_id"] == f"{answer['request_id']}-{row['row']}"
    assert [(cell["row"], cell["column"], cell["rule"]) for cell in answer["refused"]] == [
        (4, "ph", "not_measured"), (4, "density", "less_than_equal"), (10, "chlorides", "below_limit"),
    ]  # fmt: skip
    assert answer["summary"] == {"rows": 40, "scored": 38, "refused": 2, "faults": 3}


def test_color_is_said_or_asked_for(client: httpx.Client) -> None:
    """A file without one is refused with the columns that may be meant, until the query says."""
    other = TABLE.rename(columns={SEGMENT: "kind"})
    refused = client.post("/predict/table", content=text(other), headers=CSV)
    assert refused.status_code == 422
    assert refused.json()["candidates"] == {SEGMENT: ["kind"]}
    said = client.post("/predict/table", params={f"column.{SEGMENT}": "kind"}, content=text(other), headers=CSV).json()
    assert [row["color"] for row in said["rows"]] == TABLE[SEGMENT].tolist()
    bare = text(TABLE.drop(columns=SEGMENT))
    for color in ("red", "white"):
        rows = client.post("/predict/table", params={"color": color}, content=bare, headers=CSV).json()["rows"]
        assert {row["color"] for row in rows} == {color}
    assert client.post("/predict/table", params={"color": "rosé"}, content=bare, headers=CSV).status_code == 422


def test_table_comes_back_with_answers_behind_its_columns(client: httpx.Client) -> None:
    """In its dialect and order, where the caller accepts CSV; rows that cannot be scored say why."""
    own = TABLE.astype(object).assign(cask=[f"no. {number}" for number in range(40)])
    own.loc[5, "ph"] = "sour"
    content = own.to_csv(index=False, sep=";", decimal=",").encode()
    answer = client.post("/predict/table", content=content, headers=CSV | {"Accept": "text/csv"}).raise_for_status()
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    back = pd.read_csv(io.BytesIO(answer.content), sep=";", decimal=",")
    assert [*back][: len(own.columns)] == [*own]
    assert back["cask"].tolist() == own["cask"].tolist()
    assert back["score"].isna().tolist() == [row == 5 for row in range(40)]
    assert "must be a number, not sour" in back["problem"][5]


def test_largest_table_is_answered_within_bounds(client: httpx.Client, server: Server) -> None:
    """20,000 rows that fill 10 MB, with no more than 300 MB."""
    assert server.process
    many = pd.concat([TABLE] * (MAX_ROWS // 40), ignore_index=True).assign(note="x" * 380)
    content = text(many)
    assert 0.9 * MAX_BYTES < len(content) <= MAX_BYTES
    peak(server.process.pid)
    answer = client.post("/predict/table", content=content, headers=CSV, timeout=120).raise_for_status().json()
    assert answer["summary"] == {"rows": MAX_ROWS, "scored": MAX_ROWS, "refused": 0, "faults": 0}
    assert peak(server.process.pid) < 300_000_000


@pytest.mark.parametrize("content", [b"", b"\x00\x01", b"a;b\n1;2\n", b"PK\x03\x04", b"\xff\xfe"])
def test_what_is_no_table_is_refused_in_a_sentence(client: httpx.Client, content: bytes) -> None:
    """Whatever it is."""
    answer = client.post("/predict/table", content=content, headers=CSV)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("the file ")


def test_documentation_page_needs_no_other_server(client: httpx.Client) -> None:
    """/docs asks this service alone, also where no other can be reached."""
    page = client.get("/docs").raise_for_status()
    assert "text/html" in page.headers["content-type"]
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert 'fetch("openapi.json")' in page.text


def test_documented_examples_run_as_they_stand(client: httpx.Client) -> None:
    """Every example of every route that takes wines, as the page sends it."""
    sent = 0
    for path, operations in client.get("/openapi.json").json()["paths"].items():
        content = operations.get("post", {}).get("requestBody", {}).get("content", {})
        for kind, examples in ((kind, each.get("examples", {})) for kind, each in content.items()):
            for example in examples.values():
                value = example["value"]
                body = value if isinstance(value, str) else json.dumps(value)
                assert client.post(path, content=body, headers={"Content-Type": kind}).status_code == 200
                sent += 1
    assert sent == 6
