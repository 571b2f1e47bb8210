"""A registry in a W&B project: collections are artifact collections, versions are artifacts, aliases are W&B's own.

What a record holds beside W&B's own fields lies in the artifact's metadata under the key `registry`, together with
every move of an alias to this version; the card is the artifact's description. Metadata is no part of the digest.
"""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from wine_serving.errors import RegistryUnavailable, VersionNotFound
from wine_serving.provenance import current_commit, current_user
from wine_serving.registry.files import (
    check_files,
    digest_files,
    digest_of,
    files_to_publish,
    make_folder,
    write_whole,
)
from wine_serving.registry.promises import (
    BY_HAND,
    DATASET,
    EVALUATION,
    LATEST,
    MODEL,
    PRODUCTION,
    AliasMove,
    Record,
    RunRef,
    alias_moved,
    larger_search,
    not_found,
    parse_ref,
    publish_reason,
)
from wine_serving.registry.wandb_sdk import Project

if TYPE_CHECKING:
    import wandb

KINDS: Final = {DATASET: "dataset", MODEL: "model", EVALUATION: "report"}
OURS: Final = "registry"  # the key of an artifact's metadata under which the record lies


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
    moves: tuple[AliasMove, ...] = ()  # of aliases to this version
    synced_from: str | None = None  # what the version is called in the registry from which it came


class WandbRegistry:
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
        files = files_to_publish(directory, name)
        if run is not None:
            self._project.check_run(run)
        artifacts = self._artifacts(name)
        artifact = next((each for each in artifacts if _entry(each).digest == digest_of(files)), None)
        if artifact is None:
            entry = Entry(
                digest=digest_of(files),
                files=files,
                created=datetime.now(UTC),
                created_by=current_user(),
                commit=current_commit(),
                inputs=tuple(inputs),
            )
            if run is not None:
                artifact = self._log(run, directory, name, kind, metadata or {}, entry)
            else:
                with self._project.run() as short:
                    artifact = self._log(short, directory, name, kind, metadata or {}, entry)
        elif search := larger_search(artifact.metadata, metadata or {}):
            self._project.describe(artifact, search)
        self._move(artifact, [*aliases, LATEST], _standing(artifacts), publish_reason(run), current_user())
        return _record(artifact)

    def record(self, ref: str) -> Record:
        return self._resolve(ref)[1]

    def fetch(self, ref: str, *, run: Any = None) -> Path:
        if run is not None:
            self._project.check_run(run)
        artifact, record = self._resolve(ref)
        if run is not None:
            self._project.use(run, record.ref)
        directory = self._cache / record.digest
        if digest_files(directory) != record.files:
            self._download(artifact, record, directory)
        for selector in self._asked[record.ref]:
            write_whole(self._kept(record.collection) / f"{selector}.json", record.model_dump_json(indent=1))
        return directory

    def cached(self, ref: str) -> tuple[Record, Path]:
        name, selector = parse_ref(ref)
        try:
            record = Record.model_validate_json((self._cache / name / f"{selector}.json").read_bytes())
        except (OSError, ValidationError):
            raise RegistryUnavailable(f"no verified copy of {ref} is kept in {self._cache}") from None
        directory = self._cache / record.digest
        if digest_files(directory) != record.files:
            raise RegistryUnavailable(f"the copy of {record.ref} in {directory} was altered")
        return record, directory

    def records(self, name: str) -> list[Record]:
        return [_record(artifact) for artifact in self._artifacts(name)]

    def aliases(self, name: str) -> dict[str, str]:
        return _standing(self._artifacts(name))

    def move_alias(
        self, name: str, alias: str, version: str, *, reason: str, by: str, expected: str | EllipsisType | None = ...
    ) -> None:
        artifact = self._artifact(f"{name}:{version}")
        standing = self.aliases(name)
        if expected is not ... and standing.get(alias) != expected:
            raise alias_moved(name, alias, standing.get(alias), expected)
        if self._link and (name, alias) == (MODEL, PRODUCTION):
            self._project.link(artifact, self._link, PRODUCTION)
        self._move(artifact, [alias], standing, reason, by, expected)

    def history(self, name: str, alias: str = PRODUCTION) -> list[AliasMove]:
        artifacts = self._artifacts(name)
        every = [move for artifact in artifacts for move in _entry(artifact).moves if move.alias == alias]
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

    def adopt(self, record: Record, files: Path, inputs: Sequence[str]) -> Record:
        check_files(files, record.files, f"the files in {files} are not those published as {record.ref}")
        entry = Entry(
            **record.model_dump(include={"digest", "files", "created", "created_by", "commit", "evaluation"}),
            inputs=tuple(inputs),
            synced_from=record.ref,
        )
        with self._project.run(resume=record.run.id if record.run else None) as run:
            return _record(self._log(run, files, record.collection, record.kind, record.metadata, entry))

    def adopt_moves(self, name: str, alias: str, moves: Sequence[AliasMove]) -> bool:
        artifacts = {version: self._artifact(f"{name}:{version}") for version in {move.version for move in moves}}
        changed = False
        for version, artifact in artifacts.items():
            known = _entry(artifact).moves
            there = {(move.alias, move.when) for move in known}
            news = [move for move in moves if move.version == version and (move.alias, move.when) not in there]
            if news:
                self._note(artifact, moves=(*known, *news))
                changed = True
        if moves and alias not in (stands := artifacts[moves[-1].version]).aliases:
            self._project.point(stands, [alias])
            changed = True
        return changed

    def used_by(self, ref: str) -> list[str]:
        artifact, record = self._resolve(ref)
        made = [_record(each) for each in self._project.made_from(artifact) if OURS in each.metadata]
        return sorted({each.ref for each in made if record.ref in each.inputs})

    def close(self) -> None:
        self._project.close()

    def _artifact(self, ref: str) -> "wandb.Artifact":
        """The artifact of a version that this project published."""
        parse_ref(ref)
        artifact = self._project.find(ref)
        if artifact is None or OURS not in artifact.metadata:
            raise self._not_found(ref)
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
        ours = [each for each in self._project.artifacts(KINDS[name], name) if OURS in each.metadata]
        return sorted(ours, key=lambda each: int(each.version[1:]))

    def _log(
        self, run: Any, directory: Path, name: str, kind: str, metadata: Mapping[str, Any], entry: Entry
    ) -> "wandb.Artifact":
        """Log the files with what we keep beside them as an artifact of `run`."""
        entry = entry.model_copy(update={"run": RunRef.of(run)})
        noted = {**metadata, OURS: entry.model_dump(mode="json")}
        return self._project.log(run, directory, name, kind, noted, entry.inputs)

    def _move(
        self,
        artifact: "wandb.Artifact",
        aliases: Sequence[str],
        standing: Mapping[str, str],
        reason: str,
        by: str,
        expected: str | EllipsisType | None = ...,
    ) -> None:
        """Point `aliases` at `artifact`, and keep from where, who, when and why in its metadata.

        The history comes first: a move without its reason must not exist. W&B cannot compare and swap; a last look
        before the alias moves leaves others only the time of one request to come in between.
        """
        collection, version = artifact.name.split(":")[0], artifact.version
        news = [
            AliasMove(
                alias=alias, version=version, previous=standing.get(alias), when=datetime.now(UTC), by=by, reason=reason
            )
            for alias in dict.fromkeys(aliases)
            if standing.get(alias) != version
        ]
        if not news:
            return
        before = _entry(artifact).moves
        self._note(artifact, moves=(*before, *news))
        if expected is not ... and (stands := self.aliases(collection).get(aliases[0])) != expected:
            self._note(artifact, moves=before)
            raise alias_moved(collection, aliases[0], stands, expected)
        self._project.point(artifact, aliases)

    def _note(self, artifact: "wandb.Artifact", **changes: Any) -> None:
        """Change our part of the artifact's metadata."""
        entry = _entry(artifact).model_copy(update=changes)
        self._project.describe(artifact, {OURS: entry.model_dump(mode="json")})

    def _download(self, artifact: "wandb.Artifact", record: Record, directory: Path) -> None:
        """Fetch the files to `directory`, which comes into being only when all of them are the published ones."""
        with tempfile.TemporaryDirectory(prefix=".staging-", dir=self._kept()) as staging:
            files = Path(staging) / "files"
            if not self._project.download(artifact, files):
                raise self._not_found(record.ref)
            check_files(
                files,
                record.files,
                f"the files that {self} sends are not those published as {record.ref}: "
                "publish again and use the new version",
            )
            shutil.rmtree(directory, ignore_errors=True)
            files.rename(directory)

    def _kept(self, name: str = "") -> Path:
        """The folder that keeps what W&B sent: of one collection, or of all."""
        return make_folder(self._cache / name, "choose another WANDB_CACHE_DIR")


def _entry(artifact: "wandb.Artifact") -> Entry:
    return Entry.model_validate(artifact.metadata[OURS])


def _record(artifact: "wandb.Artifact") -> Record:
    return Record(
        collection=artifact.name.split(":")[0],  # after it comes the alias by which it was found
        version=artifact.version,
        kind=artifact.type,
        metadata={key: value for key, value in artifact.metadata.items() if key != OURS},
        **_entry(artifact).model_dump(exclude={"moves", "synced_from"}),
    )


def _standing(artifacts: Sequence["wandb.Artifact"]) -> dict[str, str]:
    """Alias → `vN`."""
    return {alias: artifact.version for artifact in artifacts for alias in artifact.aliases}
