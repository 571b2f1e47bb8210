"""One version, to be served, with what its registry says of it; W&B is asked by a process of its own.

W&B's SDK takes more than a second, 70 MB and a helper process: whoever serves keeps none of that.
"""

import json
import logging
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from wine_serving import errors
from wine_serving.errors import RegistryError, WineServingError
from wine_serving.registry import AliasMove, Record, Registry, open_registry
from wine_serving.settings import ROOT, Settings

IMAGE: Final = "registry"  # the folder registry that an image carries; release.json in it says that it is one
REFUSED: Final = 3  # the exit code of the process that was told, in one sentence, why not

_log = logging.getLogger(__name__)


class Found(BaseModel):
    """A version in a directory with exactly its published bytes."""

    model_config = ConfigDict(frozen=True)

    record: Record
    directory: Path
    aliases: tuple[str, ...] = ()
    promotion: AliasMove | None = None  # how it became production, if it is


def look_up(settings: Settings) -> Found:
    """What `settings` name, from their registry."""
    if not settings.registry.startswith("wandb:"):
        return _look_up(settings)
    command = [sys.executable, "-m", "wine_serving.registry.looking", settings.model_dump_json(exclude={"api_key"})]
    place = os.environ | {"WANDB_CACHE_DIR": str(settings.wandb_cache)}  # the SDK itself writes there, too
    asked = subprocess.run(command, cwd=ROOT, env=place, stdout=subprocess.PIPE, text=True, check=False)
    if asked.returncode == 0:
        return Found.model_validate_json(asked.stdout)
    if asked.returncode == REFUSED:
        kind, sentence = json.loads(asked.stdout)
        raise getattr(errors, kind)(sentence)
    raise RegistryError(f"the process that asked W&B ended with code {asked.returncode}: see the service's log")


def copy_here(settings: Settings) -> Found | None:
    """The copy of what `settings` name in W&B that lies here: kept when it was last fetched, or in the image."""
    if not settings.registry.startswith("wandb:"):
        return None
    places = [open_registry(settings.registry, settings)]
    if (ROOT / IMAGE / "release.json").is_file():
        places.append(open_registry(f"folder:{IMAGE}", settings))
    for registry in places:
        try:
            record, directory = registry.cached(settings.model)
        except RegistryError:
            continue
        return Found(record=record, directory=directory)
    return None


def _look_up(settings: Settings) -> Found:
    with closing(open_registry(settings.registry, settings)) as registry:
        record = registry.record(settings.model)
        directory = registry.fetch(record.ref)
        try:
            aliases, promotion = _standing(registry, record)
        except RegistryError as error:  # what is only told keeps no model from being served
            _log.warning("%s", error)
            aliases, promotion = (), None
        return Found(record=record, directory=directory, aliases=aliases, promotion=promotion)


def _standing(registry: Registry, record: Record) -> tuple[tuple[str, ...], AliasMove | None]:
    standing = registry.aliases(record.collection).items()
    moves = registry.history(record.collection)
    promotion = moves[-1] if moves and moves[-1].version == record.version else None
    return tuple(sorted(alias for alias, version in standing if version == record.version)), promotion


def _main(settings: str) -> int:
    try:
        sys.stdout.write(_look_up(Settings.model_validate_json(settings)).model_dump_json())
    except WineServingError as error:
        sys.stdout.write(json.dumps([type(error).__name__, str(error)]))
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1]))
