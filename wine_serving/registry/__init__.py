"""Where versions live: `open_registry`, and the words in which every registry is spoken to."""

from wine_serving.errors import RegistryError
from wine_serving.registry.files import digest_files
from wine_serving.registry.promises import (
    DATASET,
    EVALUATION,
    GRADES,
    LATEST,
    MODEL,
    PRODUCTION,
    AliasMove,
    Record,
    Registry,
)
from wine_serving.registry.wandb_sdk import tracking
from wine_serving.settings import ROOT, Settings

__all__ = [
    "DATASET",
    "EVALUATION",
    "GRADES",
    "LATEST",
    "MODEL",
    "PRODUCTION",
    "AliasMove",
    "Record",
    "Registry",
    "digest_files",
    "open_registry",
    "tracking",
]


def open_registry(uri: str, settings: Settings | None = None) -> Registry:
    """The registry at `folder:PATH` (relative to the repository) or `wandb:ENTITY/PROJECT`.

    For W&B, `settings` say where copies are kept and how long one waits; the environment does where none are given.
    """
    scheme, _, place = uri.partition(":")
    match scheme:
        case "folder":
            from wine_serving.registry.folder import FolderRegistry

            return FolderRegistry(ROOT / place)
        case "wandb":
            from wine_serving.registry.wandb import WandbRegistry

            settings = settings or Settings.from_environment()
            return WandbRegistry(
                place, ROOT / settings.wandb_cache, link=settings.registry_link, patience=settings.wandb_timeout
            )
    raise RegistryError(f"{uri!r} is no registry: it must be folder:PATH or wandb:ENTITY/PROJECT")
