"""Copies of versions: one way to bring them from a registry to another, whoever asks for it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from wine_serving.errors import NothingPromoted, RegistryError
from wine_serving.registry.files import on_disk, write_whole
from wine_serving.registry.folder import FolderRegistry
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
)
from wine_serving.registry.wandb import WandbRegistry
from wine_serving.registry.wandb_sdk import push_runs

COLLECTIONS: Final = (GRADES, DATASET, MODEL, EVALUATION)
RELEASE_FILE: Final = "release.json"


class Release(BaseModel):
    """What an exported registry is for: the model version that an image carries and is asked for its golden wines."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    version: str
    digest: str
    golden: str  # the file with the golden wines, relative to the folder


def copy(source: Registry, target: Registry, refs: Sequence[str] | None = None) -> Iterator[str]:
    """Bring versions (all, or those that `refs` name) with records, evaluations, aliases and histories to `target`.

    A line for each thing done. Content that is there already is not copied again; an alias that somebody moved in
    `target` since is left where it is, and one that stands in `source` on a version that is not copied stays behind.
    """
    records = [record for name in COLLECTIONS for record in source.records(name)]
    if refs is not None:
        wanted = {source.record(ref).ref for ref in refs}
        records = [record for record in records if record.ref in wanted]
    names = [name for name in COLLECTIONS if any(record.collection == name for record in records)]
    standing = {name: source.aliases(name) for name in names}
    last = {(name, alias): target.history(name, alias)[-1:] for name in names for alias in standing[name]}
    known = {record.digest: record for name in names for record in target.records(name)}
    there: dict[str, str] = {}  # a version of the source → the target's
    for record in sorted(records, key=_age):
        copied = known.get(record.digest)
        if copied is None:
            inputs = [there[each] for each in record.inputs if each in there]
            copied = known[record.digest] = target.adopt(record, source.fetch(record.ref), inputs)
            yield f"{record.ref} → {copied.ref}"
        if record.evaluation and not copied.evaluation:
            target.attach_evaluation(copied.ref, record.evaluation)
            yield f"the evaluation of {record.ref} → {copied.ref}"
        if record.monitoring and _looked(record) > _looked(copied):
            target.attach_monitoring(copied.ref, record.monitoring)
            yield f"the monitoring of {record.ref} → {copied.ref}"
        there[record.ref] = copied.ref
    for (name, alias), before in last.items():
        if f"{name}:{standing[name][alias]}" in there:
            moves = [moved for move in source.history(name, alias) if (moved := _translate(name, move, there))]
            yield from _copy_alias(target, name, alias, moves, before)


def export(registry: Registry, refs: Sequence[str], directory: Path, golden: str) -> str:
    """Copy versions into a folder registry in `directory` and write release.json for the first model; says which.

    `golden` is the file of a model's version that holds its golden wines.
    """
    records = [registry.record(ref) for ref in refs]
    for _ in copy(registry, FolderRegistry(directory), refs):
        pass
    for model in [record for record in records if record.collection == MODEL][:1]:
        path = f"{MODEL}/{model.version}/{golden}"
        release = Release(model=MODEL, version=model.version, digest=model.digest, golden=path)
        with on_disk(directory, "folder"):
            write_whole(directory / RELEASE_FILE, release.model_dump_json(indent=1) + "\n")
    return f"{', '.join(record.ref for record in records)} → {directory}"


def copy_production(registry: Registry, directory: Path) -> Iterator[str]:
    """Copy what is in production, and what it was made from, into a folder registry; a line for each thing done."""
    directory.mkdir(parents=True, exist_ok=True)
    try:
        record = registry.record(f"{MODEL}:{PRODUCTION}")
    except NothingPromoted:
        yield "nothing is in production"
    else:
        yield from copy(registry, FolderRegistry(directory), [record.ref, *record.inputs])


def synchronize(folder: Registry, project: Registry) -> Iterator[str]:
    """Push runs recorded offline and versions made in the folder to a W&B project; a line for each thing done."""
    if not isinstance(project, WandbRegistry):
        raise RegistryError("say where to: make sync WINE_REGISTRY=wandb:ENTITY/PROJECT")
    project.aliases(DATASET)  # asks W&B first: a key that is missing is said before anything is pushed
    done = False
    for lines in (push_runs(project.place), copy(folder, project)):
        for line in lines:
            done = True
            yield line
    if not done:
        yield f"{project} has it all already"


def _looked(record: Record) -> str:
    """When it was last looked whether the version does what it was promoted for, as UTC in ISO 8601."""
    return str((record.monitoring or {}).get("at", ""))


def _age(record: Record) -> tuple[object, int]:
    return record.created, COLLECTIONS.index(record.collection)


def _copy_alias(
    target: Registry, name: str, alias: str, moves: Sequence[AliasMove], before: Sequence[AliasMove]
) -> Iterator[str]:
    """Take the moves over, unless somebody moved the alias in `target` since; `before` is its last move there."""
    version = moves[-1].version
    for last in before:
        by_hand = last.by == BY_HAND and alias != LATEST  # W&B itself moves latest at every upload
        if by_hand or last.when > moves[-1].when:
            if last.version != version:
                yield f"{name}:{alias} stays on {last.version}: it was moved there since"
            return
    if target.adopt_moves(name, alias, moves):
        yield f"{name}:{alias} → {version}"


def _translate(name: str, move: AliasMove, there: dict[str, str]) -> AliasMove | None:
    """A move with the target's numbers instead of the source's; None when the version is not there."""
    version, previous = there.get(f"{name}:{move.version}"), there.get(f"{name}:{move.previous}")
    if version is None:
        return None
    numbers = {"version": version.split(":")[1], "previous": previous.split(":")[1] if previous else None}
    return move.model_copy(update=numbers)
