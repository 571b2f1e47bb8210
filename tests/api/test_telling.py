"""What the API tells about itself."""

import httpx

from wine_serving.provenance import VERSION
from wine_serving.schema import INPUTS


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
