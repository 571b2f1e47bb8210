"""The API as a whole: how it starts, ends, and what it is put together from."""

import asyncio
import importlib
import json
import signal
import socket
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import SecretStr

from tests import servers, tiny
from wine_serving import app as composition
from wine_serving.app import create_app
from wine_serving.registry import MODEL, PRODUCTION
from wine_serving.registry.folder import FolderRegistry
from wine_serving.settings import Settings

WINE = tiny.as_wines(tiny.made_up_wines(1))[0]


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/predict", 405), ("GET", "/nothing", 404)])
def test_other_routes_and_methods_are_refused_alike(client: httpx.Client, method: str, path: str, status: int) -> None:
    """The same kind of answer as everywhere."""
    answer = client.request(method, path)
    assert answer.status_code == status
    assert set(answer.json()) == {"detail", "errors", "n_errors", "request_id"}


def test_no_route_declares_what_never_runs() -> None:
    """A route's signature is what is done: FastAPI documents these, and is not asked to answer them."""
    routes = [route for route in create_app(Settings()).routes if isinstance(route, APIRoute)]
    assert [route.path for route in routes] == ["/predict", "/predict/batch", "/explain", "/predict/table"]
    assert [dependency for route in routes for dependency in route.dependant.dependencies] == []


def test_two_apps_in_one_process_keep_to_their_own_settings(
    promoted: FolderRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Registry, model, key and log are each app's own, whatever the environment names, even what cannot be used."""
    for name in ("WINE_REGISTRY", "WINE_MODEL", "WINE_API_KEY", "WINE_PREDICTION_LOG", "WANDB_HTTP_TIMEOUT", "PORT"):
        monkeypatch.setenv(name, "soon")
    monkeypatch.chdir(tmp_path)
    importlib.reload(composition)
    other = FolderRegistry(tmp_path / "other")
    tiny.write_bundle(tmp_path / "next", seed=1)
    for source in (promoted.root / MODEL / "v0", tmp_path / "next"):
        other.publish(source, MODEL, kind="model", aliases=[PRODUCTION])
    first = create_app(Settings(registry=f"folder:{promoted.root}", prediction_log=False))
    second = create_app(Settings(registry=f"folder:{other.root}", api_key=SecretStr("k")))
    one, two, refused = asyncio.run(predict_by([(first, ""), (second, "k"), (second, "soon")]))
    assert (one.json()["model_version"], two.json()["model_version"], refused.status_code) == ("v0", "v1", 401)
    logged = capfd.readouterr().out
    assert [answer.headers["X-Request-Id"] in logged for answer in (one, two)] == [False, True]


async def predict_by(apps: list[tuple[FastAPI, str]]) -> list[httpx.Response]:
    """What each of these apps answers to that key, while all of them run."""
    async with AsyncExitStack() as running:
        for app in {app for app, _ in apps}:
            await running.enter_async_context(app.router.lifespan_context(app))
        clients = [httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") for app, _ in apps]
        return [
            await client.post("/predict", json=WINE, headers={"X-API-Key": key})
            for client, (_, key) in zip(clients, apps, strict=True)
        ]


def test_app_that_servers_name_is_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever asks for it again gets the one that was started."""
    monkeypatch.setenv("WINE_REGISTRY", f"folder:{tmp_path}")
    assert composition.app is composition.app


def test_request_in_flight_is_finished_on_sigterm(promoted: FolderRegistry, tmp_path: Path) -> None:
    """Half a body is there when the signal comes: no new connection is taken, this one is answered and logged."""
    body = json.dumps(WINE).encode()
    head = f"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    with servers.api(tmp_path / "log", WINE_REGISTRY=f"folder:{promoted.root}") as server:
        assert server.process
        port = int(server.address.rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(head.encode() + body[:20])
            server.get("/live")  # the server has come round: the half request is being answered
            server.process.send_signal(signal.SIGTERM)
            while accepts(port):
                pass
            connection.sendall(body[20:])
            answer = connection.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 200")
        assert server.process.wait(20) in (0, -signal.SIGTERM)
    request_id = json.loads(answer.partition(b"\r\n\r\n")[2])["request_id"]
    assert request_id in server.log.read_text()


def accepts(port: int) -> bool:
    """Whether a new connection is taken."""
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionError:
        return False
    return True


@pytest.mark.parametrize(
    ("options", "variables", "sentence"),
    [
        ((), {"WINE_REGISTRY": "somewhere"}, "WINE_REGISTRY='somewhere' cannot be used"),
        ((), {"WINE_API_KEY": " \n"}, "WINE_API_KEY=.* cannot be used: it must be a text that is not empty"),
        ((), {"WINE_CORS_ORIGINS": "cellar.example"}, "it must be origins such as https://example.org"),
        ((), {"WEB_CONCURRENCY": "2"}, "2 workers cannot be used"),
        (("--workers", "2"), {}, "2 workers cannot be used: one process counts"),
    ],
)
def test_what_cannot_be_used_is_refused_at_start(
    tmp_path: Path, options: tuple[str, ...], variables: dict[str, str], sentence: str
) -> None:
    """One sentence that names it, and no server."""
    with pytest.raises(AssertionError, match=sentence):
        servers.api(tmp_path / "log", None, *options, **variables).start()


def test_serving_imports_nothing_that_it_does_not_need(promoted: FolderRegistry, tmp_path: Path) -> None:
    """Start-up time and memory are features: no scikit-learn, pandas, plotting or W&B in the process."""
    with servers.api(tmp_path / "log", WINE_REGISTRY=f"folder:{promoted.root}") as server:
        server.post("/explain", json=WINE).raise_for_status()
        assert server.process
        mapped = Path(f"/proc/{server.process.pid}/maps")
        if mapped.exists():
            assert not [
                name for name in ("sklearn", "pandas", "matplotlib", "scipy") if f"/{name}/" in mapped.read_text()
            ]
