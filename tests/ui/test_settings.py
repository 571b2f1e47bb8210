"""The page's variables."""

import pytest

from tests.ui.visitor import opened, text
from wine_ui.settings import Settings, SettingsError


def test_address_that_is_none_is_said(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Naming the variable, to whoever runs the page."""
    monkeypatch.setenv("WINE_API_URL", "localhost 8000")
    with pytest.raises(SettingsError, match="WINE_API_URL='localhost 8000' cannot be used"):
        Settings.from_environment()
    assert "WINE_API_URL" not in text(opened())
    assert "WINE_API_URL" in caplog.text
