"""A registry in a folder: no account, no server, safe for several processes at once.

ROOT/COLLECTION/vN/            exactly the published files
ROOT/COLLECTION/vN.json        the version's record; a version without one does not exist
ROOT/COLLECTION/aliases.json   alias → vN
ROOT/COLLECTION/history.json   every move of an alias
"""

import contextlib
import json
import logging
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import StringConstraints, TypeAdapter

from wine_serving.errors import RegistryError, VersionNotFound
from wine_serving.registry.files import check_files, filling, on_disk, one_writer, read_json, remove, write_whole
from wine_serving.registry.promises import (
    LATEST,
    PRODUCTION,
    AliasMove,
    Record,
    Registry,
    check_aliases,
    not_found,
    parse_ref,
)

_record = TypeAdapter(Record)
_moves = TypeAdapter(list[AliasMove])
_alias_map = TypeAdapter(dict[str, Annotated[str, StringConstraints(pattern=r"^v\d+$")]])
ANEW: Final = "or remove aliases.json too and set the aliases anew"
_VERSION: Final = re.compile(r"v(\d+)")

_log = logging.getLogger(__name__)


class FolderRegistry(Registry):
    """Versions under `root`. Writers take one lock a collection; readers need none, as every file is replaced whole."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def record(self, ref: str) -> Record:
        name, selector = parsed = parse_ref(ref)
        version = selector if parsed.is_version else self.aliases(name).get(selector)
        if version is None:
            raise self._not_found(ref)
        path = self.root / name / f"{version}.json"
        remedy = "restore it from a copy; without it this version does not exist"
        record = read_json(path, _record, remedy)
        if record is None:
            raise self._not_found(f"{name}:{version}")
        if record.ref != f"{name}:{version}":
            raise RegistryError(f"{path} is the record of {record.ref}: {remedy}")
        return record

    def fetch(self, ref: str, *, run: Any = None) -> Path:  # noqa: ARG002 - lineage here is in the records
        record = self.record(ref)
        directory = self.root / record.collection / record.version
        with on_disk(directory):
            check_files(
                directory,
                record.digest,
                f"the files in {directory} are not those published as {record.ref}: "
                "restore them from a copy, or publish again and use the new version",
            )
        return directory

    def records(self, name: str) -> list[Record]:
        found = []
        for number in sorted(self._recorded(name)):
            try:
                found.append(self.record(f"{name}:v{number}"))
            except RegistryError as error:  # one that cannot be read does not hide the others
                _log.warning("%s", error)
        return found

    def aliases(self, name: str) -> dict[str, str]:
        there = {f"v{number}" for number in self._recorded(name)}
        return {alias: version for alias, version in self._standing(name).items() if version in there}

    def history(self, name: str, alias: str = PRODUCTION) -> list[AliasMove]:
        return [move for move in self._history(name) if move.alias == alias]

    def attach_evaluation(self, ref: str, evaluation: Mapping[str, Any]) -> None:
        name = parse_ref(ref).name
        with self._writing(name):
            self._describe(self.record(ref).model_copy(update={"evaluation": dict(evaluation)}))

    def attach_monitoring(self, ref: str, monitoring: Mapping[str, Any]) -> None:
        name = parse_ref(ref).name
        with self._writing(name):
            self._describe(self.record(ref).model_copy(update={"monitoring": dict(monitoring)}))

    def adopt(self, record: Record, files: Path, inputs: Sequence[str]) -> Record:  # noqa: ARG002 - numbers are kept
        with self._writing(record.collection) as collection:
            standing = (collection / f"{record.version}.json").exists() and self.record(record.ref)
            if standing and standing.digest != record.digest:
                raise RegistryError(f"{self.root} holds another {record.ref}: copy into an empty folder")
            return self._commit(files, record)

    def adopt_moves(self, name: str, alias: str, moves: Sequence[AliasMove]) -> bool:
        check_aliases(name, [alias])
        with self._writing(name):
            history = self._history(name)
            news = [move for move in moves if move not in history]
            if news or (moves and self._standing(name).get(alias) != moves[-1].version):
                history = sorted([*history, *news], key=lambda move: move.when)
                self._write_moves(name, history, {alias: moves[-1].version})
                return True
            return False

    def used_by(self, ref: str) -> list[str]:
        wanted = self.record(ref).ref
        with on_disk(self.root):
            names = sorted(path.name for path in self.root.iterdir() if path.is_dir())
        return [record.ref for name in names for record in self.records(name) if wanted in record.inputs]

    @contextlib.contextmanager
    def _writing(self, name: str) -> Iterator[Path]:
        """The folder of a collection, for one writer at a time; what killed ones left there is cleared first."""
        parse_ref(f"{name}:{LATEST}")
        collection = self.root / name
        with one_writer(collection):
            given = {f"v{number}" for number in self._numbers(name)}
            for half in (path for path in collection.glob("v*") if path.is_dir() and path.name not in given):
                remove(half)
            yield collection

    def _publishing(self, name: str, run: Any) -> contextlib.AbstractContextManager[object]:  # noqa: ARG002 - any run may
        return self._writing(name)

    def _store(self, directory: Path, new: Record, run: Any) -> Record:  # noqa: ARG002 - the record names it
        version = f"v{1 + max(self._numbers(new.collection), default=-1)}"
        return self._commit(directory, new.model_copy(update={"version": version}))

    def _describe(self, record: Record) -> None:
        write_whole(self.root / record.collection / f"{record.version}.json", record.model_dump_json(indent=1))

    @contextlib.contextmanager
    def _moving(self, name: str, alias: str, version: str) -> Iterator[Record]:  # noqa: ARG002 - one lock is for all
        with self._writing(name):
            yield self.record(f"{name}:{version}")

    def _make(self, name: str, moves: Sequence[AliasMove]) -> None:
        standing = self._standing(name)  # also what was deleted since
        news = [move.model_copy(update={"previous": standing.get(move.alias)}) for move in moves]
        self._write_moves(name, [*self._history(name), *news], {move.alias: move.version for move in moves})

    def _recorded(self, name: str) -> set[int]:
        """The numbers of the versions that have a record, readable or not."""
        with on_disk(self.root):
            paths = [*(self.root / name).glob("v*.json")]
        return {int(found[1]) for path in paths if (found := _VERSION.fullmatch(path.stem))}

    def _numbers(self, name: str) -> set[int]:
        """Every number ever given: that of a deleted version is not used again."""
        return self._recorded(name) | {int(move.version[1:]) for move in self._history(name)}

    def _commit(self, files: Path, record: Record) -> Record:
        """Copy the files, then write the record: only then does the version exist."""
        directory = self.root / record.collection / record.version
        sentence = f"the files in {files} are not those published as {record.ref}, or are being changed: run this again"
        with filling(directory, record.digest, sentence) as copy:
            for path in record.files:
                (copy / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(files / path, copy / path)
        self._describe(record)
        return record

    def _write_moves(self, name: str, history: list[AliasMove], moved: Mapping[str, str]) -> None:
        """The history first: a move without its reason must not exist."""
        aliases = {**self._standing(name), **moved}
        write_whole(self.root / name / "history.json", _moves.dump_json(history, indent=1).decode())
        write_whole(self.root / name / "aliases.json", json.dumps(aliases, indent=1, sort_keys=True))

    def _history(self, name: str) -> list[AliasMove]:
        """The moves that happened: one written by a process that died before the alias moved does not count."""
        standing = self._standing(name)
        moves = self._written(name)
        if standing and not moves:
            raise RegistryError(f"{self.root / name / 'history.json'} is missing: restore it from a copy, {ANEW}")
        last = {move.alias: move for move in moves}
        void = [move for move in last.values() if standing.get(move.alias) != move.version]
        return [move for move in moves if move not in void]

    def _written(self, name: str) -> list[AliasMove]:
        return read_json(self.root / name / "history.json", _moves, f"restore it from a copy, {ANEW}") or []

    def _standing(self, name: str) -> dict[str, str]:
        """Alias → `vN`, that of a deleted version included; where aliases.json is missing, as the moves left it."""
        remedy = "remove it, and the aliases stand where history.json left them"
        standing = read_json(self.root / name / "aliases.json", _alias_map, remedy)
        if standing is None:
            standing = {move.alias: move.version for move in self._written(name)}
        return standing

    def _not_found(self, ref: str) -> VersionNotFound:
        name = parse_ref(ref).name
        return not_found(ref, self.root, [record.version for record in self.records(name)], self._standing(name))
