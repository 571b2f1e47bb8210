"""The registry between two runs on GitHub, where there is no W&B: an asset of the release tagged `registry`.

    python .github/registry_asset.py restore   unpack the newest asset into the registry's folder; a fresh fork has none
    python .github/registry_asset.py save      keep the registry's folder as a new asset; only the main branch does this

Each save is an asset of its own and older ones go only afterwards, so that a save that dies half-way loses nothing.
Where the registry is W&B (WINE_REGISTRY=wandb:…), W&B remembers, and a save keeps a copy of what is in production, so
that pull requests, which get no key, have something to compare with. Needs GitHub's `gh`.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from wine_serving.errors import NothingPromoted, RegistryError, WineServingError
from wine_serving.registry import MODEL, PRODUCTION, open_registry
from wine_serving.registry.copies import copy
from wine_serving.registry.folder import FolderRegistry
from wine_serving.settings import ROOT, Settings

RELEASE: Final = "registry"
KEPT: Final = 3


def gh(*words: str) -> str:
    """What gh prints, or a RegistryError with its complaint."""
    try:
        done = subprocess.run(["gh", *words], check=False, capture_output=True, text=True)
    except FileNotFoundError:
        raise RegistryError("gh, GitHub's command line, is not on PATH: install it and run `gh auth login`") from None
    if done.returncode:
        raise RegistryError(f"`gh {' '.join(words)}` failed: {done.stderr.strip()}")
    return done.stdout


def assets() -> list[str] | None:
    """The names of the kept assets, newest first; None where there is no such release."""
    try:
        release = json.loads(gh("api", f"repos/{{owner}}/{{repo}}/releases/tags/{RELEASE}"))
    except RegistryError as error:
        if "HTTP 404" in str(error):
            return None
        raise  # a network that fails is no empty release
    return sorted((asset["name"] for asset in release["assets"]), reverse=True)


def restore(folder: Path) -> str:
    """Unpack the newest asset into `folder`; says which."""
    newest = next(iter(assets() or []), None)
    folder.parent.mkdir(parents=True, exist_ok=True)
    note(folder).write_text(newest or "")
    if newest is None:
        return "nothing is remembered yet: the registry starts empty"
    archive = folder.with_name(newest)
    gh("release", "download", RELEASE, "--pattern", newest, "--output", str(archive), "--clobber")
    shutil.rmtree(folder, ignore_errors=True)
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    archive.unlink()
    return f"restored {newest}"


def save(folder: Path) -> str:
    """Keep `folder` as the newest asset; says which."""
    kept = assets()
    if next(iter(kept or []), "") != (note(folder).read_text() if note(folder).exists() else ""):
        raise RegistryError("the registry on GitHub changed since it was restored here: restore it and run again")
    archive = folder.with_name(f"registry-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}.tar.gz")
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(folder, ".", filter=lambda member: None if member.name.endswith("/.lock") else member)
    if kept is None:
        notes = "What the pipeline remembers between its runs. Written by the workflow on main; do not edit."
        gh("release", "create", RELEASE, "--prerelease", "--title", "Registry", "--notes", notes)
    gh("release", "upload", RELEASE, str(archive))
    note(folder).write_text(archive.name)
    for old in (kept or [])[KEPT - 1 :]:
        gh("release", "delete-asset", RELEASE, old, "--yes")
    archive.unlink()
    return f"saved {archive.name}"


def note(folder: Path) -> Path:
    """Where the name of the asset stands that this run began with."""
    return folder.with_name("restored")


def copy_of_production(uri: str) -> Path:
    """A folder registry with what is in production and the datasets that it was made from."""
    folder = ROOT / "artifacts" / "production"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    registry = open_registry(uri)
    try:
        record = registry.record(f"{MODEL}:{PRODUCTION}")
    except NothingPromoted:
        return folder
    for line in copy(registry, FolderRegistry(folder), [record.ref, *record.inputs]):
        print(line)
    return folder


def main() -> int:
    """Run one command; 0 when it was done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["restore", "save"])
    command = parser.parse_args().command
    try:
        scheme, _, place = (uri := Settings.from_environment().registry).partition(":")
        if command == "restore":
            print(restore(ROOT / place) if scheme == "folder" else "W&B remembers")
        else:
            print(save(ROOT / place if scheme == "folder" else copy_of_production(uri)))
    except WineServingError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
