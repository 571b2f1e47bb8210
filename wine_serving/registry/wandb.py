"""A registry in a W&B project: collections are artifact collections, versions are artifacts, aliases are W&B's own.

What a record holds beside W&B's own fields lies in the artifact's metadata under the key `registry`, together with
every move of an alias to this version; the card is the artifact's description. Metadata is no part of the digest.
"""

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from wine_serving.errors import DigestMismatch, RegistryError, RegistryUnavailable
from wine_serving.registry import (
    DATASET,
    EVALUATION,
    LATEST,
    MODEL,
    PRODUCTION,
    AliasMove,
    Record,
    RunRef,
    alias_moved,
    current_commit,
    current_user,
    digest_files,
    digest_of,
    not_found,
    parse_ref,
    run_ref,
)
from wine_serving.wandb_errors import NO_KEY, explain

if TYPE_CHECKING:  # importing wandb costs a second and 47 MB: only while it is used
    import wandb

BY_HAND: Final = "somebody in W&B"  # who moved an alias when nobody told this registry
KINDS: Final = {DATASET: "dataset", MODEL: "model", EVALUATION: "report"}
GIVEN_UP: Final = 3.0  # seconds until W&B's service process is killed, when it does not end after a failure
OURS: Final = "registry"  # the key of an artifact's metadata under which the record lies


class Entry(BaseModel):
    """What W&B does not keep of a version by itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str
    files: dict[str, str]
    created: datetime
    created_by: str
    commit: str | None
    run: RunRef | None
    inputs: tuple[str, ...]
    evaluation: dict[str, Any] | None = None
    moves: tuple[AliasMove, ...] = ()  # of aliases to this version
    synced_from: str | None = None  # what the version is called in the registry from which it came


class WandbRegistry:
    """Versions in the W&B project `place` (ENTITY/PROJECT); what was fetched is kept, by digest, in `cache`.

    With `link`, a version that becomes production is also linked into that collection of the organisation's registry.
    One answer of W&B may take `patience` seconds, a version's files a second more for each MB.
    """

    def __init__(self, place: str, cache: Path, link: str | None = None, patience: int = 5) -> None:
        self.place = place
        self._cache = cache / "wine-quality" / place  # W&B's own cache may lie beside it
        self._link = link
        self._patience = patience
        self._api: wandb.Api | None = None
        self._asked: dict[str, set[str]] = {}  # NAME:vN → the selectors that were resolved to it

    def __str__(self) -> str:
        return f"W&B project {self.place}"

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
        files = digest_files(directory)
        if not files:
            raise RegistryError(f"{directory} holds no file: there is nothing to publish as {name}")
        if run is not None:
            self._refuse_elsewhere(run)
        artifacts = self._artifacts(name)
        standing = _standing(artifacts)
        artifact = next((each for each in artifacts if _entry(each).digest == digest_of(files)), None)
        if artifact is None:
            with self._run(run) as tracked:
                entry = Entry(
                    digest=digest_of(files),
                    files=files,
                    created=datetime.now(UTC),
                    created_by=current_user(),
                    commit=current_commit(),
                    run=run_ref(tracked),
                    inputs=tuple(inputs),
                )
                artifact = self._log(tracked, directory, name, kind, dict(metadata or {}), entry)
        reason = f"published by {run.job_type}" if run is not None and run.job_type else "published"
        self._move(artifact, [*aliases, LATEST], standing, reason, current_user())
        return _record(artifact)

    def adopt(self, record: Record, directory: Path, inputs: Sequence[str]) -> Record:
        """Publish a version of another registry with its own time, author, commit, evaluation and, if W&B has it, run.

        `inputs` are the versions in this registry that correspond to the record's.
        """
        with self._run(resume=record.run.id if record.run else None) as tracked:
            entry = Entry(
                **record.model_dump(include={"digest", "files", "created", "created_by", "commit", "evaluation"}),
                run=run_ref(tracked),
                inputs=tuple(inputs),
                synced_from=record.ref,
            )
            artifact = self._log(tracked, directory, record.collection, record.kind, record.metadata, entry)
        return _record(artifact)

    def amend(
        self,
        ref: str,
        *,
        moves: Sequence[AliasMove] = (),
        evaluation: Mapping[str, Any] | None = None,
        aliases: Sequence[str] = (),
    ) -> bool:
        """Add moves that are not known here, the evaluation if there is none, and aliases; whether any was new."""
        artifact = self._artifact(ref)
        entry = _entry(artifact)
        known = {(move.alias, move.when) for move in entry.moves}
        news = [move for move in moves if (move.alias, move.when) not in known]
        if news or (evaluation and not entry.evaluation):
            self._note(artifact, moves=(*entry.moves, *news), evaluation=entry.evaluation or evaluation)
        missing = {*aliases} - {*artifact.aliases}
        if missing:
            self._point(artifact, missing)
        return bool(news or missing or (evaluation and not entry.evaluation))

    def record(self, ref: str) -> Record:
        return self._resolve(ref)[1]

    def fetch(self, ref: str, *, run: Any = None) -> Path:
        if run is not None:
            self._refuse_elsewhere(run)
        artifact, record = self._resolve(ref)
        if run is not None:
            with self._talking():
                run.use_artifact(f"{self.place}/{record.ref}")
        directory = self._cache / record.digest
        if digest_files(directory) != record.files:
            self._download(artifact, record, directory)
        for selector in self._asked[record.ref]:
            _write(self._cache / record.collection / f"{selector}.json", record.model_dump_json(indent=1))
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
            with self._talking():
                artifact.link(self._link, aliases=[PRODUCTION])
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
        artifact = self._artifact(ref)
        self._note(artifact, evaluation=dict(evaluation))

    def used_by(self, ref: str) -> list[str]:
        artifact, record = self._resolve(ref)
        with self._talking():
            made = [each for run in artifact.used_by() for each in run.logged_artifacts() if OURS in each.metadata]
        return sorted({_record(each).ref for each in made if record.ref in _record(each).inputs})

    def close(self) -> None:
        import wandb

        if self._api is not None and wandb.run is None:
            self._api = None
            wandb.teardown()

    @contextlib.contextmanager
    def _talking(self) -> Iterator["wandb.Api"]:
        """W&B's API; what goes wrong while talking to it becomes one sentence of our family."""
        import requests
        import wandb
        from wandb.sdk.lib import wbauth
        from wandb.sdk.lib.service.service_connection import WandbApiFailedError

        try:
            if self._api is None:
                host = wandb.setup().settings.base_url
                if not wbauth.authenticate_session(host=host, source=str(self), prompt=False, update_session=False):
                    raise RegistryError(NO_KEY)
                self._api = wandb.Api(timeout=self._patience)
            yield self._api
        except (wandb.Error, WandbApiFailedError, requests.RequestException, ValueError, TimeoutError) as error:
            _bound_teardown()
            raise explain(error, self.place) from error

    def _artifact(self, ref: str) -> "wandb.Artifact":
        """The artifact of a version that this project published."""
        from wandb.errors import CommError

        name = parse_ref(ref).name
        with self._talking() as api:
            artifact: wandb.Artifact | None = None
            try:
                artifact = api.artifact(f"{self.place}/{ref}")
            except CommError as error:
                if "artifact membership" not in str(error):
                    raise
        if artifact is None or OURS not in artifact.metadata:
            artifacts = self._artifacts(name)
            raise not_found(ref, self, [each.version for each in artifacts], _standing(artifacts))
        return artifact

    def _resolve(self, ref: str) -> tuple["wandb.Artifact", Record]:
        artifact = self._artifact(ref)
        record = _record(artifact)
        self._asked.setdefault(record.ref, {record.version}).add(parse_ref(ref).selector)
        return artifact, record

    def _artifacts(self, name: str) -> list["wandb.Artifact"]:
        """The versions of `name` that this project published, oldest first."""
        parse_ref(f"{name}:{LATEST}")
        with self._talking() as api:
            try:
                artifacts = list(api.artifacts(KINDS[name], f"{self.place}/{name}"))
            except ValueError as error:
                if "Unable to parse" not in str(error):
                    raise
                return []  # there is no such collection, or not even the project
        return sorted((each for each in artifacts if OURS in each.metadata), key=lambda each: int(each.version[1:]))

    def _refuse_elsewhere(self, run: Any) -> None:
        if run.offline or run.disabled or f"{run.entity}/{run.project}" != self.place:
            raise RegistryError(
                f"the run {run.entity}/{run.project}/{run.id} is {'offline' if run.offline else 'online'}, "
                f"but versions are in {self}: start it online, with the entity and project of WINE_REGISTRY"
            )

    @contextlib.contextmanager
    def _run(self, given: Any = None, resume: str | None = None) -> Iterator[Any]:
        """The run that publishes: the notebook's, the one with the id `resume` if W&B has it, or a short one."""
        import wandb

        if given is not None:
            yield given
            return
        entity, project = self.place.split("/")
        bound = self._patience
        settings = wandb.Settings(init_timeout=bound, finish_timeout=bound, silent=True, console="off")
        with self._talking():
            known = resume is not None and self._has_run(resume)
            run = wandb.init(
                entity=entity,
                project=project,
                id=resume if known else None,
                resume="must" if known else None,
                job_type=None if known else "publish",
                mode="online",
                reinit="create_new",
                settings=settings,
            )
        with run:
            yield run

    def _has_run(self, run_id: str) -> bool:
        with self._talking() as api:
            try:
                api.run(f"{self.place}/{run_id}")
            except ValueError as error:
                if "Could not find run" not in str(error):
                    raise
                return False
        return True

    def _log(
        self, run: Any, directory: Path, name: str, kind: str, metadata: dict[str, Any], entry: Entry
    ) -> "wandb.Artifact":
        """Log the files as an artifact of `run`, wait until W&B has them all, and tell it what they were made from."""
        import wandb

        card = next(iter(sorted(directory.glob("*_CARD.md"))), None)
        megabytes = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file()) / 1e6
        with self._talking():
            for ref in entry.inputs:
                run.use_artifact(f"{self.place}/{ref}")
            artifact = wandb.Artifact(
                name,
                kind,
                description=card.read_text(encoding="utf-8") if card else None,
                metadata=metadata | {OURS: entry.model_dump(mode="json")},
            )
            artifact.add_dir(str(directory))
            run.log_artifact(artifact)
            artifact.wait(timeout=round(self._patience + megabytes))
        return artifact

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
        self._point(artifact, aliases)

    def _point(self, artifact: "wandb.Artifact", aliases: Collection[str]) -> None:
        with self._talking():
            artifact.aliases = list({*artifact.aliases, *aliases})
            artifact.save()

    def _note(self, artifact: "wandb.Artifact", **changes: Any) -> None:
        """Change our part of the artifact's metadata."""
        entry = _entry(artifact).model_copy(update=changes)
        with self._talking():
            artifact.metadata = {**artifact.metadata, OURS: entry.model_dump(mode="json")}
            artifact.save()

    def _files(self, artifact: "wandb.Artifact", record: Record) -> list[Any]:
        """What is to be downloaded; VersionNotFound when the version was deleted since it was resolved."""
        try:
            return list(artifact.files())
        except AttributeError:  # the SDK's way to say so
            self._artifact(record.ref)
            raise

    def _download(self, artifact: "wandb.Artifact", record: Record, directory: Path) -> None:
        """Fetch the files to `directory`, which comes into being only when all of them are the published ones."""
        import requests

        _make(self._cache)
        with tempfile.TemporaryDirectory(prefix=".staging-", dir=self._cache) as staging, self._talking():
            deadline = time.monotonic() + self._patience + artifact.size / 1e6
            for file in self._files(artifact, record):
                target = Path(staging, "files", file.name).resolve()
                if not target.is_relative_to(Path(staging).resolve()):
                    raise DigestMismatch(f"{record.ref} in {self} holds a file outside of itself: {file.name}")
                target.parent.mkdir(parents=True, exist_ok=True)
                with requests.get(file.direct_url, stream=True, timeout=self._patience) as answer:
                    answer.raise_for_status()
                    with target.open("wb") as opened:
                        for chunk in answer.iter_content(1 << 20):
                            opened.write(chunk)
                            if time.monotonic() > deadline:
                                raise TimeoutError(f"{record.ref} was not here in time")
            if digest_files(Path(staging) / "files") != record.files:
                raise DigestMismatch(
                    f"the files that {self} sends are not those published as {record.ref}: "
                    "publish again and use the new version"
                )
            shutil.rmtree(directory, ignore_errors=True)
            (Path(staging) / "files").rename(directory)


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


def _write(path: Path, text: str) -> None:
    _make(path.parent)
    path.write_text(text, encoding="utf-8")


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RegistryError(f"{directory} cannot be made ({error.strerror}): it keeps what W&B sent") from None


def _bound_teardown() -> None:
    """Have W&B's service process killed where it does not end by itself.

    wandb 0.31 waits for its end without bound, and it never ends when the answer to a request that was given up meets a
    closed connection before the request to end is read.
    """
    import wandb

    connection = wandb.setup()._connection  # noqa: SLF001 - wandb offers no way to its process
    service = connection._proc if connection else None  # noqa: SLF001
    if service is None:  # none was started, or it belongs to another process
        return
    process = service._process  # noqa: SLF001

    def join() -> int:
        try:
            return process.wait(GIVEN_UP)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    service.join = join  # type: ignore[method-assign]
