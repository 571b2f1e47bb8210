"""What stands around every route."""

from pathlib import Path

import httpx

from tests import servers, tiny
from wine_serving.registry.folder import FolderRegistry

WINES = tiny.as_wines(tiny.made_up_wines(1, seed=3))


def test_every_answer_names_model_and_request(client: httpx.Client) -> None:
    """In the body and in the headers, each request with an id of its own."""
    answers = [client.post("/predict", json=WINES[0]) for _ in range(2)]
    for answer in answers:
        assert answer.json()["model_version"] == answer.headers["x-model-version"] == "v0"
        assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert len({answer.json()["request_id"] for answer in answers}) == 2


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
        for key in ({}, {b"X-API-Key": b"grap"}, {b"X-API-Key": "grapé".encode()}):
            refused = client.post("/predict", json=WINES[0], headers=key)
            assert refused.status_code == 401
            assert "X-API-Key" in refused.json()["detail"]
        assert client.post("/predict", json=WINES[0], headers={"X-API-Key": "grape"}).status_code == 200
