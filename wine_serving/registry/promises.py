"""Where versions live: the promises that every registry keeps, and how to open one.

A *collection* holds numbered versions (`v0`, `v1`, …) of one thing; a *reference* names one of them, as `NAME:vN` or
`NAME:ALIAS`. Published bytes never change; aliases move, and every move is kept with who, when and why.
"""

import getpass
import hashlib
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import EllipsisType
from typing import Any, Final, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict

from wine_serving.errors import AliasMoved, NothingPromoted, RegistryError, VersionNotFound
from wine_serving.settings import ROOT, Settings

DATASET: Final = "wine-quality-data"
MODEL: Final = "wine-quality"
EVALUATION: Final = "wine-quality-evaluation"
MADE_BY: Final = {
    DATASET: "01_data (make data)",
    MODEL: "03_training (make train)",
    EVALUATION: "04_evaluation (make evaluate)",
}

LATEST: Final = "latest"
CANDIDATE: Final = "candidate"
PRODUCTION: Final = "production"

REFERENCE: Final = re.compile(r"([a-z0-9][\w.-]*):([\w.-]+)")


class RunRef(BaseModel):
    """The tracked run that made a version. `url` is None while the run is only recorded offline."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    name: str | None = None
    url: str | None = None
    group: str | None = None
    notebook: str | None = None


class Record(BaseModel):
    """What is known about one version besides its bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    collection: str
    version: str
    kind: str  # "dataset", "model" or "report"
    digest: str  # SHA-256 over the sorted paths and their digests
    files: dict[str, str]  # path inside the version → SHA-256
    created: datetime
    created_by: str
    commit: str | None = None
    run: RunRef | None = None
    inputs: tuple[str, ...] = ()  # references, as NAME:vN, to what this version was made from
    metadata: dict[str, Any] = {}
    evaluation: dict[str, Any] | None = None  # the newest verdict on this version

    @property
    def ref(self) -> str:
        """`NAME:vN`."""
        return f"{self.collection}:{self.version}"


class AliasMove(BaseModel):
    """One move of an alias; `previous` is None when the alias was new."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    alias: str
    version: str
    previous: str | None
    when: datetime
    by: str
    reason: str


class Registry(Protocol):
    """What both backends promise. All methods raise RegistryError or one of its children."""

    def publish(
        self,
        directory: Path,
        name: str,
        *,
        kind: str,
        metadata: Mapping[str, Any] | None = None,
        aliases: Sequence[str] = (),
        inputs: Sequence[str] = (),
        run: Any = None,
    ) -> Record:
        """Store the files of `directory` as the next version of `name`, and point `aliases` and `latest` at it.

        Content that is there already gives the existing version, unchanged, and only moves the aliases. `run` is the
        W&B run that made it; `inputs` are the versions it was made from.
        """
        ...

    def record(self, ref: str) -> Record:
        """The record of `NAME:vN` or `NAME:ALIAS`; VersionNotFound when there is none."""
        ...

    def fetch(self, ref: str, *, run: Any = None) -> Path:
        """A directory with exactly the published bytes, to be read only; DigestMismatch when they were altered.

        `run`, where given, is the W&B run that uses the version.
        """
        ...

    def cached(self, ref: str) -> tuple[Record, Path]:
        """The version that `ref` was when it was last fetched on this machine, for the time when W&B is away.

        RegistryUnavailable when there is no such copy.
        """
        ...

    def records(self, name: str) -> list[Record]:
        """All versions of `name`, oldest first; empty when there is no such collection."""
        ...

    def aliases(self, name: str) -> dict[str, str]:
        """Alias → `vN`."""
        ...

    def move_alias(
        self, name: str, alias: str, version: str, *, reason: str, by: str, expected: str | EllipsisType | None = ...
    ) -> None:
        """Point `alias` at `version`.

        With `expected` given (`vN`, or None for "not set yet") AliasMoved is raised when the alias stands elsewhere.
        """
        ...

    def history(self, name: str, alias: str = PRODUCTION) -> list[AliasMove]:
        """Every move of `alias`, oldest first."""
        ...

    def attach_evaluation(self, ref: str, evaluation: Mapping[str, Any]) -> None:
        """Keep `evaluation` as the newest verdict in the version's record."""
        ...

    def used_by(self, ref: str) -> list[str]:
        """The versions, as `NAME:vN`, that were made from this one."""
        ...

    def close(self) -> None:
        """End helper processes; they start again when the registry is used again."""
        ...


def open_registry(uri: str) -> Registry:
    """The registry at `folder:PATH` (relative to the repository) or `wandb:ENTITY/PROJECT`."""
    scheme, _, place = uri.partition(":")
    match scheme:
        case "folder":
            from wine_serving.registry_folder import FolderRegistry

            return FolderRegistry(ROOT / place)
        case "wandb":
            from wine_serving.registry_wandb import WandbRegistry  # only here: importing wandb costs a second

            settings = Settings.from_environment()
            return WandbRegistry(
                place, ROOT / settings.wandb_cache, link=settings.registry_link, patience=settings.wandb_timeout
            )
    raise RegistryError(f"{uri!r} is no registry: it must be folder:PATH or wandb:ENTITY/PROJECT")


def tracking(uri: str) -> dict[str, str]:
    """Where the runs of this registry are tracked, as arguments of `wandb.init`."""
    scheme, _, place = uri.partition(":")
    if scheme == "wandb":
        entity, project = place.split("/")
        return {"entity": entity, "project": project}
    return {"project": os.environ.get("WANDB_PROJECT", MODEL)}


class Ref(NamedTuple):
    """A reference taken apart."""

    name: str
    selector: str  # an alias or vN

    @property
    def is_version(self) -> bool:
        """Whether the selector is a version, which never moves."""
        return re.fullmatch(r"v\d+", self.selector) is not None


def parse_ref(ref: str) -> Ref:
    """`NAME:ALIAS` or `NAME:vN`, or a RegistryError."""
    found = REFERENCE.fullmatch(ref)
    if not found:
        raise RegistryError(f"{ref!r} is no reference: write NAME:ALIAS or NAME:vN")
    return Ref(*found.groups())


def not_found(ref: str, place: object, versions: Sequence[str], aliases: Mapping[str, str]) -> VersionNotFound:
    """The error for a reference that `place` does not hold, saying what it holds instead."""
    name, selector = parsed = parse_ref(ref)
    standing = ", ".join(f"{alias} = {version}" for alias, version in sorted(aliases.items()))
    there = f"it holds none: run {MADE_BY.get(name, 'what publishes it')} first"
    if versions:
        there = f"there are versions {', '.join(versions)} and aliases {standing or 'none'}"
    if parsed.is_version:
        return VersionNotFound(f"{name} has no version {selector} in {place}; {there}")
    if selector == PRODUCTION:
        return NothingPromoted(
            f"no version of {name} in {place} is promoted yet: run `make pipeline`, or `make promote VERSION=vN "
            f'REASON="…"`; {there}'
        )
    return VersionNotFound(f"{name} has no alias {selector!r} in {place}; {there}")


def alias_moved(name: str, alias: str, standing: str | None, expected: str | None) -> AliasMoved:
    """The error for an alias that does not stand where it was expected."""
    return AliasMoved(
        f"{name}:{alias} is {standing or 'not set'}, not {expected or 'unset'} as it was before: "
        "somebody moved it meanwhile; look at its history and run this again"
    )


def digest_files(directory: Path) -> dict[str, str]:
    """Path inside `directory` (with forward slashes) → SHA-256, sorted by path."""
    paths = sorted(path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def digest_of(files: Mapping[str, str]) -> str:
    """One SHA-256 for a whole version, from `digest_files`."""
    return hashlib.sha256("".join(f"{sha}  {path}\n" for path, sha in sorted(files.items())).encode()).hexdigest()


def current_commit() -> str | None:
    """The checked-out commit, with `+changes` when files differ from it; None outside a git checkout."""
    command = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+changes"]
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return os.environ.get("GITHUB_SHA")


def current_user() -> str:
    """Who is doing this: the GitHub actor in a workflow, else the login name."""
    try:
        return os.environ.get("GITHUB_ACTOR") or getpass.getuser()
    except (OSError, KeyError):  # a container's numeric user has no name
        return f"uid {os.getuid()}"


def run_ref(run: Any) -> RunRef:
    """The reference to a W&B run, with the notebook that its job type names."""
    return RunRef(id=run.id, name=run.name, url=run.url, group=run.group or None, notebook=run.job_type or None)
