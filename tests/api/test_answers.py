"""What the OpenAPI document promises of the answers."""

from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from wine_serving.api.wines import XLSX
from wine_serving.app import create_app
from wine_serving.settings import Settings


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


schemathesis.serializer.alias(XLSX, "application/octet-stream")
document = schemathesis.openapi.from_dict(create_app(Settings()).openapi())


@document.parametrize()
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_answers_are_as_documented(case: schemathesis.Case[Any], client: httpx.Client) -> None:
    """Schemathesis: no 5xx, no undocumented status or shape, no accepted nonsense.

    That a wine within all bounds is accepted is said above: JSON Schema cannot tell that free is a part of total.
    """
    case.call_and_validate(base_url=str(client.base_url), excluded_checks=[positive_data_acceptance])
