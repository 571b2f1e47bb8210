"""What tests of the API share: one that runs, with the small bundle in production."""

from collections.abc import Iterator

import httpx
import pytest

from tests import servers
from tests.servers import Server
from wine_serving.registry.folder import FolderRegistry


@pytest.fixture(scope="session")
def server(served_registry: FolderRegistry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running API with the small bundle in production."""
    log = tmp_path_factory.mktemp("api") / "log"
    variables = {"WINE_REGISTRY": f"folder:{served_registry.root}", "GOOGLE_CLOUD_PROJECT": "cellar"}
    with servers.api(log, **variables) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    """A connection to it."""
    with httpx.Client(base_url=server.address) as connected:
        yield connected
