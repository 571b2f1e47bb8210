"""A registry in a W&B project: collections are artifact collections, versions are artifacts, aliases are W&B's own.

What a record holds beside W&B's own fields lies in the artifact's metadata under the key `registry`, together with
every move of an alias to this version; the card is the artifact's description. Metadata is no part of the digest. W&B
replaces it as a whole: of two who change that of one version between the same two requests, one is forgotten.
"""

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from wine_serving.errors import AliasMoved, RegistryError, RegistryUnavailable, VersionNotFound
from wine_serving.registry import claims
from wine_serving.registry.files import check_files, digest_files, digest_of, filling, on_disk, one_writer, write_whole
from wine_serving.registry.promises import (
    BY_HAND,
    DATASET,
    EVALUATION,
    GRADES,
    LATEST,
    MODEL,
    PRODUCTION,
    AliasMove,
    Record,
    Registry,
    RunRef,
    check_aliases,
    not_found,
    parse_ref,
)
from wine_serving.registry.wandb_sdk import Project

if TYPE_CHECKING:
    import wandb

KINDS: Final = {DATASET: "dataset", MODEL: "model", EVALUATION: "report", GRADES: "dataset"}
OURS: Final = "registry"  # the key of an artifact's metadata under which the record lies
# What of a record lies there:
KEPT: Final = {"digest", "files", "created", "created_by", "commit", "run", "inputs", "evaluation", "monitoring"}

_log = logging.getLogger(__name__)


class Entry(BaseModel):
    """What W&B does not keep of a version by itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str
    files: dict[str, str]
    created: datetime
    created_by: str
    commit: str | None
    run: RunRef | None = None
    inputs: tuple[str, ...]
    evaluation: dict[str, Any] | None = None
    monitoring: dict[str, Any] | None = None
    moves: tuple[AliasMove, ...] = ()  # of aliases to this version
    pending: tuple[AliasMove, ...] = ()  # moves that are being made: they have happened where the alias is here
    synced_from: str | None = None  # what the version is called in the registry from which it came

    def as_data(self) -> dict[str, Any]:
        """As it lies in the metadata."""
        return self.model_dump(mode="json", exclude_defaults=True)


class WandbRegistry(Registry):
    """Versions in the W&B project `place` (ENTITY/PROJECT); what was fetched is kept, by digest, in `cache`.

    With `link`, a version that becomes production is also linked into that collection of the organisation's registry.
    One answer of W&B may take `patience` seconds.
    """

    def __init__(self, place: str, cache: Path, link: str | None = None, patience: int = 5) -> None:
        self.place = place
        self._project = Project(place, patience)
        self._cache = cache / "wine-quality" / place  # W&B's own cache may lie beside it
        self._link = link
        self._asked: dict[str, set[str]] = {}  # NAME:vN → the selectors that were resolved to it

    def __str__(self) -> str:
        return str(self._project)

    def record(self, ref: str) -> Record:
        return self._resolve(ref)[1]

    def fetch(self, ref: str, *, run: Any = None) -> Path:
        if run is not None:
            self._project.check_run(run)
        artifact, record = self._resolve(ref)
        if run is not None:
            with self._project.talking():
                run.use_artifact(f"{self.place}/{record.ref}")
        directory = self._cache / record.digest
        with one_writer(self._cache, "WANDB_CACHE_DIR"):
            if digest_of(digest_files(directory)) != record.digest:
                self._download(artifact, record, directory)
            kept = self._cache / record.collection
            kept.mkdir(exist_ok=True)
            for selector in self._asked[record.ref]:
                write_whole(kept / f"{selector}.json", record.model_dump_json(indent=1))
        return directory

    def cached(self, ref: str) -> tuple[Record, Path]:
        name, selector = parse_ref(ref)
        try:
            record = Record.model_validate_json((self._cache / name / f"{selector}.json").read_bytes())
        except (OSError, ValidationError):
            raise RegistryUnavailable(f"no verified copy of {ref} is kept in {self._cache}") from None
        directory = self._cache / record.digest
        with on_disk(directory, "WANDB_CACHE_DIR"):
            check_files(directory, record.digest, f"the copy of {record.ref} in {directory} was altered")
        return record, directory

    def records(self, name: str) -> list[Record]:
        return [_record(artifact) for artifact in self._artifacts(name)]

    def aliases(self, name: str) -> dict[str, str]:
        return _standing(self._artifacts(name))

    def history(self, name: str, alias: str = PRODUCTION) -> list[AliasMove]:
        artifacts = self._artifacts(name)
        every = [move for artifact in artifacts for move in _moves(artifact) if move.alias == alias]
        moves = sorted(every, key=lambda move: move.when)
        stands = next((artifact for artifact in artifacts if alias in artifact.aliases), None)
        last = moves[-1] if moves else None
        if stands is None or (last and last.version == stands.version):
            return moves
        by_hand = AliasMove(
            alias=alias,
            version=stands.version,
            previous=last.version if last else None,
            when=datetime.fromisoformat(stands.updated_at),
            by=BY_HAND,
            reason="moved in W&B, where no reason is kept",
        )
        return [*moves, by_hand]

    def attach_evaluation(self, ref: str, evaluation: Mapping[str, Any]) -> None:
        self._note(self._artifact(ref), evaluation=dict(evaluation))

    def attach_monitoring(self, ref: str, monitoring: Mapping[str, Any]) -> None:
        self._note(self._artifact(ref), monitoring=dict(monitoring))

    def adopt(self, record: Record, files: Path, inputs: Sequence[str]) -> Record:
        with on_disk(files, "folder"):
            check_files(files, record.digest, f"the files in {files} are not those published as {record.ref}")
        with self._project.run(resume=record.run.id if record.run else None) as run:
            return _record(self._log(files, record.model_copy(update={"inputs": tuple(inputs)}), run, record.ref))

    def adopt_moves(self, name: str, alias: str, moves: Sequence[AliasMove]) -> bool:
        check_aliases(name, [alias])
        artifacts = {version: self._artifact(f"{name}:{version}") for version in {move.version for move in moves}}
        changed = False
        for version, artifact in artifacts.items():
            known = _moves(artifact)
            there = {(move.alias, move.when) for move in known}
            news = [move for move in moves if move.version == version and (move.alias, move.when) not in there]
            if news:
                self._note(artifact, moves=(*known, *news), pending=())
                changed = True
        if moves and alias not in (stands := artifacts[moves[-1].version]).aliases:
            self._project.point(stands, [alias])
            changed = True
        return changed

    def used_by(self, ref: str) -> list[str]:
        artifact, record = self._resolve(ref)
        with self._project.talking():
            logged = [each for run in artifact.used_by() for each in run.logged_artifacts()]
        return sorted({made.ref for made in map(_record, filter(_is_ours, logged)) if record.ref in made.inputs})

    def close(self) -> None:
        self._project.close()

    def _artifact(self, ref: str) -> "wandb.Artifact":
        """The artifact of a version that this project published."""
        parse_ref(ref)
        artifact = self._project.find(ref)
        if artifact is None or OURS not in artifact.metadata:
            raise self._not_found(ref)
        _entry(artifact)
        return artifact

    def _not_found(self, ref: str) -> VersionNotFound:
        artifacts = self._artifacts(parse_ref(ref).name)
        return not_found(ref, self, [each.version for each in artifacts], _standing(artifacts))

    def _resolve(self, ref: str) -> tuple["wandb.Artifact", Record]:
        artifact = self._artifact(ref)
        record = _record(artifact)
        self._asked.setdefault(record.ref, {record.version}).add(parse_ref(ref).selector)
        return artifact, record

    def _artifacts(self, name: str) -> list["wandb.Artifact"]:
        """The versions of `name` that this project published, oldest first."""
        parse_ref(f"{name}:{LATEST}")
        ours = [each for each in self._project.artifacts(KINDS[name], name) if _is_ours(each)]
        return sorted(ours, key=lambda each: int(each.version[1:]))

    @contextlib.contextmanager
    def _publishing(self, name: str, run: Any) -> Iterator[None]:  # noqa: ARG002 - several may at once
        if run is not None:
            self._project.check_run(run)
        yield

    def _store(self, directory: Path, new: Record, run: Any) -> Record:
        with self._project.run() if run is None else contextlib.nullcontext(run) as maker:
            made = self._log(directory, new, maker)
        first = next((each for each in self.records(new.collection) if each.digest == new.digest), _record(made))
        if first.version != made.version:  # somebody published the same bytes meanwhile
            with self._project.talking():
                made.delete(delete_aliases=True)
        return first

    def _log(self, directory: Path, record: Record, run: Any, synced_from: str | None = None) -> "wandb.Artifact":
        """Log the files with what we keep beside them as an artifact of `run`; W&B moves `latest` to it at once."""
        ours = record.model_dump(include=KEPT) | {"run": RunRef.of(run), "synced_from": synced_from}
        metadata = record.metadata | {OURS: Entry.model_validate(ours).as_data()}
        return self._project.log(run, directory, record.collection, record.kind, metadata, record.inputs)

    def _describe(self, record: Record) -> None:
        self._project.describe(self._artifact(record.ref), record.metadata)

    @contextlib.contextmanager
    def _moving(self, name: str, alias: str, version: str) -> Iterator[Record]:
        artifact = self._artifact(f"{name}:{version}")
        with claims.claimed(self._project, artifact, alias):
            yield _record(artifact)
            if (stands := self.aliases(name).get(alias)) != artifact.version:
                raise AliasMoved(
                    f"{name}:{alias} is {stands or 'not set'} and did not move to {artifact.version}: "
                    "somebody moved it meanwhile, or W&B protects it; look at its history and run this again"
                )
            if self._link and (name, alias) == (MODEL, PRODUCTION):
                with self._project.talking():
                    artifact.link(self._link, aliases=[PRODUCTION])

    def _make(self, name: str, moves: Sequence[AliasMove]) -> None:
        """Move the aliases that stand where they stood, and keep from where, who, when and why in the metadata.

        The moves come first, as pending, and count while the alias is here; for good those are kept that stand here
        when they are read back. So no move is without its reason, and none is told that was only meant. At every upload
        W&B moves `latest` itself: there it is here already, or at a newer version, where it stays.
        """
        artifact = self._artifact(f"{name}:{moves[0].version}")
        self._note(artifact, moves=_moves(artifact), pending=tuple(moves))
        try:
            artifacts = self._project.artifacts(KINDS[name], name)
            ours = [each for each in artifacts if _is_ours(each)]
            for each in ours:  # what is left of who was stopped after a move: the alias is about to leave it
                if each.version != artifact.version and len(made := _moves(each)) > len(_entry(each).moves):
                    self._note(each, moves=made, pending=tuple({*_entry(each).pending} - {*made}))
            stands = _standing(ours) | {LATEST: _standing(artifacts).get(LATEST)}
            left = {move.alias for move in moves if stands.get(move.alias) in (move.previous, None)}
            self._project.point(artifact, left)
        finally:
            artifact = self._artifact(f"{name}:{moves[0].version}")
            self._note(artifact, moves=_moves(artifact), pending=())

    def _note(self, artifact: "wandb.Artifact", **changes: Any) -> None:
        """Change our part of the artifact's metadata."""
        entry = _entry(artifact).model_copy(update=changes)
        self._project.describe(artifact, {OURS: entry.as_data()})

    def _download(self, artifact: "wandb.Artifact", record: Record, directory: Path) -> None:
        sentence = f"the files that {self} sends are not those published as {record.ref}: "
        with filling(directory, record.digest, f"{sentence}publish again and use the new version") as files:
            if not self._project.download(artifact, files):
                raise self._not_found(record.ref)


def _entry(artifact: "wandb.Artifact") -> Entry:
    try:
        return Entry.model_validate(artifact.metadata[OURS])
    except ValidationError as error:
        raise RegistryError(
            f"W&B's metadata of {artifact.name} cannot be read ({error.errors(include_url=False)[0]['msg']}): "
            f"put back what was under {OURS!r}, or publish again and use the new version"
        ) from None


def _is_ours(artifact: "wandb.Artifact") -> bool:
    """Whether this project published the version; one that cannot be read does not hide the others."""
    try:
        return OURS in artifact.metadata and bool(_entry(artifact))
    except RegistryError as error:
        _log.warning("%s", error)
        return False


def _moves(artifact: "wandb.Artifact") -> tuple[AliasMove, ...]:
    """The moves of aliases to this version that have happened, also where who made them was stopped right after."""
    entry = _entry(artifact)
    return (*entry.moves, *(move for move in entry.pending if move.alias in artifact.aliases))


def _record(artifact: "wandb.Artifact") -> Record:
    name = artifact.name.split(":")[0]  # after it comes the alias by which it was found
    return Record(
        collection=name,
        version=artifact.version,
        origin=f"wandb:{artifact.entity}/{artifact.project}/{name}:{artifact.version}",
        kind=artifact.type,
        metadata={key: value for key, value in artifact.metadata.items() if key != OURS},
        **_entry(artifact).model_dump(include=KEPT),
    )


def _standing(artifacts: Sequence["wandb.Artifact"]) -> dict[str, str]:
    """Alias → `vN`."""
    standing = {alias: artifact.version for artifact in artifacts for alias in artifact.aliases}
    return {alias: version for alias, version in standing.items() if not alias.startswith(claims.BEGINNING)}
