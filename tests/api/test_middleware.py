"""What stands around every route."""

import re
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


def test_own_request_id_is_taken_where_it_can_be_one(client: httpx.Client) -> None:
    """It comes back in body and headers, and in the id of each wine; another is made in place of what cannot be one."""
    answer = client.post("/predict", json=WINES[0], headers={"X-Request-Id": "order-12:a"})
    assert answer.json()["request_id"] == answer.headers["x-request-id"] == "order-12:a"
    assert answer.json()["prediction_id"] == "order-12:a-0"
    for bad in ("x" * 65, "a b", '"', "é"):
        made = client.post("/predict", json=WINES[0], headers={b"X-Request-Id": bad.encode()}).json()["request_id"]
        assert re.fullmatch("[0-9a-f]{32}", made)


def test_head_is_answered_where_get_is(client: httpx.Client) -> None:
    """As monitors ask: the same status and headers, and no body."""
    for path in ("/health", "/live", "/schema", "/model", "/metrics", "/docs", "/openapi.json"):
        answer = client.head(path)
        assert (answer.status_code, answer.content) == (200, b"")
    assert client.head("/predict").status_code == 405


def test_other_pages_may_ask_only_where_they_are_named(
    client: httpx.Client, served_registry: FolderRegistry, tmp_path: Path
) -> None:
    """Browsers are told so: by no header, or by the origin's name, also before a request with a key."""
    asks = {"Origin": "https://cellar.example"}
    before = asks | {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
    assert "access-control-allow-origin" not in client.get("/live", headers=asks).headers
    variables = {"WINE_CORS_ORIGINS": "https://a.example, https://cellar.example", "WINE_API_KEY": "grape"}
    with (
        servers.api(tmp_path / "log", WINE_REGISTRY=f"folder:{served_registry.root}", **variables) as server,
        server.client() as named,
    ):
        for answer in (named.options("/predict", headers=before), named.get("/live", headers=asks)):
            assert answer.status_code == 200
            assert answer.headers["access-control-allow-origin"] == "https://cellar.example"
        stranger = named.get("/live", headers={"Origin": "https://b.example"})
        assert "access-control-allow-origin" not in stranger.headers


def test_everything_works_behind_a_path(served_registry: FolderRegistry, tmp_path: Path) -> None:
    """With a key: probes stay open, wines are scored, and no answer leads elsewhere."""
    variables = {"WINE_REGISTRY": f"folder:{served_registry.root}", "WINE_API_KEY": "grape \n"}
    with (
        servers.api(tmp_path / "log", None, "--root-path", "/cellar", **variables) as server,
        server.client() as client,
    ):
        assert client.get("/health").status_code == client.get("/live").status_code == 200
        assert client.post("/predict", json=WINES[0]).status_code == 401
        assert client.post("/predict", json=WINES[0], headers={"X-API-Key": "grape"}).status_code == 200
        assert client.get("/health/", headers={"X-API-Key": "grape"}).status_code == 404
        assert client.get("/openapi.json").json()["servers"] == [{"url": "/cellar"}]
        counted = client.get("/metrics", headers={"X-API-Key": "grape"}).text
        assert 'wine_requests_total{route="/health",status="200"} 1.0' in counted


def test_key_is_wanted_everywhere_but_for_probes(served_registry: FolderRegistry, tmp_path: Path) -> None:
    """A missing or wrong key is 401 with what to send."""
    variables = {"WINE_REGISTRY": f"folder:{served_registry.root}", "WINE_API_KEY": "grape"}
    with (
        servers.api(tmp_path / "log", **variables) as locked,
        locked.client() as client,
    ):
        assert client.get("/health").status_code == client.get("/live").status_code == 200
        for path in ("/schema", "/model", "/metrics"):
            assert client.get(path).status_code == 401
        assert client.get("/docs").status_code == 200
        document = client.get("/openapi.json").json()
        assert document["components"]["securitySchemes"]["key"]["name"] == "X-API-Key"
        assert document["security"] == [{"key": []}]
        assert document["paths"]["/health"]["get"]["security"] == []
        for key in ({}, {b"X-API-Key": b"grap"}, {b"X-API-Key": "grapé".encode()}):
            refused = client.post("/predict", json=WINES[0], headers=key)
            assert refused.status_code == 401
            assert "X-API-Key" in refused.json()["detail"]
        assert client.post("/predict", json=WINES[0], headers={"X-API-Key": "grape"}).status_code == 200
