"""Rebuild a model version from its record alone, and say whether it is the same.

    python notebooks/reproduce.py v3

A clone of this repository at the version's commit, with that commit's lock, trains with the version's parameters on the
version's dataset, in a registry of its own: nothing here changes.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from wine_serving.bundle import GOLDEN_TOLERANCE, METADATA_FILE, Bundle
from wine_serving.errors import RegistryError, WineServingError
from wine_serving.machine import replace_what_cannot_be_shown
from wine_serving.registry import DATASET, MODEL, Record, Registry, digest_files, open_registry
from wine_serving.registry.folder import FolderRegistry
from wine_serving.schema import encode_columns
from wine_serving.settings import ROOT, Settings

CHANGED = "+changes"  # how a record's commit ends when files differed from it
OF_A_HOOK = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")  # set by git there, they name this repository
VENV_PYTHON = Path(".venv", "Scripts/python.exe" if os.name == "nt" else "bin/python")


class Likeness(NamedTuple):
    """Whether a rebuilt version answers as the recorded one does, and how far they are alike, in words."""

    same: bool
    told: str


def reproduce(registry: Registry, version: str) -> Likeness:
    """Rebuild a version, and compare. What is done on the way is printed."""
    record = registry.record(f"{MODEL}:{version}")
    recorded = registry.fetch(record.ref)
    metadata = Bundle.load(recorded).metadata
    data = dataset_of(registry, record, metadata.dataset.digest)
    wines = registry.fetch(data.ref)
    commit = commit_of(record)
    with tempfile.TemporaryDirectory(prefix=f"reproduce-{record.version}-") as place:
        checkout = clone(commit, Path(place) / "checkout")
        FolderRegistry(checkout / "artifacts" / "registry").adopt(data, wines, ())
        install(checkout)
        train(checkout, {"dataset": data.ref} | metadata.parameters)
        models = FolderRegistry(checkout / "artifacts" / "registry")
        rebuilt = models.fetch(models.records(MODEL)[-1].ref)
        splits = pd.concat([pd.read_parquet(path) for path in sorted(wines.glob("*.parquet"))])
        return likeness(recorded, rebuilt, splits)


def dataset_of(registry: Registry, record: Record, digest: str) -> Record:
    """The dataset version with that content, whatever it is called here."""
    for data in registry.records(DATASET):
        if data.digest == digest:
            return data
    raise RegistryError(
        f"{record.ref} was trained on a dataset of digest {digest[:12]}, which {registry} does not hold: "
        "name the registry that does in WINE_REGISTRY"
    )


def commit_of(record: Record) -> str:
    """The commit that made a version; said when files differed from it."""
    if record.commit is None:
        raise RegistryError(f"the record of {record.ref} names no commit: it was made outside of a git checkout")
    commit, changed, _ = record.commit.partition(CHANGED)
    print(f"{record.ref} was made at commit {commit[:12]} by {record.created_by}", flush=True)
    if changed:
        print("from files that were changed and not committed: the commit alone is rebuilt, and may differ", flush=True)
    return commit


def clone(commit: str, place: Path) -> Path:
    """A checkout of its own, whose settings of git are not those of this one."""
    if not shutil.which("git"):
        raise RegistryError("git is not on PATH, and the commit is fetched by it: install it, and try again")
    run("git", "clone", "--quiet", "--shared", "--no-checkout", ROOT, place, cwd=ROOT)
    try:
        run("git", "checkout", "--quiet", "--detach", commit, cwd=place)
    except subprocess.CalledProcessError:
        raise RegistryError(f"commit {commit} is not in this repository: fetch it (git fetch), and try again") from None
    return place


def install(checkout: Path) -> None:
    """The environment of that commit: its lock, by its own script, for this Python."""
    script = checkout / "requirements" / "environment.py"
    if not script.is_file():
        raise RegistryError("that commit cannot set up an environment by itself: it has no requirements/environment.py")
    run(sys.executable, script, cwd=checkout, PYTHON=getattr(sys, "_base_executable", sys.executable))


def train(checkout: Path, parameters: Mapping[str, Any]) -> None:
    """Run the training of that commit there, in a registry of its own, untracked."""
    named = [word for name, value in parameters.items() for word in ("-p", name, text(value))]
    run(checkout / VENV_PYTHON, "notebooks/run.py", "03_training", *named, cwd=checkout, WANDB_MODE="offline")


def text(value: Any) -> str:
    """As a person types it."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def run(*command: object, cwd: Path, **variables: str) -> None:
    """Run a command to its end, in an environment that holds no setting of this project, nor of a hook of git."""
    foreign = ("WINE_", "WANDB_", *OF_A_HOOK)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    subprocess.run([str(word) for word in command], cwd=cwd, env=inherited | variables, check=True)


def likeness(recorded: Path, rebuilt: Path, wines: pd.DataFrame) -> Likeness:
    """How far two bundles are alike: byte for byte, or in what they say of `wines`, or in what not."""
    before, after = digest_files(recorded), digest_files(rebuilt)
    files = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    if not files:
        return Likeness(True, "identical: every file is the same, byte for byte")
    rows = encode_columns(wines)
    answers = [Bundle.load(each).predict(rows) for each in (recorded, rebuilt)]
    apart = float(np.abs(answers[0] - answers[1]).max())
    what = "; ".join([", ".join(files), *changes(recorded / METADATA_FILE, rebuilt / METADATA_FILE)])
    if apart <= GOLDEN_TOLERANCE:
        return Likeness(
            True, f"same answers: at most {apart:.1g} apart on {len(wines)} wines. Not identical are {what}"
        )
    return Likeness(False, f"what differs: answers to {len(wines)} wines, by up to {apart:.2g}; {what}")


def changes(recorded: Path, rebuilt: Path) -> list[str]:
    """What differs in the metadata, by name; small values with what they were and are."""
    before, after = (json.loads(path.read_text(encoding="utf-8")) for path in (recorded, rebuilt))
    told = []
    for part in [name for name in before | after if before.get(name) != after.get(name)]:
        old, new = before.get(part), after.get(part)
        if part in ("packages", "parameters", "hyperparameters") and isinstance(old, dict) and isinstance(new, dict):
            told += [
                f"{name} {old.get(name)} → {new.get(name)}" for name in old | new if old.get(name) != new.get(name)
            ]
        else:
            told.append(part)
    return told


def main(version: str) -> int:
    """0 when the rebuilt version is identical or gives the same answers, 1 when not, 2 when no version is named."""
    replace_what_cannot_be_shown()
    if not version:
        print("Say which version: make reproduce VERSION=v1", file=sys.stderr)
        return 2
    try:
        found = reproduce(open_registry(Settings.from_environment().registry), version)
    except WineServingError as error:
        print(error, file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"{version} was not rebuilt: {' '.join(error.cmd[:2])} failed, as said above", file=sys.stderr)
        return 1
    print(f"{version} is {found.told}" if found.same else f"{version} is not the same; {found.told}")
    return 0 if found.same else 1


if __name__ == "__main__":
    sys.exit(main(" ".join(sys.argv[1:])))
