"""Commands for the registry: `python -m wine_serving promote`, `rollback`, `history`, `export` and `sync`."""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from wine_serving.bundle import Bundle
from wine_serving.errors import RegistryError, WineServingError
from wine_serving.registry import MODEL, PRODUCTION, AliasMove, Record, Registry, current_user, open_registry
from wine_serving.registry_folder import FolderRegistry
from wine_serving.registry_wandb import WandbRegistry
from wine_serving.settings import Settings
from wine_serving.sync import synchronize


def promote(registry: Registry, version: str, reason: str) -> str:
    """Point `production` at `version` once its bundle has loaded and answered its golden wines; says what was done."""
    if not reason.strip():
        raise RegistryError('a promotion by hand needs a reason: make promote VERSION=vN REASON="…"')
    record = registry.record(f"{MODEL}:{version}")
    standing = registry.aliases(MODEL).get(PRODUCTION)
    if standing == record.version:
        return f"{record.ref} is {PRODUCTION} already"
    Bundle.load(registry.fetch(record.ref)).check_golden()
    registry.move_alias(MODEL, PRODUCTION, record.version, reason=reason, by=current_user(), expected=standing)
    return f"{PRODUCTION}: {standing or 'nothing'} → {record.ref} ({reason})"


def rollback(registry: Registry, reason: str) -> str:
    """Point `production` back at the version that stood before; says what was done."""
    standing = registry.aliases(MODEL).get(PRODUCTION)
    history = registry.history(MODEL)
    if standing is None or history[-1].previous is None:
        raise RegistryError(
            f"there is nothing to roll back to: {PRODUCTION} was never moved from one version to another"
        )
    return promote(registry, history[-1].previous, reason or f"rollback from {standing}")


def show_history(registry: Registry) -> str:
    """Every move of `production`, oldest first."""
    moves = [
        f"{move.when:%Y-%m-%d %H:%M} UTC  {move.previous or 'nothing'} → {move.version}  by {move.by}: {move.reason}"
        for move in registry.history(MODEL)
    ]
    return "\n".join(moves) or f"{PRODUCTION} was never set"


def export(registry: Registry, refs: list[str], directory: Path) -> str:
    """Copy versions, each with its record and aliases, into a folder registry in `directory`; says which.

    The first of them is what is released from there: release.json says so to whoever comes after.
    """
    copies = FolderRegistry(directory)
    records = [registry.record(ref) for ref in refs]
    for record in records:
        copies.adopt(record, registry.fetch(record.ref), last_moves(registry, record))
        copies.fetch(record.ref)
    first = records[0]
    release = {"model": first.collection, "version": first.version, "digest": first.digest}
    (directory / "release.json").write_text(json.dumps(release, indent=2) + "\n", encoding="utf-8")
    return f"{', '.join(record.ref for record in records)} → {directory}"


def last_moves(registry: Registry, record: Record) -> list[AliasMove]:
    """Who pointed each alias of a version at it, when and why."""
    aliases = registry.aliases(record.collection)
    standing = [alias for alias, version in aliases.items() if version == record.version]
    return [registry.history(record.collection, alias)[-1] for alias in standing]


def sync(folder: str, project: Registry) -> Iterator[str]:
    """Push runs and versions of the folder to a W&B project; a line for each, with what it is called there."""
    if not isinstance(project, WandbRegistry):
        raise RegistryError("say where to: make sync WINE_REGISTRY=wandb:ENTITY/PROJECT")
    done = False
    for line in synchronize(open_registry(f"folder:{folder}"), project):
        done = True
        yield line
    if not done:
        yield f"{project} has it all already"


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 when it was done, 1 with a sentence on stderr when not."""
    parser = argparse.ArgumentParser(prog="python -m wine_serving", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    by_hand = commands.add_parser("promote", help="point production at a version")
    by_hand.add_argument("version", help="vN, or an alias such as candidate")
    by_hand.add_argument("--reason", required=True, help="kept in the history")
    back = commands.add_parser("rollback", help="point production at the version before")
    back.add_argument("--reason", default="", help="kept in the history")
    commands.add_parser("history", help="who moved production, when and why")
    copy = commands.add_parser("export", help="copy versions into a folder registry, such as the API image carries")
    copy.add_argument("directory", type=Path)
    copy.add_argument("ref", nargs="+", help="NAME:ALIAS or NAME:vN")
    push = commands.add_parser("sync", help="push what was made in the folder to the W&B project of WINE_REGISTRY")
    push.add_argument("--folder", default="artifacts/registry", help="the folder, relative to the repository")
    given = parser.parse_args(arguments)
    try:
        registry = open_registry(Settings.from_environment().registry)
        match given.command:
            case "promote":
                print(promote(registry, given.version, given.reason))
            case "rollback":
                print(rollback(registry, given.reason))
            case "export":
                print(export(registry, given.ref, given.directory))
            case "sync":
                for line in sync(given.folder, registry):
                    print(line, flush=True)
            case _:
                print(show_history(registry))
    except WineServingError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
