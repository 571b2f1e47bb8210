"""The prediction log read back."""

import gzip
import json
import math
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests import tiny
from tests.servers import Server
from tests.serving.test_predictions import logged
from wine_serving.predictions import read
from wine_serving.schema import INPUTS, MEASUREMENTS

WINES = tiny.as_wines(tiny.made_up_wines(20, seed=3))
INTERVAL = {"low": 4.9, "high": 7.0, "level": 0.9}
OLD = {  # as version 2.0.0 wrote it
    "time": "2026-03-01T10:00:00.5Z", "severity": "INFO", "message": "prediction", "request_id": "a" * 32,
    "model_version": "v3", "latency": 0.001, "input": WINES[0],
    "output": {"quality": 5.9, "interval": INTERVAL, "grade": {"value": 6, "share": 0.5}, "warnings": []},
}  # fmt: skip


@pytest.fixture
def lines(client: httpx.Client, server: Server) -> list[dict[str, Any]]:
    """Lines that a running API has written."""
    said = {"X-Wine-Purpose": "what_if", "X-Wine-Assumed": "ph"}
    wines = [wine | {"reference": f"cask {row}"} for row, wine in enumerate(WINES)]
    answer = client.post("/predict/batch", json={"wines": wines}, headers=said).raise_for_status().json()
    return logged(server, answer["request_id"], len(WINES))


def written(lines: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def gcloud(lines: list[dict[str, Any]]) -> bytes:
    """The lines as `gcloud logging read --format=json` gives them back."""
    own = ("time", "severity", "logging.googleapis.com/trace", "logging.googleapis.com/spanId")
    entries = [
        {"insertId": "x", "timestamp": line["time"], "jsonPayload": {k: v for k, v in line.items() if k not in own}}
        for line in lines
    ]
    return json.dumps(entries, indent=2).encode() + b"\n"


@pytest.mark.parametrize("form", ["lines", "gzip", "gcloud", "gcloud, gzip"])
def test_what_was_logged_is_read_back(lines: list[dict[str, Any]], tmp_path: Path, form: str) -> None:
    """Every measurement, the answer, and who asked for what, in order; the older format beside it."""
    content = (gcloud if "gcloud" in form else written)([*lines, OLD])
    (tmp_path / "log").write_bytes(gzip.compress(content) if "gzip" in form else content)
    found = read([tmp_path / "log"])
    assert (found.broken, found.other) == (0, 0)
    columns = found.columns
    for name in INPUTS:
        assert [*columns[name]] == [line["input"][name] for line in [*lines, OLD]]
    assert columns["quality"].tolist() == [line["output"]["quality"] for line in [*lines, OLD]]
    assert columns["prediction_id"] == [*(line["output"]["prediction_id"] for line in lines), f"{'a' * 32}-0"]
    assert columns["format"].tolist() == [*([2] * len(lines)), 1]
    assert columns["width"][-1] == INTERVAL["high"] - INTERVAL["low"]
    assert columns["version"] == [line["model_version"] for line in [*lines, OLD]]
    assert columns["reference"] == [*(f"cask {row}" for row in range(20)), None]
    assert columns["purpose"] == ["what_if"] * 20 + ["user"]
    assert [*map(list, columns["assumed"])] == [["ph"]] * 20 + [[]]
    assert columns["time"][-1] == datetime.fromisoformat("2026-03-01T10:00:00.5+00:00").timestamp()
    assert not any(map(math.isnan, columns["time"]))


@pytest.mark.parametrize("form", [written, gcloud])
def test_refused_requests_are_read_back(
    client: httpx.Client, server: Server, tmp_path: Path, form: Callable[[list[dict[str, Any]]], bytes]
) -> None:
    """When, for which status and for which fields; they are no predictions, and nothing broken."""
    refused = client.post("/predict", json=WINES[0] | {"ph": 99.0}, headers={"X-Wine-Purpose": "check"})
    (line,) = logged(server, refused.json()["request_id"])
    (tmp_path / "log").write_bytes(form([OLD, line]))
    found = read([tmp_path / "log"])
    (told,) = found.refused
    assert told[:1] + told[2:] == (refused.json()["request_id"], 422, ["ph"], "check")
    assert told.time == datetime.fromisoformat(line["time"]).timestamp()
    assert (len(found.columns["quality"]), found.broken, found.other) == (1, 0, 0)


def test_broken_lines_are_counted_and_shown(tmp_path: Path) -> None:
    """Cut off, torn, or no possible wine: each costs itself only; what tells of other things is told apart."""
    good = json.dumps(OLD)
    impossible = json.dumps(OLD | {"input": WINES[0] | {"ph": 99.0}})
    text = [
        good,
        good[:200],
        good[:300] + good,
        impossible,
        '{"message": "started"}',
        "INFO: started",
        "",
        good,
        good[:-9],
    ]
    (tmp_path / "log").write_text("\n".join(text))
    found = read([tmp_path / "log"])
    assert len(found.columns["quality"]) == 2
    assert (found.broken, found.other) == (4, 2)
    assert [each.split(":")[0] for each in found.shown] == [f"log, line {number}" for number in (2, 3, 4, 9)]


def test_cut_array_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    """A download that broke off."""
    (tmp_path / "log").write_bytes(gcloud([OLD] * 5)[:-100])
    found = read([tmp_path / "log"])
    assert (len(found.columns["quality"]), found.broken) == (4, 1)


def test_no_line_is_no_column_of_another_kind(tmp_path: Path) -> None:
    """An empty log has the same columns, without elements."""
    (tmp_path / "log").touch()
    columns = read([tmp_path / "log"]).columns
    assert all(isinstance(columns[name], np.ndarray) and not len(columns[name]) for name in MEASUREMENTS)


def test_gzip_file_that_was_cut_off_costs_its_end_only(tmp_path: Path) -> None:
    """What was read before stands; the rest is one broken line."""
    whole = gzip.compress(written([OLD | {"request_id": os.urandom(16).hex()} for _ in range(2000)]))
    (tmp_path / "log").write_bytes(whole[: len(whole) // 2])
    found = read([tmp_path / "log"])
    assert len(found.columns["quality"]) > 0
    assert found.broken >= 1
    assert any("the rest of the gzip file" in each for each in found.shown)
