"""When something is wrong, a visitor reads a sentence and what to do, and the page comes back."""

from pathlib import Path

import pytest
import streamlit as st

from tests import servers, tiny
from tests.ui.visitor import opened, press, text
from wine_serving.registry import MODEL
from wine_serving.registry.folder import FolderRegistry


def test_service_that_is_away_is_said_and_comes_back(
    served_registry: FolderRegistry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A sentence and what to do; the same page answers as soon as the service does. The log says where and why."""
    port = servers.free_port()
    monkeypatch.setenv("WINE_API_URL", f"http://127.0.0.1:{port}")
    page = opened()
    assert "The wine service is not answering." in text(page)
    assert "127.0.0.1" not in text(page)
    assert f"no wine service at http://127.0.0.1:{port}" in caplog.text
    with servers.api(tmp_path / "log", port, WINE_REGISTRY=f"folder:{served_registry.root}"):
        press(page, "Try again")
        assert page.metric[0].value.endswith("of 10")
    page.text_input(key="alcohol").set_value("13")
    press(page, "Score this wine")
    assert "The wine service is not answering." in text(page)
    assert page.text_input(key="alcohol").value == "13"


def test_nothing_promoted_is_said_with_the_command_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The command to whoever runs the page, in the API's own sentence."""
    with servers.api(tmp_path / "log", WINE_REGISTRY=f"folder:{tmp_path / 'empty'}") as server:
        monkeypatch.setenv("WINE_API_URL", server.address)
        assert "The wine service has no model to answer with yet." in text(opened())
        assert "make pipeline" in caplog.text


def test_wrong_key_is_said(served_registry: FolderRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And with the right one the page works."""
    registry = f"folder:{served_registry.root}"
    with servers.api(tmp_path / "log", WINE_REGISTRY=registry, WINE_API_KEY="right") as server:
        monkeypatch.setenv("WINE_API_URL", server.address)
        monkeypatch.setenv("WINE_API_KEY", "wrong")
        assert "does not let this page in" in text(opened())
        st.cache_resource.clear()
        monkeypatch.setenv("WINE_API_KEY", "right")
        assert "Answered by model v0" in text(opened())


def test_model_that_was_exchanged_meanwhile_is_said(
    promoted: FolderRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next answer says that another version gave it, and the form is that version's."""
    with servers.api(tmp_path / "log", WINE_REGISTRY=f"folder:{promoted.root}") as server:
        monkeypatch.setenv("WINE_API_URL", server.address)
        page = opened()
        tiny.write_bundle(tmp_path / "another", seed=1)
        promoted.publish(tmp_path / "another", MODEL, kind="model", aliases=["production"])
        server.stop()
        server.start()
        press(page, "Score this wine")
        assert "The model was exchanged meanwhile: this is the answer of v1" in text(page)
        press(page, "Score this wine")
        assert "exchanged meanwhile" not in text(page)
