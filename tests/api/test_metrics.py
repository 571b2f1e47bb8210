"""What Prometheus is told."""

import httpx

from tests import tiny

WINES = tiny.as_wines(tiny.made_up_wines(1, seed=3))


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
