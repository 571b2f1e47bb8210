"""Folder first, W&B later: push what was recorded offline and published in a folder to a W&B project, once."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from wine_serving.errors import RegistryUnavailable
from wine_serving.registry import DATASET, EVALUATION, LATEST, MODEL, AliasMove, Record, Registry
from wine_serving.registry_wandb import BY_HAND, WandbRegistry
from wine_serving.settings import ROOT

COLLECTIONS = (DATASET, MODEL, EVALUATION)


def synchronize(folder: Registry, project: WandbRegistry) -> Iterator[str]:
    """Push runs, versions, aliases, histories and evaluations that the project lacks; a line for each thing done.

    An alias that was moved in W&B since is left where it is.
    """
    last = {name: _last_moves(folder, project, name) for name in COLLECTIONS}  # asks W&B first: no key is said at once
    known = {record.digest: record.ref for name in COLLECTIONS for record in project.records(name)}
    yield from push_runs(project.place)
    there: dict[str, str] = {}  # a folder's version → the project's
    for record in sorted((each for name in COLLECTIONS for each in folder.records(name)), key=_age):
        if record.digest not in known:
            inputs = [there[each] for each in record.inputs if each in there]
            known[record.digest] = project.adopt(record, folder.fetch(record.ref), inputs).ref
            yield f"{record.ref} → {known[record.digest]}"
        there[record.ref] = known[record.digest]
        if record.evaluation and project.amend(there[record.ref], evaluation=record.evaluation):
            yield f"the evaluation of {record.ref} → {there[record.ref]}"
    for name in COLLECTIONS:
        for alias in folder.aliases(name):
            yield from _push_alias(folder, project, name, alias, there, last[name].get(alias))


def push_runs(place: str) -> Iterator[str]:
    """Upload the runs that were recorded offline and are not marked as synchronised."""
    entity, project = place.split("/")
    home = Path(os.environ.get("WANDB_DIR", ROOT / "artifacts")) / "wandb"
    runs = [path for path in sorted(home.glob("offline-run-*")) if not [*path.glob("*.wandb.synced")]]
    if not runs:
        return
    command = [sys.executable, "-m", "wandb", "sync", "--entity", entity, "--project", project, *map(str, runs)]
    ours = {"WANDB_MODE", "WANDB_SERVICE", "WANDB_SILENT"}  # what it does has to go online, and to be said
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    bound = 30 + 30 * len(runs)
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=bound, check=False)
    except subprocess.TimeoutExpired:
        raise RegistryUnavailable(f"W&B took too long to receive {len(runs)} runs of {home}: run this again") from None
    missing = [path.name for path in runs if not [*path.glob("*.wandb.synced")]]
    if missing:  # the command's exit code does not tell
        said = " ".join(line.partition("ERROR")[2].strip() for line in done.stderr.splitlines() if "ERROR" in line)
        raise RegistryUnavailable(f"W&B did not receive {', '.join(missing)} of {home} ({said}): run this again")
    yield f"{len(runs)} offline run{'s' * (len(runs) > 1)} → {place}"


def _age(record: Record) -> tuple[object, int]:
    return record.created, COLLECTIONS.index(record.collection)


def _last_moves(folder: Registry, project: WandbRegistry, name: str) -> dict[str, AliasMove]:
    """Alias → its last move in the project."""
    histories = {alias: project.history(name, alias) for alias in folder.aliases(name)}
    return {alias: history[-1] for alias, history in histories.items() if history}


def _push_alias(
    folder: Registry, project: WandbRegistry, name: str, alias: str, there: dict[str, str], last: AliasMove | None
) -> Iterator[str]:
    version = there[f"{name}:{folder.aliases(name)[alias]}"].split(":")[1]
    moves = [move for each in folder.history(name, alias) if (move := _translate(name, each, there))]
    by_hand = last is not None and last.by == BY_HAND and alias != LATEST  # W&B itself moves latest at every upload
    if last and (by_hand or (moves and last.when > moves[-1].when)):
        if last.version != version:
            yield f"{name}:{alias} stays on {last.version}: it was moved in W&B since"
        return
    for each in {move.version for move in moves} - {version}:
        project.amend(f"{name}:{each}", moves=[move for move in moves if move.version == each])
    here = [move for move in moves if move.version == version]
    if project.amend(f"{name}:{version}", moves=here, aliases=[alias]):
        yield f"{name}:{alias} → {version}"


def _translate(name: str, move: AliasMove, there: dict[str, str]) -> AliasMove | None:
    """A move with the project's numbers instead of the folder's; None when the version was deleted."""
    version, previous = there.get(f"{name}:{move.version}"), there.get(f"{name}:{move.previous}")
    if version is None:
        return None
    numbers = {"version": version.split(":")[1], "previous": previous.split(":")[1] if previous else None}
    return move.model_copy(update=numbers)
