"""What tests of the page share: an API that serves the small bundle, and the page as a first visitor sees it."""

from collections.abc import Iterator

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from tests import servers
from tests.ui.visitor import client_of, opened
from wine_serving.registry.folder import FolderRegistry
from wine_ui.client import Schema


@pytest.fixture(scope="session")
def api(served_registry: FolderRegistry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running API with the small bundle in production."""
    log = tmp_path_factory.mktemp("ui") / "log"
    with servers.api(log, WINE_REGISTRY=f"folder:{served_registry.root}", WINE_PREDICTION_LOG="false") as server:
        yield server.address


@pytest.fixture(autouse=True)
def forgetful() -> Iterator[None]:
    """Nothing is remembered from the test before."""
    st.cache_data.clear()
    yield
    st.cache_resource.clear()


@pytest.fixture
def connected(api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page asks that API."""
    monkeypatch.setenv("WINE_API_URL", api)


@pytest.fixture
def page(connected: None) -> AppTest:  # noqa: ARG001 - only its effect is wanted
    """The page as a first visitor sees it."""
    return opened()


@pytest.fixture
def schema(api: str) -> Schema:
    """The form's content."""
    with client_of(api) as client:
        return client.schema()
