"""The family of errors: each message says what was wrong, where, and what to do next."""

import re
from collections.abc import Mapping, Sequence


class WineServingError(Exception):
    """Any error that this project raises on purpose."""


class SettingsError(WineServingError):
    """A variable has a value that cannot be used."""


class ContractError(WineServingError):
    """A table does not keep the feature contract."""


class TableRefused(ContractError):
    """A file cannot be read as a table of wines; `candidates` are its columns that may be the ones that are missing."""

    def __init__(self, sentence: str, candidates: dict[str, list[str]] | None = None) -> None:
        super().__init__(sentence)
        self.candidates = candidates


class LogRefused(WineServingError):
    """A prediction log cannot be used for what is asked."""


class BundleError(WineServingError):
    """A model bundle is corrupted, truncated or incompatible with this code."""


class NoModel(WineServingError):
    """No model is loaded that could answer."""


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


def without_paths(sentence: str) -> str:
    """A sentence as strangers may read it: of paths on this machine only their last part is left.

    >>> without_paths("/srv/models/v3/model.onnx is gone: see https://example.org/a/b")
    'model.onnx is gone: see https://example.org/a/b'
    """
    return re.sub(r"(?<![\w:/.])(?:/[^\s/:,;]+)+/([^\s/:,;]+)", r"\1", sentence)
