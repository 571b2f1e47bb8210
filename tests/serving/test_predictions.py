"""The prediction log."""

import json
import re
from pathlib import Path
from typing import Any

import httpx

from tests import servers, tiny
from tests.servers import Server
from wine_serving.registry.folder import FolderRegistry

WINES = tiny.as_wines(tiny.made_up_wines(20, seed=3))


TRACE = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}


def logged(server: Server, request_id: str) -> list[dict[str, Any]]:
    """The lines of the prediction log that one request wrote."""
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line["request_id"] == request_id]


def test_every_prediction_is_one_line_in_the_log(client: httpx.Client, server: Server) -> None:
    """In the names that Cloud Logging reads, with input, output, version, latency and trace."""
    answer = client.post("/predict", json=WINES[0], headers=TRACE).json()
    client.get("/live")  # the line is written before the next request of this connection is answered
    (line,) = logged(server, answer["request_id"])
    assert line["input"] == WINES[0]
    assert line["output"] == {name: answer[name] for name in line["output"]}
    assert (line["severity"], line["message"], line["model_version"]) == ("INFO", "prediction", "v0")
    assert line["logging.googleapis.com/trace"] == "projects/cellar/traces/4bf92f3577b34da6a3ce929d0e0e4736"
    assert line["logging.googleapis.com/spanId"] == "00f067aa0ba902b7"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line["time"])
    assert 0 < line["latency"] < 60


def test_batch_writes_one_line_for_each_wine(client: httpx.Client, server: Server) -> None:
    """In the order of the batch, under one request id."""
    answer = client.post("/predict/batch", json={"wines": WINES}).json()
    assert [line["input"] for line in logged(server, answer["request_id"])] == WINES


def test_log_can_be_switched_off(served_registry: FolderRegistry, tmp_path: Path) -> None:
    """WINE_PREDICTION_LOG=false writes no prediction."""
    variables = {"WINE_REGISTRY": f"folder:{served_registry.root}", "WINE_PREDICTION_LOG": "false"}
    with servers.api(tmp_path / "log", **variables) as quiet:
        answer = httpx.post(f"{quiet.address}/predict", json=WINES[0]).raise_for_status().json()
    assert answer["request_id"] not in quiet.log.read_text()
