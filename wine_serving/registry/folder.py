"""A registry in a folder: no account, no server, safe for several processes at once.

ROOT/COLLECTION/vN/            exactly the published files
ROOT/COLLECTION/vN.json        the version's record; a version without one does not exist
ROOT/COLLECTION/aliases.json   alias → vN
ROOT/COLLECTION/history.json   every move of an alias
"""

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import EllipsisType
from typing import Any

from filelock import FileLock
from pydantic import TypeAdapter, ValidationError

from wine_serving.errors import RegistryError, VersionNotFound
from wine_serving.provenance import current_commit, current_user
from wine_serving.registry.files import (
    check_files,
    digest_of,
    files_to_publish,
    make_folder,
    write_whole,
)
from wine_serving.registry.promises import (
    LATEST,
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

_moves = TypeAdapter(list[AliasMove])
_alias_map = TypeAdapter(dict[str, str])


class FolderRegistry:
    """Versions under `root`. Writers take one lock a collection; readers need none, as every file is replaced whole."""

    def __init__(self, root: Path) -> None:
        self.root = root

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
        collection = self._collection(name)
        with tempfile.TemporaryDirectory(prefix=".staging-", dir=collection) as staging:
            copy = Path(staging) / "files"
            shutil.copytree(directory, copy)
            files = files_to_publish(copy, name)
            with self._lock(name):
                record = self._same_content(name, digest_of(files), metadata or {}) or self._commit(
                    copy,
                    Record(
                        collection=name,
                        version=f"v{self._next_number(name)}",
                        kind=kind,
                        digest=digest_of(files),
                        files=files,
                        created=datetime.now(UTC),
                        created_by=current_user(),
                        commit=current_commit(),
                        run=RunRef.of(run) if run is not None else None,
                        inputs=tuple(inputs),
                        metadata=dict(metadata or {}),
                    ),
                )
                self._move(name, dict.fromkeys((*aliases, LATEST), record.version), publish_reason(run), current_user())
        return record

    def record(self, ref: str) -> Record:
        name, selector = parsed = parse_ref(ref)
        version = selector if parsed.is_version else self.aliases(name).get(selector)
        if version is None:
            raise self._not_found(ref)
        path = self.root / name / f"{version}.json"
        try:
            return Record.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise self._not_found(f"{name}:{version}") from None
        except ValidationError as error:
            raise RegistryError(f"{path} is not a readable record: {error}") from None

    def fetch(self, ref: str, *, run: Any = None) -> Path:  # noqa: ARG002 - lineage here is in the records
        record = self.record(ref)
        directory = self.root / record.collection / record.version
        check_files(
            directory,
            record.files,
            f"the files in {directory} are not those published as {record.ref}: "
            "restore them from a copy, or publish again and use the new version",
        )
        return directory

    def cached(self, ref: str) -> tuple[Record, Path]:
        return self.record(ref), self.fetch(ref)  # a folder is its own copy

    def records(self, name: str) -> list[Record]:
        numbers = sorted(int(path.stem[1:]) for path in (self.root / name).glob("v*.json"))
        return [self.record(f"{name}:v{number}") for number in numbers]

    def aliases(self, name: str) -> dict[str, str]:
        try:
            return _alias_map.validate_json((self.root / name / "aliases.json").read_bytes())
        except FileNotFoundError:
            return {}

    def move_alias(
        self, name: str, alias: str, version: str, *, reason: str, by: str, expected: str | EllipsisType | None = ...
    ) -> None:
        self.record(f"{name}:{version}")
        with self._lock(name):
            standing = self.aliases(name).get(alias)
            if expected is not ... and standing != expected:
                raise alias_moved(name, alias, standing, expected)
            self._move(name, {alias: version}, reason, by)

    def history(self, name: str, alias: str = PRODUCTION) -> list[AliasMove]:
        return [move for move in self._history(name) if move.alias == alias]

    def attach_evaluation(self, ref: str, evaluation: Mapping[str, Any]) -> None:
        name = parse_ref(ref).name
        with self._lock(name):
            self._write_record(self.record(ref).model_copy(update={"evaluation": dict(evaluation)}))

    def adopt(self, record: Record, files: Path, inputs: Sequence[str]) -> Record:  # noqa: ARG002 - numbers are kept
        collection = self._collection(record.collection)
        with self._lock(record.collection), tempfile.TemporaryDirectory(prefix=".staging-", dir=collection) as staging:
            standing = (collection / f"{record.version}.json").exists() and self.record(record.ref)
            if standing and standing.digest != record.digest:
                raise RegistryError(f"{self.root} holds another {record.ref}: copy into an empty folder")
            copy = shutil.copytree(files, Path(staging) / "files")
            check_files(copy, record.files, f"the files in {files} are not those published as {record.ref}")
            return self._commit(copy, record)

    def adopt_moves(self, name: str, alias: str, moves: Sequence[AliasMove]) -> bool:
        with self._lock(name):
            history = self._history(name)
            news = [move for move in moves if move not in history]
            if news or (moves and self.aliases(name).get(alias) != moves[-1].version):
                self._write_moves(
                    name, sorted([*history, *news], key=lambda move: move.when), {alias: moves[-1].version}
                )
                return True
            return False

    def used_by(self, ref: str) -> list[str]:
        wanted = self.record(ref).ref
        names = sorted(path.name for path in self.root.iterdir() if path.is_dir())
        return [record.ref for name in names for record in self.records(name) if wanted in record.inputs]

    def close(self) -> None:
        pass  # a folder has none

    def _collection(self, name: str) -> Path:
        parse_ref(f"{name}:{LATEST}")
        return make_folder(self.root / name, "choose another WINE_REGISTRY")

    def _lock(self, name: str) -> FileLock:
        return FileLock(self._collection(name) / ".lock")

    def _same_content(self, name: str, digest: str, metadata: Mapping[str, Any]) -> Record | None:
        record = next((record for record in self.records(name) if record.digest == digest), None)
        if record and (search := larger_search(record.metadata, metadata)):
            record = record.model_copy(update={"metadata": record.metadata | search})
            self._write_record(record)
        return record

    def _next_number(self, name: str) -> int:
        """One above every number ever given, so that a deleted version's number is not used again."""
        given = [record.version for record in self.records(name)] + [move.version for move in self._history(name)]
        return 1 + max((int(version[1:]) for version in given), default=-1)

    def _commit(self, files: Path, record: Record) -> Record:
        target = self.root / record.collection / record.version
        shutil.rmtree(target, ignore_errors=True)  # left by a writer that died before its record was written
        files.rename(target)
        self._write_record(record)
        return record

    def _write_record(self, record: Record) -> None:
        write_whole(self.root / record.collection / f"{record.version}.json", record.model_dump_json(indent=1))

    def _move(self, name: str, moves: Mapping[str, str], reason: str, by: str) -> None:
        aliases, now = self.aliases(name), datetime.now(UTC)
        news = [
            AliasMove(alias=alias, version=version, previous=aliases.get(alias), when=now, by=by, reason=reason)
            for alias, version in moves.items()
            if aliases.get(alias) != version
        ]
        if news:
            self._write_moves(name, [*self._history(name), *news], moves)

    def _write_moves(self, name: str, history: list[AliasMove], moved: Mapping[str, str]) -> None:
        """The history first: a move without its reason must not exist."""
        aliases = {**self.aliases(name), **moved}
        write_whole(self.root / name / "history.json", _moves.dump_json(history, indent=1).decode())
        write_whole(self.root / name / "aliases.json", json.dumps(aliases, indent=1, sort_keys=True))

    def _history(self, name: str) -> list[AliasMove]:
        """The moves that happened: one written by a process that died before the alias moved does not count."""
        try:
            moves = _moves.validate_json((self.root / name / "history.json").read_bytes())
        except FileNotFoundError:
            return []
        aliases = self.aliases(name)
        last = {move.alias: move for move in moves}
        void = [move for move in last.values() if aliases.get(move.alias) != move.version]
        return [move for move in moves if move not in void]

    def _not_found(self, ref: str) -> VersionNotFound:
        name = parse_ref(ref).name
        return not_found(ref, self.root, [record.version for record in self.records(name)], self.aliases(name))
