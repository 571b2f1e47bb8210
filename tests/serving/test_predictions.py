"""The prediction log."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from msgspec import UNSET

from tests import servers, tiny
from tests.servers import Server
from wine_serving.api.log import WAITING_LINES, Line, PredictionLog
from wine_serving.assessing import Assessment, Grade, Interval
from wine_serving.registry.folder import FolderRegistry
from wine_serving.schema import EXAMPLES, Quick

WINES = tiny.as_wines(tiny.made_up_wines(20, seed=3))
TRACE = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
PATIENCE = 20.0  # seconds for what is written soon


def until(found: Callable[[], Any]) -> Any:
    """What is found, as soon as something is."""
    deadline = time.monotonic() + PATIENCE
    while not (result := found()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return result


def logged(server: Server, request_id: str, count: int = 1) -> list[dict[str, Any]]:
    """The lines of the prediction log that one request wrote."""

    def lines() -> list[dict[str, Any]]:
        text = server.log.read_text()
        found = [json.loads(line) for line in text.splitlines(keepends=True) if line[:1] == "{" and line[-1:] == "\n"]
        mine = [line for line in found if line["request_id"] == request_id]
        return mine if len(mine) >= count else []

    found: list[dict[str, Any]] = until(lines)
    return found


def test_every_prediction_is_one_line_in_the_log(client: httpx.Client, server: Server) -> None:
    """In the names that Cloud Logging reads, with input, output, version, purpose, latency and trace."""
    answer = client.post("/predict", json=WINES[0] | {"reference": "cask 7"}, headers=TRACE).json()
    (line,) = logged(server, answer["request_id"])
    assert line["input"] == WINES[0]
    assert line["output"] == {name: answer[name] for name in line["output"]}
    assert line["output"]["prediction_id"] == answer["prediction_id"]
    assert line["output"]["reference"] == "cask 7"
    assert (line["severity"], line["message"], line["model_version"]) == ("INFO", "prediction", "v0")
    assert (line["format"], line["purpose"]) == (2, "user")
    assert "assumed" not in line
    assert line["logging.googleapis.com/trace"] == "projects/cellar/traces/4bf92f3577b34da6a3ce929d0e0e4736"
    assert line["logging.googleapis.com/spanId"] == "00f067aa0ba902b7"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", line["time"])
    assert 0 < line["latency"] < 60


def test_batch_writes_one_line_for_each_wine(client: httpx.Client, server: Server) -> None:
    """In the order of the batch, under one request id, each with an id of its own."""
    answer = client.post("/predict/batch", json={"wines": WINES}).json()
    lines = logged(server, answer["request_id"], len(WINES))
    assert [line["input"] for line in lines] == WINES
    assert [line["output"] for line in lines] == answer["predictions"]
    assert len({line["output"]["prediction_id"] for line in lines}) == len(WINES)


def test_caller_says_what_a_prediction_is_for(client: httpx.Client, server: Server) -> None:
    """And which measurements nobody took; what is not known is refused, not logged as something else."""
    said = {"X-Wine-Purpose": "what_if", "X-Wine-Assumed": "chlorides, ph"}
    answer = client.post("/predict", json=WINES[0], headers=said).json()
    (line,) = logged(server, answer["request_id"])
    assert (line["purpose"], line["assumed"]) == ("what_if", ["chlorides", "ph"])
    for wrong in ({"X-Wine-Purpose": "fun"}, {"X-Wine-Assumed": "price"}, {"X-Wine-Assumed": "ph" + ",ph" * 1000}):
        refused = client.post("/predict", json=WINES[0], headers=wrong)
        assert refused.status_code == 400
        assert next(iter(wrong)) in refused.json()["detail"]


@pytest.mark.parametrize("path", ["/predict", "/predict/batch"])
def test_refused_request_is_one_line_in_the_log(client: httpx.Client, server: Server, path: str) -> None:
    """With its status and the fields that were wrong, and no word of the caller's own."""
    wrong = WINES[0] | {"ph": 99.0, "alcohol": None, "secret": 1}
    refused = client.post(path, json=wrong if path == "/predict" else {"wines": [WINES[1], wrong]})
    (line,) = logged(server, refused.json()["request_id"])
    assert (line["message"], line["status"], line["purpose"]) == ("refused", 422, "user")
    assert line["fields"] == ["ph", "alcohol"]
    assert not {"input", "output"} & {*line}
    assert "secret" not in json.dumps(line)


def test_log_can_be_switched_off(served_registry: FolderRegistry, tmp_path: Path) -> None:
    """WINE_PREDICTION_LOG=false writes no prediction."""
    variables = {"WINE_REGISTRY": f"folder:{served_registry.root}", "WINE_PREDICTION_LOG": "false"}
    with servers.api(tmp_path / "log", **variables) as quiet:
        answer = quiet.post("/predict", json=WINES[0]).raise_for_status().json()
    assert answer["request_id"] not in quiet.log.read_text()


# A log that is read slowly, or not at all


@contextmanager
def piped(registry: FolderRegistry) -> Iterator[tuple[subprocess.Popen[bytes], httpx.Client, int]]:
    """The API with its log in a pipe, unbuffered as in the container: the process, a client and the pipe's end."""
    server = servers.api(Path(os.devnull))
    reading, writing = os.pipe()
    variables = {"WINE_REGISTRY": f"folder:{registry.root}", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(server.command, env=os.environ | variables, stdout=writing, stderr=writing)
    os.close(writing)
    try:
        with server.client(timeout=20) as client:
            until(lambda: answers(client))
            yield process, client, reading
    finally:
        process.kill()
        process.wait()
        os.close(reading)


def answers(client: httpx.Client) -> bool:
    """Whether the server has come up."""
    try:
        return client.get("/health").status_code == 200
    except httpx.TransportError:
        return False


def rest(reading: int) -> list[bytes]:
    """All that is left in the pipe, as lines of predictions."""
    parts = iter(lambda: os.read(reading, 1 << 20), b"")
    return [line for line in b"".join(parts).splitlines(keepends=True) if line.startswith(b"{")]


def test_reader_that_stalls_stalls_nothing(served_registry: FolderRegistry) -> None:
    """Predictions and health are answered, what is lost is counted, the end comes in time, and no line is torn."""
    with piped(served_registry) as (process, client, reading):
        many = {"wines": [WINES[0]] * 5000}
        for _ in range(WAITING_LINES // 5000 + 1):
            client.post("/predict/batch", json=many).raise_for_status()
        assert client.get("/health").json()["status"] == "ok"
        lost = re.search(r"^wine_log_lines_lost_total (\S+)", client.get("/metrics").text, re.MULTILINE)
        assert lost
        assert float(lost[1]) >= 5000
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        lines = rest(reading)
    assert lines
    assert all(json.loads(line)["message"] == "prediction" for line in lines)


def test_quick_reader_gets_every_line_of_large_batches(served_registry: FolderRegistry) -> None:
    """Ten batches of 10,000 wines: as fast as they are answered, their lines go through the pipe."""
    body = json.dumps({"wines": [WINES[0]] * 10_000}).encode()
    read = 0

    def keep_reading() -> None:
        nonlocal read
        with os.fdopen(reading, "rb", 1 << 20, closefd=False) as lines:
            for line in lines:
                read += line.startswith(b"{")

    with piped(served_registry) as (process, client, reading):
        reader = threading.Thread(target=keep_reading)
        reader.start()
        for _ in range(10):
            client.post("/predict/batch", content=body, headers={"Content-Type": "application/json"}).raise_for_status()
        assert "wine_log_lines_lost_total 0.0" in client.get("/metrics").text
        assert until(lambda: read == 100_000)
        process.terminate()
        reader.join()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a pipe holds what it holds")
def test_pipe_is_made_large_enough_for_a_reader_that_comes_late() -> None:
    """Nobody reads yet, but 400 KB are written, and all is there for whoever comes."""
    reading, writing = os.pipe()
    line = Line(datetime.now(UTC), "INFO", "prediction", 2, "v0", "id", "user", 0.1, UNSET, UNSET, UNSET)
    said = Assessment(5.0, Interval(4.0, 6.0, 0.9), Grade(5, 0.5), {}, 0.0, (), "x" * 500)
    with PredictionLog(None, writing) as log:
        log.add(lambda: line, [msgspec.convert(EXAMPLES["red"], Quick)] * 400, [said] * 400)
    os.close(writing)
    assert len(rest(reading)) == 400
    os.close(reading)


def test_what_waits_is_written_at_the_end(served_registry: FolderRegistry) -> None:
    """SIGTERM comes right after the answers: every line is there, whole."""
    with piped(served_registry) as (process, client, reading):
        answer = client.post("/predict/batch", json={"wines": WINES}).json()
        last = client.post("/predict", json=WINES[0]).json()
        process.send_signal(signal.SIGTERM)
        lines = [json.loads(line) for line in rest(reading)]
    ids = [line["output"]["prediction_id"] for line in lines]
    assert ids == [*(row["prediction_id"] for row in answer["predictions"]), last["prediction_id"]]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full disk to try")
def test_full_disk_costs_nobody_an_answer(served_registry: FolderRegistry, tmp_path: Path) -> None:
    """The line is lost and counted."""
    server = servers.api(tmp_path / "log", WINE_REGISTRY=f"folder:{served_registry.root}")
    server.output = Path("/dev/full")
    with server, server.client() as client:
        assert client.post("/predict", json=WINES[0]).status_code == 200
        assert until(lambda: "wine_log_lines_lost_total 1.0" in client.get("/metrics").text)
