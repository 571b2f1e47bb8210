"""The variables that the page reads, each with its type and default."""

from typing import Self

from pydantic import AnyHttpUrl, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict


class SettingsError(Exception):
    """A variable has a value that cannot be used."""


class Settings(BaseSettings):
    """Where the API is, the key that it wants, and where the reports are published, if anywhere."""

    model_config = SettingsConfigDict(env_prefix="WINE_", extra="ignore", frozen=True)

    api_url: AnyHttpUrl = AnyHttpUrl("http://localhost:8000")
    api_key: SecretStr | None = None
    reports_url: AnyHttpUrl | None = None

    @classmethod
    def from_environment(cls) -> Self:
        """The settings that the environment gives, or a SettingsError that names the variable."""
        try:
            return cls()
        except ValidationError as error:
            detail = error.errors()[0]
            name = f"WINE_{str(detail['loc'][0]).upper()}"
            raise SettingsError(
                f"{name}={detail['input']!r} cannot be used: it must be an address such as http://localhost:8000"
            ) from None
