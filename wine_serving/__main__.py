"""Commands for the registry: `python -m wine_serving COMMAND`, as `--help` lists them."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from wine_serving import promotion
from wine_serving.bundle import REFERENCE_FILE
from wine_serving.errors import ScoringError, WineServingError
from wine_serving.machine import replace_what_cannot_be_shown
from wine_serving.registry import MODEL, PRODUCTION, Registry, open_registry
from wine_serving.registry.copies import copy, copy_production, export, synchronize
from wine_serving.settings import Settings


def show_history(registry: Registry) -> str:
    """Every move of `production`, oldest first."""
    moves = [
        f"{move.when:%Y-%m-%d %H:%M} UTC  {move.previous or 'nothing'} → {move.version}  by {move.by}: {move.reason}"
        for move in registry.history(MODEL)
    ]
    return "\n".join(moves) or f"{PRODUCTION} was never set"


def score(registry: Registry, given: argparse.Namespace) -> Iterator[str]:
    """Score a table in bulk, which needs packages that nothing else does."""
    try:
        from wine_serving import batch
    except ModuleNotFoundError as missing:
        raise ScoringError(
            f"{missing.name} is not installed: `make score` installs what scoring in bulk needs"
        ) from None
    scheduler = Settings.from_environment().dask_scheduler
    yield from batch.score(registry, given.input, given.output, given.model or f"{MODEL}:{PRODUCTION}", scheduler)


def carry_out(given: argparse.Namespace, registry: Registry) -> Iterator[str]:
    """Do what the command says; a line for each thing done."""
    match given.command:
        case "promote":
            yield promotion.by_hand(registry, given.version, given.reason)
        case "rollback":
            yield promotion.back(registry, given.reason)
        case "copy":
            yield from copy(registry, open_registry(given.target), given.ref or None)
        case "sync":
            yield from synchronize(open_registry(f"folder:{given.folder}"), registry)
        case "export":
            yield export(registry, given.ref, given.directory, REFERENCE_FILE)
        case "score":
            yield from score(registry, given)
        case "production":
            yield from copy_production(registry, given.directory)
        case _:
            yield show_history(registry)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 when it was done, 1 with a sentence on stderr when not."""
    replace_what_cannot_be_shown()
    parser = argparse.ArgumentParser(prog="python -m wine_serving", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    by_hand = commands.add_parser("promote", help="point production at a version")
    by_hand.add_argument("version", help="vN, or an alias such as candidate")
    by_hand.add_argument("--reason", required=True, help="kept in the history")
    back = commands.add_parser("rollback", help="point production at the version before")
    back.add_argument("--reason", default="", help="kept in the history")
    commands.add_parser("history", help="who moved production, when and why")
    other = commands.add_parser("copy", help="copy versions to another registry, with all that is known of them")
    other.add_argument("target", help="folder:PATH or wandb:ENTITY/PROJECT")
    other.add_argument("ref", nargs="*", help="NAME:ALIAS or NAME:vN; all versions when none is given")
    image = commands.add_parser("export", help="copy versions into a folder registry that the API image carries")
    image.add_argument("directory", type=Path)
    image.add_argument("ref", nargs="+", help="NAME:ALIAS or NAME:vN")
    standing = commands.add_parser("production", help="copy what is in production, and what made it, into a folder")
    standing.add_argument("directory", type=Path)
    push = commands.add_parser("sync", help="push what was made in the folder to the W&B project of WINE_REGISTRY")
    push.add_argument("--folder", default="artifacts/registry", help="the folder, relative to the repository")
    bulk = commands.add_parser("score", help="score a table of any size, on all cores or on a Dask cluster")
    bulk.add_argument("input", help="Parquet or CSV: a file, a folder, a glob, or an address that fsspec knows")
    bulk.add_argument("--output", required=True, help="a folder, or its address")
    bulk.add_argument("--model", default="", help=f"NAME:REF; {MODEL}:{PRODUCTION} unless given")
    given = parser.parse_args(arguments)
    try:
        registry = open_registry(Settings.from_environment().registry)
        for line in carry_out(given, registry):
            print(line, flush=True)
    except WineServingError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped by Ctrl-C: what is done stays done; the same command goes on from there", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
