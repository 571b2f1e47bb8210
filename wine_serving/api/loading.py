"""What the API serves: one model version, loaded at start, checked by its golden wines, and never exchanged.

Where the registry is W&B and a copy lies here, that is served at once, as degraded, until W&B has been asked.
"""

import ctypes
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from wine_serving.assessing import Assessor
from wine_serving.bundle import Bundle
from wine_serving.errors import BundleError, NoModel, WineServingError, without_paths
from wine_serving.explain import Explainer
from wine_serving.registry import AliasMove, Record, open_registry
from wine_serving.registry.files import digest_files, digest_of
from wine_serving.registry.looking import Found, copy_here, look_up
from wine_serving.registry.promises import REFERENCE
from wine_serving.settings import ROOT, Settings

RETRY_SECONDS: Final = 2.0
RETRY_SECONDS_AT_MOST: Final = 60.0  # while a copy is served each time twice as long: asking takes a core for seconds
PATIENCE_SECONDS: Final = 5.0  # a start waits so long for the model: an ordinary one answers its first request

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
    degraded: str | None  # why it is served although the registry has not said that it is the one


class Loader:
    """Loads the model that the settings name, in the background, again and again until it succeeds."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._model: Model | None = None
        self._reason = "the model is being loaded"
        self._logged = self._reason
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
        """The loaded model; NoModel with the reason while there is none."""
        if self._model is None:
            raise NoModel(self._reason)
        return self._model

    @property
    def version(self) -> str | None:
        """The version of the loaded model, if there is one."""
        return self._model.version if self._model else None

    @property
    def record(self) -> Record | None:
        """What the registry says of the loaded version: a folder now; W&B, which takes seconds, when it was loaded."""
        known = self.model.record
        if known is None or not self._settings.registry.startswith("folder:"):
            return known
        try:
            return open_registry(self._settings.registry).record(known.ref)
        except WineServingError:
            return known

    def _keep_trying(self) -> None:
        with self._telling():
            self._load_copy()
        pause = RETRY_SECONDS
        while not self._stopped.is_set():
            with self._telling():
                self._load()
            self._tried.set()
            if (self._model and not self._model.degraded) or self._stopped.wait(pause):
                return
            if self._model:
                pause = min(2 * pause, RETRY_SECONDS_AT_MOST)

    def _load_copy(self) -> None:
        if REFERENCE.fullmatch(self._settings.model) and (found := copy_here(self._settings)):
            self._model = _served(found, f"this is a verified copy of {found.record.ref}: W&B has not answered yet")
            self._tried.set()

    def _load(self) -> None:
        if not REFERENCE.fullmatch(self._settings.model):
            self._model = _unregistered(self._settings.model)
            return
        found = look_up(self._settings)
        served = self._model
        if served and served.record and served.record.digest == found.record.digest:
            self._model = _told(found, served.bundle, served.assessor, served.explainer)
        else:
            self._model = _served(found)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Whatever goes wrong, the process stays up and says it."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever it is
            reason, trace = str(error), None
            if not isinstance(error, WineServingError):
                reason, trace = f"the model cannot be loaded ({type(error).__name__}): see the service's log", error
            if reason != self._logged:
                _log.error(reason, exc_info=trace)
            self._logged = reason
            reason = self._reason = without_paths(reason)
            if model := self._model:
                self._model = model._replace(degraded=f"this is a verified copy of {model.version}: {reason}")


def _served(found: Found, degraded: str | None = None) -> Model:
    return _told(found, *_opened(found.directory))._replace(degraded=degraded)


def _told(found: Found, bundle: Bundle, assessor: Assessor, explainer: Explainer) -> Model:
    record = found.record
    return Model(record.version, bundle, assessor, explainer, record, found.aliases, found.promotion, None)


def _unregistered(path: str) -> Model:
    directory = ROOT / path
    if not directory.is_dir():
        raise BundleError(f"WINE_MODEL={path} is neither NAME:ALIAS or NAME:vN nor a bundle directory: correct it")
    version = f"unregistered-{digest_of(digest_files(directory))[:8]}"
    return Model(version, *_opened(directory), record=None, aliases=(), promotion=None, degraded=None)


def _opened(directory: Path) -> tuple[Bundle, Assessor, Explainer]:
    bundle = Bundle.load(directory)
    bundle.check_golden()
    opened = bundle, Assessor(bundle), Explainer(bundle)
    _give_back_memory()
    return opened


def _give_back_memory() -> None:
    """Return freed heap to the system: reading a forest takes several times the memory that keeping it does."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):  # glibc only
        libc.malloc_trim(0)
