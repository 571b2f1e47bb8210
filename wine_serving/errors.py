"""The family of errors: each message says what was wrong, where, and what to do next.

WineServingError
├── SettingsError             a variable has a value that cannot be used
├── ContractError             a table does not keep the feature contract
├── BundleError               a model bundle is corrupted, truncated or incompatible
├── ScoringError              a table is not scored in bulk, or not all of it
├── RequestRefused            a request to the API cannot be answered
└── RegistryError             a registry was asked for something it cannot do
    ├── VersionNotFound       no such collection, version or alias
    │   └── NothingPromoted   nobody has promoted a model yet
    ├── DigestMismatch        stored bytes are not the bytes that were published
    ├── AliasMoved            somebody else moved the alias in between
    └── RegistryUnavailable   the registry does not answer (W&B only)
"""

from collections.abc import Mapping, Sequence


class WineServingError(Exception):
    """Any error that this project raises on purpose."""


class SettingsError(WineServingError):
    """A variable has a value that cannot be used."""


class ContractError(WineServingError):
    """A table does not keep the feature contract."""


class BundleError(WineServingError):
    """A model bundle is corrupted, truncated or incompatible with this code."""


class ScoringError(WineServingError):
    """A table is not scored in bulk, or not all of it."""


class RequestRefused(WineServingError):
    """A request to the API cannot be answered: the HTTP status, a sentence, and the broken rules if any."""

    def __init__(
        self,
        status: int,
        sentence: str,
        problems: Sequence[Mapping[str, object]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.problems = problems
        self.headers = dict(headers or {})


class RegistryError(WineServingError):
    """A registry was asked for something it cannot do."""


class VersionNotFound(RegistryError):
    """There is no such collection, version or alias."""


class NothingPromoted(VersionNotFound):
    """No version carries the alias that is to be served."""


class DigestMismatch(RegistryError):
    """Stored bytes are not the bytes that were published."""


class AliasMoved(RegistryError):
    """Somebody else moved the alias between reading and moving it."""


class RegistryUnavailable(RegistryError):
    """The registry does not answer."""
