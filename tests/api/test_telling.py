"""What the API tells about itself."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from tests.serving.test_monitoring import FOUND
from wine_serving.api import telling
from wine_serving.api.loading import Loader
from wine_serving.api.metrics import Metrics
from wine_serving.errors import without_paths
from wine_serving.provenance import VERSION
from wine_serving.registry import MODEL, PRODUCTION
from wine_serving.registry.folder import FolderRegistry
from wine_serving.schema import INPUTS
from wine_serving.settings import Settings


def test_model_is_told_with_lineage(client: httpx.Client) -> None:
    """Version, aliases, dataset digest, who promoted it, metadata and card."""
    model = client.get("/model").raise_for_status().json()
    assert model["model_version"] == "v0"
    assert model["aliases"] == ["candidate", "latest", "production"]
    assert model["promotion"]["version"] == "v0"
    assert model["dataset"]["digest"] == "0" * 64
    assert model["dataset"]["sources"] == {"made-up.csv": "1" * 64}
    assert model["project_version"] == VERSION
    assert model["card"].startswith("# A small forest")
    assert model["dataset_card"].startswith("# Made-up wines")
    assert model["record"]["digest"]


def test_last_look_of_monitoring_is_told(promoted: FolderRegistry) -> None:
    """As the registry has it when it is asked, although nothing else that was loaded is exchanged."""
    loader = Loader(Settings(registry=f"folder:{promoted.root}"))
    loader.start()
    app = FastAPI()
    app.include_router(telling.routes(loader, Metrics(None)))

    async def told() -> Any:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
            return (await client.get("/model")).raise_for_status().json()["monitoring"]

    assert asyncio.run(told()) is None
    promoted.attach_monitoring(f"{MODEL}:{PRODUCTION}", FOUND.for_record())
    assert asyncio.run(told()) == FOUND.for_record()


def test_session_that_throws_is_unhealthy(tiny_bundle: Path) -> None:
    """Never a 500: 503 with the reason, and without a path of the machine."""
    loader = Loader(Settings(model=str(tiny_bundle)))
    loader.start()
    app = FastAPI()
    app.include_router(telling.routes(loader, Metrics(None)))

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.get("/health")

    assert asyncio.run(ask()).json()["status"] == "ok"
    object.__setattr__(loader.model.bundle, "session", None)
    answer = asyncio.run(ask())
    assert answer.status_code == 503
    assert answer.json()["status"] == "unhealthy"
    assert "cannot answer its golden wines" in answer.json()["reason"]


def test_answers_name_no_path_of_the_machine() -> None:
    """The log does; strangers read the last part."""
    told = without_paths(
        "golden wine 0 scores 1, not 2: the model in /srv/a b/registry/v0 is not /predict/batch at http://x/y"
    )
    assert "/srv" not in told
    assert "http://x/y" in told


def test_schema_holds_all_that_a_form_needs(client: httpx.Client) -> None:
    """Labels, units, bounds, typical values, ranges, presets that are possible wines, and the distribution."""
    schema = client.get("/schema").raise_for_status().json()
    assert [field["name"] for field in schema["fields"]] == [name for name in INPUTS if name != "color"]
    assert schema["category"] == {"name": "color", "label": "Colour"}
    for field in schema["fields"]:
        for color in schema["colors"]:
            low, high = field["ranges"][color]
            assert field["minimum"] <= low <= field["usual"][color][0] <= field["typical"][color]
            assert field["typical"][color] <= field["usual"][color][1] <= high <= field["maximum"]
    for preset in schema["presets"]:
        assert client.post("/predict", json=preset["wine"]).status_code == 200
    assert sum(schema["distribution"]["red"].values()) > 0
