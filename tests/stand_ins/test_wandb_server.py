"""The tests' own W&B server: it notices what it does not know."""

import base64
import json
import urllib.error
import urllib.request

import pytest

from tests.stand_ins.wandb_server.app import KEY, WandbServer

UNKNOWN = {
    "a field": ("/graphql", {"query": "query Viewer { viewer { favouriteGrape } }"}, "favouriteGrape"),
    "an operation": ("/graphql", {"query": "mutation { launchRocket(input: {}) { success } }"}, "launchRocket"),
    "a variable": ("/graphql", {"query": "query A($id: Colour!) { artifact(id: $id) { id } }"}, "Colour"),
    "an address": ("/launch", {}, "POST /launch"),
}


def post(server: WandbServer, path: str, body: object, key: str = KEY) -> int:
    token = base64.b64encode(f"api:{key}".encode()).decode()
    headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(server.store.url + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return int(answer.status)


@pytest.mark.parametrize(("path", "body", "what"), UNKNOWN.values(), ids=UNKNOWN)
def test_what_the_server_does_not_know_is_recorded(
    wandb_server: WandbServer, path: str, body: object, what: str
) -> None:
    """It is never answered with 5xx, which the SDK would retry; the fixture fails a test that leaves a record."""
    assert post(wandb_server, path, body) == 200
    assert len(wandb_server.unknown) == 1
    assert what in wandb_server.unknown.pop()


def test_wrong_key_is_refused(wandb_server: WandbServer) -> None:
    """Only the tests' key opens the server."""
    with pytest.raises(urllib.error.HTTPError, match="401"):
        post(wandb_server, "/graphql", {"query": "query Viewer { viewer { id } }"}, key="w" * 40)
