"""The variables that the service reads."""

import pytest

from wine_serving.errors import SettingsError
from wine_serving.settings import Settings

BAD_VALUES = {
    "WINE_REGISTRY": "s3:bucket",
    "WINE_REGISTRY_LINK": "wine-quality",
    "WINE_MODEL": "",
    "WINE_PREDICTION_LOG": "perhaps",
    "PORT": "eighty",
    "WANDB_HTTP_TIMEOUT": "soon",
}


def test_defaults_serve_the_promoted_version_from_the_folder() -> None:
    """With nothing set, the registry is the folder and the model its production."""
    settings = Settings.from_environment()
    assert settings.registry == "folder:artifacts/registry"
    assert settings.model == "wine-quality:production"
    assert settings.api_key is None
    assert settings.port == 8000


@pytest.mark.parametrize(("variable", "value"), BAD_VALUES.items(), ids=BAD_VALUES)
def test_bad_value_is_refused_with_a_sentence(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    """The sentence names the variable, the value and what it must be."""
    monkeypatch.setenv("WINE_REGISTRY", "wandb:me/wine")
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=f"{variable}='{value}' cannot be used: it must be"):
        Settings.from_environment()


def test_what_a_folder_does_not_use_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables of W&B stop nobody whose registry is a folder; a good value is kept, for copies from there to W&B."""
    monkeypatch.setenv("WINE_REGISTRY_LINK", "wine-quality")
    monkeypatch.setenv("WANDB_HTTP_TIMEOUT", "soon")
    settings = Settings.from_environment()
    assert (settings.registry_link, settings.wandb_timeout) == (None, 5)
    monkeypatch.setenv("WANDB_HTTP_TIMEOUT", "30")
    assert Settings.from_environment().wandb_timeout == 30
