"""The API over real HTTP: what it answers, by whom, and what can be traced."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests import servers, tiny
from tests.servers import Server
from wine_serving.bundle import Bundle
from wine_serving.registry.folder import FolderRegistry
from wine_serving.schema import INPUTS, Wine

WINES = tiny.as_wines(tiny.made_up_wines(60, seed=3))
TRACE = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}


@pytest.fixture(scope="module")
def server(served_registry: FolderRegistry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running API with the small bundle in production."""
    log = tmp_path_factory.mktemp("app") / "log"
    variables = {"WINE_REGISTRY": f"folder:{served_registry.root}", "GOOGLE_CLOUD_PROJECT": "cellar"}
    with servers.api(log, **variables) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    """A connection to it."""
    with httpx.Client(base_url=server.address) as connected:
        yield connected


def logged(server: Server, request_id: str) -> list[dict[str, Any]]:
    """The lines of the prediction log that one request wrote."""
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line["request_id"] == request_id]


def test_batch_singles_and_bundle_say_the_same(client: httpx.Client, tiny_bundle: Path) -> None:
    """To the last bit, in order."""
    batch = client.post("/predict/batch", json={"wines": WINES}).raise_for_status().json()["predictions"]
    singles = [client.post("/predict", json=wine).raise_for_status().json() for wine in WINES]
    by_hand = Bundle.load(tiny_bundle).assess([Wine.model_validate(wine) for wine in WINES])
    assert [{name: single[name] for name in each} for single, each in zip(singles, batch, strict=True)] == batch
    assert json.loads(json.dumps(by_hand)) == batch


def test_interval_is_the_calibrated_one_of_the_colour(client: httpx.Client, tiny_bundle: Path) -> None:
    """Score plus and minus the half width, at the calibrated level."""
    calibration = Bundle.load(tiny_bundle).metadata.calibration
    for wine in WINES[:8]:
        answer = client.post("/predict", json=wine).json()
        width = calibration.half_width[str(wine["color"])]
        assert answer["interval"] == {
            "low": answer["quality"] - width, "high": answer["quality"] + width, "level": calibration.level,
        }  # fmt: skip


def test_share_of_the_grade_is_counted_among_calibration_residuals(client: httpx.Client, tiny_bundle: Path) -> None:
    """How many of them would put the wine at the nearest whole grade."""
    residuals = Bundle.load(tiny_bundle).metadata.calibration.residuals
    for wine in WINES[:8]:
        answer = client.post("/predict", json=wine).json()
        outcomes = answer["quality"] + np.array(residuals[str(wine["color"])])
        grade = round(answer["quality"])
        expected = np.mean((outcomes >= grade - 0.5) & (outcomes < grade + 0.5))
        assert answer["grade"] == {"value": grade, "share": pytest.approx(expected)}


def test_unusual_measurement_is_named_with_the_range_seen(client: httpx.Client, tiny_bundle: Path) -> None:
    """Which one, its value, and from where to where training wines of that colour went."""
    low, high = Bundle.load(tiny_bundle).reference.ranges["white"]["alcohol"]
    wine = next(wine for wine in WINES if wine["color"] == "white") | {"alcohol": 20.0}
    (warning,) = client.post("/predict", json=wine).json()["warnings"]
    assert (warning["field"], warning["value"], warning["low"], warning["high"]) == ("alcohol", 20.0, low, high)
    assert f"{low:g} to {high:g} % vol" in warning["message"]


def test_unusual_combination_is_warned_of(client: httpx.Client, tiny_bundle: Path) -> None:
    """Each measurement within its range, but hardly any training wine near by."""
    ranges = Bundle.load(tiny_bundle).reference.ranges["white"]
    corner = {name: ends[number % 2] for number, (name, ends) in enumerate(ranges.items())} | {"color": "white"}
    (warning,) = client.post("/predict", json=corner).json()["warnings"]
    assert warning["field"] is None
    assert warning["value"] > warning["high"]


def test_batch_of_the_largest_size_is_answered(client: httpx.Client) -> None:
    """10,000 wines in one call, in order."""
    wines = [WINES[number % len(WINES)] for number in range(10_000)]
    answers = client.post("/predict/batch", json={"wines": wines}, timeout=60).raise_for_status().json()["predictions"]
    assert len(answers) == 10_000
    assert answers[: len(WINES)] == answers[len(WINES) : 2 * len(WINES)]


# Traceable


def test_every_answer_names_model_and_request(client: httpx.Client) -> None:
    """In the body and in the headers, each request with an id of its own."""
    answers = [client.post("/predict", json=WINES[0]) for _ in range(2)]
    for answer in answers:
        assert answer.json()["model_version"] == answer.headers["x-model-version"] == "v0"
        assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert len({answer.json()["request_id"] for answer in answers}) == 2


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


def test_prometheus_reads_requests_latency_predictions_and_warnings(client: httpx.Client) -> None:
    """Counted by route and status, by version, and by measurement."""

    def counters() -> dict[str, float]:
        lines = [line for line in client.get("/metrics").text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    before = counters()
    client.post("/predict", json=WINES[0] | {"alcohol": 24.0})
    client.post("/predict", json={})
    client.get("/no/such/place")
    after = counters()
    for name in (
        'wine_requests_total{route="/predict",status="200"}',
        'wine_requests_total{route="/predict",status="422"}',
        'wine_requests_total{route="unknown",status="404"}',
        'wine_predictions_total{model_version="v0"}',
        'wine_warnings_total{field="alcohol"}',
        'wine_request_seconds_bucket{le="+Inf",route="unknown"}',
    ):
        assert after[name] - before.get(name, 0) == 1, name


# What the API tells about itself


def test_model_is_told_with_lineage(client: httpx.Client) -> None:
    """Version, aliases, dataset digest, who promoted it, metadata and card."""
    model = client.get("/model").raise_for_status().json()
    assert model["model_version"] == "v0"
    assert model["aliases"] == ["candidate", "latest", "production"]
    assert model["promotion"]["version"] == "v0"
    assert model["dataset"]["digest"] == "0" * 64
    assert model["card"].startswith("# A small forest")
    assert model["dataset_card"].startswith("# Made-up wines")
    assert model["record"]["digest"]


def test_schema_holds_all_that_a_form_needs(client: httpx.Client) -> None:
    """Labels, units, bounds, typical values, ranges, presets that are possible wines, and the distribution."""
    schema = client.get("/schema").raise_for_status().json()
    assert [field["name"] for field in schema["fields"]] == [name for name in INPUTS if name != "color"]
    for field in schema["fields"]:
        for color in schema["colors"]:
            low, high = field["ranges"][color]
            assert field["minimum"] <= low <= field["usual"][color][0] <= field["typical"][color]
            assert field["typical"][color] <= field["usual"][color][1] <= high <= field["maximum"]
    for preset in schema["presets"]:
        assert client.post("/predict", json=preset["wine"]).status_code == 200
    assert sum(schema["distribution"]["red"].values()) > 0


def test_documentation_has_real_examples_and_every_refusal(client: httpx.Client) -> None:
    """The OpenAPI document: an example for each body that the API takes, and errors as one kind of answer."""
    document = client.get("/openapi.json").raise_for_status().json()
    assert client.get("/docs").status_code == 200
    for path in ("/predict", "/predict/batch", "/explain"):
        operation = document["paths"][path]["post"]
        (example, *_) = operation["requestBody"]["content"]["application/json"]["examples"].values()
        assert client.post(path, json=example["value"]).status_code == 200
        for status in ("400", "401", "413", "415", "422", "503"):
            schema = operation["responses"][status]["content"]["application/json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/Refusal"}


# The key


def test_key_is_wanted_everywhere_but_for_probes(served_registry: FolderRegistry, tmp_path: Path) -> None:
    """A missing or wrong key is 401 with what to send."""
    variables = {"WINE_REGISTRY": f"folder:{served_registry.root}", "WINE_API_KEY": "grape"}
    with (
        servers.api(tmp_path / "log", **variables) as locked,
        httpx.Client(base_url=locked.address) as client,
    ):
        assert client.get("/health").status_code == client.get("/live").status_code == 200
        for path in ("/schema", "/model", "/metrics", "/openapi.json", "/docs"):
            assert client.get(path).status_code == 401
        for key in ({}, {"X-API-Key": "grap"}, {"X-API-Key": "grapé".encode()}):
            refused = client.post("/predict", json=WINES[0], headers=key)
            assert refused.status_code == 401
            assert "X-API-Key" in refused.json()["detail"]
        assert client.post("/predict", json=WINES[0], headers={"X-API-Key": "grape"}).status_code == 200
