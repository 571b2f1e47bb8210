"""What every registry promises, whatever backend it has.

A *collection* holds numbered versions (`v0`, `v1`, …) of one thing; a *reference* names one of them, as `NAME:vN` or
`NAME:ALIAS`. Published bytes never change; aliases move, and every move is kept with who, when and why.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from types import EllipsisType
from typing import Any, Final, NamedTuple, Self

from pydantic import BaseModel, ConfigDict

from wine_serving.errors import AliasMoved, NothingPromoted, RegistryError, VersionNotFound
from wine_serving.provenance import current_commit, current_user
from wine_serving.registry.files import digest_of, files_to_publish

DATASET: Final = "wine-quality-data"
MODEL: Final = "wine-quality"
EVALUATION: Final = "wine-quality-evaluation"
GRADES: Final = "wine-quality-grades"
MADE_BY: Final = {
    DATASET: "01_data (make data)",
    MODEL: "03_training (make train)",
    EVALUATION: "04_evaluation (make evaluate)",
    GRADES: "make sample or make grades",
}

LATEST: Final = "latest"
PRODUCTION: Final = "production"
BY_HAND: Final = "somebody in W&B"  # who moved an alias when no registry was told

REFERENCE: Final = re.compile(r"([a-z0-9][\w.-]*):([\w.-]+)")


class RunRef(BaseModel):
    """The tracked run that made a version. `url` is None while the run is only recorded offline."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    name: str | None = None
    url: str | None = None
    group: str | None = None
    notebook: str | None = None

    @classmethod
    def of(cls, run: Any) -> Self:
        """The reference to a W&B run, with the notebook that its job type names."""
        return cls(id=run.id, name=run.name, url=run.url, group=run.group or None, notebook=run.job_type or None)


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
    evaluation: dict[str, Any] | None = None  # the newest verdict on this version; what became of this evaluation
    monitoring: dict[str, Any] | None = None  # what was found last of whether it still does what it was promoted for
    origin: str | None = None  # where in W&B it comes from: wandb:ENTITY/PROJECT/NAME:vN

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


class Registry(ABC):
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

        Content that is there already gives the existing version, unchanged, and only moves the aliases; only the trials
        of a larger search are noted. `run` is the W&B run that made it; `inputs` are the versions it was made from.
        """
        check_aliases(name, aliases)
        files = files_to_publish(directory, name)
        with self._publishing(name, run):
            before = self.aliases(name)
            record = next((each for each in self.records(name) if each.digest == digest_of(files)), None)
            if record is None:
                new = Record(
                    collection=name,
                    version="",
                    kind=kind,
                    digest=digest_of(files),
                    files=files,
                    created=datetime.now(UTC),
                    created_by=current_user(),
                    commit=current_commit(),
                    run=RunRef.of(run) if run is not None else None,
                    inputs=tuple(inputs),
                    metadata=dict(metadata or {}),
                )
                record = self._store(directory, new, run)
            elif search := larger_search(record.metadata, metadata or {}):
                record = record.model_copy(update={"metadata": record.metadata | search})
                self._describe(record)
            reason = f"published by {run.job_type}" if run is not None and run.job_type else "published"
            self._point(record, [*aliases, LATEST], before, reason, current_user())
        return record

    @abstractmethod
    def record(self, ref: str) -> Record:
        """The record of `NAME:vN` or `NAME:ALIAS`; VersionNotFound when there is none."""

    @abstractmethod
    def fetch(self, ref: str, *, run: Any = None) -> Path:
        """A directory with exactly the published bytes, to be read only; DigestMismatch when they were altered.

        `run`, where given, is the W&B run that uses the version.
        """

    def cached(self, ref: str) -> tuple[Record, Path]:
        """The version that `ref` was when it was last fetched on this machine, for the time when W&B is away.

        RegistryUnavailable when there is no such copy, DigestMismatch when it was altered.
        """
        return self.record(ref), self.fetch(ref)  # a folder is its own copy

    @abstractmethod
    def records(self, name: str) -> list[Record]:
        """All versions of `name`, oldest first; empty when there is no such collection."""

    @abstractmethod
    def aliases(self, name: str) -> dict[str, str]:
        """Alias → `vN`."""

    def move_alias(
        self, name: str, alias: str, version: str, *, reason: str, by: str, expected: str | EllipsisType | None = ...
    ) -> None:
        """Point `alias` at `version`.

        With `expected` given (`vN`, or None for "not set yet") AliasMoved is raised when the alias stands elsewhere.
        """
        check_aliases(name, [alias])
        with self._moving(name, alias, version) as record:
            before = self.aliases(name)
            if expected is not ... and before.get(alias) != expected:
                raise alias_moved(name, alias, before.get(alias), expected)
            self._point(record, [alias], before, reason, by)

    @abstractmethod
    def history(self, name: str, alias: str = PRODUCTION) -> list[AliasMove]:
        """Every move of `alias`, oldest first."""

    @abstractmethod
    def attach_evaluation(self, ref: str, evaluation: Mapping[str, Any]) -> None:
        """Keep `evaluation` as the newest verdict in the version's record."""

    @abstractmethod
    def attach_monitoring(self, ref: str, monitoring: Mapping[str, Any]) -> None:
        """Keep `monitoring` as the last answer on whether the version does what it was promoted for."""

    @abstractmethod
    def adopt(self, record: Record, files: Path, inputs: Sequence[str]) -> Record:
        """Take in a version of another registry with its own time, author, commit, run and evaluation.

        `inputs` are the versions here that correspond to the record's. A folder keeps the version's number and with it
        the record as it is; W&B gives the next one.
        """

    @abstractmethod
    def adopt_moves(self, name: str, alias: str, moves: Sequence[AliasMove]) -> bool:
        """Take in moves of another registry, oldest first, and let `alias` stand where the last one points.

        Whether there was anything new in them.
        """

    @abstractmethod
    def used_by(self, ref: str) -> list[str]:
        """The versions, as `NAME:vN`, that were made from this one."""

    def close(self) -> None:  # noqa: B027 - a folder has none
        """End helper processes; they start again when the registry is used again."""

    def _point(self, record: Record, aliases: Sequence[str], before: Mapping[str, str], reason: str, by: str) -> None:
        version, now = record.version, datetime.now(UTC)
        moves = [
            AliasMove(alias=alias, version=version, previous=before.get(alias), when=now, by=by, reason=reason)
            for alias in dict.fromkeys(aliases)
            if before.get(alias) != version
        ]
        if moves:
            self._make(record.collection, moves)

    @abstractmethod
    def _publishing(self, name: str, run: Any) -> AbstractContextManager[object]:
        """While `run` publishes a version of `name`."""

    @abstractmethod
    def _store(self, directory: Path, new: Record, run: Any) -> Record:
        """Keep the files and the record, under the next number."""

    @abstractmethod
    def _describe(self, record: Record) -> None:
        """Keep the metadata of a version that is there."""

    @abstractmethod
    def _moving(self, name: str, alias: str, version: str) -> AbstractContextManager[Record]:
        """While one alone moves `alias` to a version: its record."""

    @abstractmethod
    def _make(self, name: str, moves: Sequence[AliasMove]) -> None:
        """Move aliases to one version, and keep the moves."""


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


def check_aliases(name: str, aliases: Sequence[str]) -> None:
    """RegistryError for an alias that no reference could name, or that would pass for a version."""
    for alias in aliases:
        if parse_ref(f"{name}:{alias}").is_version:
            raise RegistryError(f"{alias!r} cannot be an alias of {name}: versions are called so; choose another name")


def not_found(ref: str, place: object, versions: Sequence[str], aliases: Mapping[str, str]) -> VersionNotFound:
    """The error for a reference that `place` does not hold, saying what it holds instead."""
    name, selector = parsed = parse_ref(ref)
    standing = ", ".join(f"{alias} = {version}" for alias, version in sorted(aliases.items()))
    there = f"it holds none: run {MADE_BY.get(name, 'what publishes it')} first"
    if versions:
        there = f"there are versions {', '.join(versions)} and aliases {standing or 'none'}"
    if parsed.is_version:
        return VersionNotFound(f"{name} has no version {selector} in {place}; {there}")
    if selector == PRODUCTION and PRODUCTION in aliases:
        return NothingPromoted(
            f"{aliases[PRODUCTION]}, which is {PRODUCTION}, has no record in {place}: restore it from a copy, "
            f"or run `make rollback`; {there}"
        )
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


def larger_search(standing: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What is to be changed in a version's metadata when its content comes again from a search of more trials.

    >>> larger_search({"search": {"trials": 5}}, {"search": {"trials": 20}})
    {'search': {'trials': 20}}
    >>> larger_search({"search": {"trials": 20}}, {})
    {}
    """
    trials = [int(metadata.get("search", {}).get("trials", 1)) for metadata in (standing, given)]
    return {"search": given["search"]} if trials[1] > trials[0] else {}
