"""The variables that the service reads, each with its type and default."""

import os
import tempfile
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import AliasChoices, BeforeValidator, Field, SecretStr, StringConstraints, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from wine_serving.errors import SettingsError

ROOT: Final = Path(__file__).resolve().parents[1]  # relative paths start here, whatever the working directory is


def _cache() -> Path:
    """Where versions from W&B are kept: here, or where nothing may be written (in an image), among temporary files."""
    return Path("artifacts/cache") if os.access(ROOT, os.W_OK) else Path(tempfile.gettempdir(), "wine-quality-cache")


def _cut(key: object) -> object:
    """A key from a file often ends in a line break."""
    return key.rstrip() if isinstance(key, str) else key


class Settings(BaseSettings):
    """Where versions live and what is served."""

    model_config = SettingsConfigDict(env_prefix="WINE_", extra="ignore", frozen=True)

    registry: Annotated[str, StringConstraints(pattern=r"^(folder:.+|wandb:[^/\s]+/[^/\s]+)$")] = (
        "folder:artifacts/registry"
    )
    registry_link: Annotated[str, StringConstraints(pattern=r"^([^/\s]+/)?wandb-registry-[^/\s]+/[^/\s]+$")] | None = (
        None
    )
    model: Annotated[str, StringConstraints(min_length=1)] = "wine-quality:production"
    api_key: Annotated[SecretStr, Field(min_length=1), BeforeValidator(_cut)] | None = None
    cors_origins: Annotated[str, StringConstraints(pattern=r"^(https?://[^/\s,]+(\s*,\s*https?://[^/\s,]+)*)?$")] = ""
    prediction_log: bool = True
    google_cloud_project: Annotated[str | None, Field(validation_alias=AliasChoices("GOOGLE_CLOUD_PROJECT"))] = None
    wandb_cache: Annotated[Path, Field(validation_alias=AliasChoices("WANDB_CACHE_DIR"))] = _cache()
    wandb_timeout: Annotated[int, Field(ge=1, validation_alias=AliasChoices("WANDB_HTTP_TIMEOUT"))] = 5
    port: Annotated[int, Field(ge=1, le=65535, validation_alias=AliasChoices("PORT"))] = 8000

    @classmethod
    def from_environment(cls) -> Self:
        """The settings that the environment gives, or a SettingsError that names the variable."""
        try:
            return cls()
        except ValidationError as error:
            raise SettingsError("; ".join(_sentence(detail) for detail in error.errors())) from None


EXPECTED: Final = {
    "registry": "folder:PATH or wandb:ENTITY/PROJECT",
    "registry_link": "[ORGANISATION/]wandb-registry-REGISTRY/COLLECTION, for team accounts",
    "model": "NAME:ALIAS, NAME:vN or the path of a bundle directory",
    "api_key": "a text that is not empty",
    "cors_origins": "origins such as https://example.org, separated by commas",
    "prediction_log": "true or false",
    "wandb_cache_dir": "a directory",
    "wandb_http_timeout": "a number of seconds",
    "port": "a port number from 1 to 65535",
}


def _sentence(detail: object) -> str:
    assert isinstance(detail, dict)
    name = str(detail["loc"][0])
    variable = name if name.isupper() else f"WINE_{name.upper()}"  # those that are not ours come by their alias
    return f"{variable}={detail['input']!r} cannot be used: it must be {EXPECTED[name.lower()]}"
