"""What the service is told, each thing with its type and default, and the variables that tell it."""

import os
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)

from wine_serving.errors import SettingsError

ROOT: Final = Path(__file__).resolve().parents[1]  # relative paths start here, whatever the working directory is


def _cache() -> Path:
    """Where versions from W&B are kept: here, or where nothing may be written (in an image), among temporary files."""
    if os.access(ROOT, os.W_OK):
        return Path("artifacts/cache")
    # not `gettempdir`, which raises where nothing at all may be written: what lies in an image is served there, too
    return Path(os.environ.get("TMPDIR") or "/tmp", "wine-quality-cache")  # noqa: S108


def _cut(key: object) -> object:
    """A key from a file often ends in a line break."""
    return key.rstrip() if isinstance(key, str) else key


class Settings(BaseModel):
    """Where versions live and what is served; the environment has a say in `from_environment` alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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
    google_cloud_project: str | None = None
    wandb_cache: Path = _cache()
    wandb_timeout: Annotated[int, Field(ge=1)] = 5
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    dask_scheduler: str | None = None

    @field_validator("registry_link", "wandb_cache", "wandb_timeout", mode="wrap")
    @classmethod
    def _judged_where_wandb_is_used(cls, value: Any, judge: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        try:
            return judge(value)
        except ValidationError:
            if info.field_name is None or info.data.get("registry", "").startswith("wandb:"):
                raise
            return cls.model_fields[info.field_name].default

    @classmethod
    def from_environment(cls) -> Self:
        """The settings that the environment gives, or a SettingsError that names the variable."""
        given = {name: os.environ[variable] for name, (variable, _) in VARIABLES.items() if variable in os.environ}
        try:
            settings = cls.model_validate(given)
        except ValidationError as error:
            raise SettingsError("; ".join(_sentence(detail) for detail in error.errors())) from None
        if "registry" not in given:
            _check_checkout()
        return settings


VARIABLES: Final = {  # what is set by which variable, and what that must be
    "registry": ("WINE_REGISTRY", "folder:PATH or wandb:ENTITY/PROJECT"),
    "registry_link": ("WINE_REGISTRY_LINK", "[ORGANISATION/]wandb-registry-REGISTRY/COLLECTION, for team accounts"),
    "model": ("WINE_MODEL", "NAME:ALIAS, NAME:vN or the path of a bundle directory"),
    "api_key": ("WINE_API_KEY", "a text that is not empty"),
    "cors_origins": ("WINE_CORS_ORIGINS", "origins such as https://example.org, separated by commas"),
    "prediction_log": ("WINE_PREDICTION_LOG", "true or false"),
    "google_cloud_project": ("GOOGLE_CLOUD_PROJECT", "a text"),
    "wandb_cache": ("WANDB_CACHE_DIR", "a directory"),
    "wandb_timeout": ("WANDB_HTTP_TIMEOUT", "a number of seconds"),
    "dask_scheduler": ("DASK_SCHEDULER_ADDRESS", "the address of a scheduler, such as tcp://scheduler:8786"),
    "port": ("PORT", "a port number from 1 to 65535"),
}


def _sentence(detail: object) -> str:
    assert isinstance(detail, dict)
    variable, expected = VARIABLES[str(detail["loc"][0])]
    return f"{variable}={detail['input']!r} cannot be used: it must be {expected}"


def _check_checkout() -> None:
    """SettingsError in another checkout than this one, whose registry nobody has named."""
    here = Path.cwd()
    checkouts = [each for each in (here, *here.parents) if (each / "wine_serving" / "settings.py").is_file()]
    if checkouts and checkouts[0].resolve() != ROOT:
        raise SettingsError(
            f"this Python runs the code of {ROOT} and would use its registry, but you are in {checkouts[0]}: "
            "start it by make there, which sets up an environment of its own, or name a registry in WINE_REGISTRY"
        )
