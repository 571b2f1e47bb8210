"""What the API serves: one model version, loaded at start, checked by its golden wines, and never exchanged."""

import ctypes
import logging
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from wine_serving.assessing import Assessor
from wine_serving.bundle import Bundle
from wine_serving.errors import BundleError, RegistryUnavailable, RequestRefused, WineServingError
from wine_serving.explain import Explainer
from wine_serving.registry import REFERENCE, AliasMove, Record, Registry, digest_files, digest_of, open_registry
from wine_serving.settings import ROOT, Settings

RETRY_SECONDS: Final = 2.0
PATIENCE_SECONDS: Final = (
    5.0  # how long a start waits for the model, so that an ordinary start answers its first request
)

_log = logging.getLogger(__name__)


class Model(NamedTuple):
    """A loaded model version with what the registry says of it (nothing, when it came from a bare directory)."""

    version: str
    bundle: Bundle
    assessor: Assessor
    explainer: Explainer
    record: Record | None
    aliases: tuple[str, ...]
    promotion: AliasMove | None  # how it became production, if it is
    degraded: str | None  # why it is served although the registry is away


class Loader:
    """Loads the model that the settings name, in the background, again and again until it succeeds."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._model: Model | None = None
        self._reason = "the model is being loaded"
        self._tried = threading.Event()
        self._stopped = threading.Event()

    def start(self) -> None:
        """Start loading; returns when the model is loaded, at the first failure, or after PATIENCE_SECONDS."""
        threading.Thread(target=self._keep_trying, daemon=True, name="loader").start()
        self._tried.wait(PATIENCE_SECONDS)

    def stop(self) -> None:
        """Stop trying."""
        self._stopped.set()

    @property
    def model(self) -> Model:
        """The loaded model; RequestRefused (503) with the reason while there is none."""
        if self._model is None:
            raise RequestRefused(503, self._reason, headers={"Retry-After": str(round(RETRY_SECONDS))})
        return self._model

    @property
    def version(self) -> str | None:
        """The version of the loaded model, if there is one."""
        return self._model.version if self._model else None

    def _keep_trying(self) -> None:
        while not self._stopped.is_set():
            try:
                self._model = _load(self._settings)
            except Exception as error:  # noqa: BLE001 - whatever it is, the process stays up, says it, and tries again
                self._keep_reason(error)
            self._tried.set()
            if self._model or self._stopped.wait(RETRY_SECONDS):
                return

    def _keep_reason(self, error: Exception) -> None:
        expected = isinstance(error, WineServingError)
        reason = (
            str(error) if expected else f"the model cannot be loaded ({type(error).__name__}): see the service's log"
        )
        if reason != self._reason:
            _log.error(reason, exc_info=None if expected else error)
        self._reason = reason


def _load(settings: Settings) -> Model:
    record: Record | None = None
    aliases: tuple[str, ...] = ()
    promotion = degraded = None
    if REFERENCE.fullmatch(settings.model):
        with closing(open_registry(settings.registry)) as registry:
            record, directory, degraded = _fetch(registry, settings.model)
            if not degraded:
                standing = registry.aliases(record.collection).items()
                aliases = tuple(sorted(alias for alias, version in standing if version == record.version))
                moves = registry.history(record.collection)
                promotion = moves[-1] if moves and moves[-1].version == record.version else None
        version = record.version
    else:
        directory = _directory(settings.model)
        version = f"unregistered-{digest_of(digest_files(directory))[:8]}"
    bundle = Bundle.load(directory)
    bundle.check_golden()
    model = Model(version, bundle, Assessor(bundle), Explainer(bundle), record, aliases, promotion, degraded)
    _give_back_memory()
    return model


def _fetch(registry: Registry, ref: str) -> tuple[Record, Path, str | None]:
    """The version and its directory; the last verified copy, and why, when the registry is away."""
    try:
        record = registry.record(ref)
        directory = registry.fetch(record.ref)
    except RegistryUnavailable as away:
        try:
            record, directory = registry.cached(ref)
        except RegistryUnavailable as missing:
            raise RegistryUnavailable(f"{away}; {missing}") from None
        return record, directory, f"this is a verified copy of {record.ref}: {away}"
    return record, directory, None


def _directory(path: str) -> Path:
    directory = ROOT / path
    if not directory.is_dir():
        raise BundleError(f"WINE_MODEL={path} is neither NAME:ALIAS or NAME:vN nor a bundle directory: correct it")
    return directory


def _give_back_memory() -> None:
    """Return freed heap to the system: reading a forest takes several times the memory that keeping it does."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):  # glibc only
        libc.malloc_trim(0)
