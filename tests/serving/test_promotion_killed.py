"""Killed before any of its writes, a command that moves production has said nothing that is not so.

Running it again completes what is missing; a rollback that happened is not repeated by that.
"""

import copy
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import tiny
from tests.conftest import ROOT
from tests.forked import Forks
from tests.serving.carrying_out import judged
from tests.serving.test_promotion import Killer, said_of_v1
from tests.stand_ins.wandb_server.app import WandbServer
from wine_serving import promotion
from wine_serving.registry import DATASET, MODEL, PRODUCTION, Registry, claims
from wine_serving.registry.folder import FolderRegistry
from wine_serving.registry.wandb import WandbRegistry
from wine_serving.verdict import Verdict

RUN = """
import datetime, runpy, sys
from tests.serving.carrying_out import die_before
from wine_serving.registry import claims
claims.LASTS = datetime.timedelta(seconds=2)
die_before(int(sys.argv[1]))
sys.argv = sys.argv[2:]
sys.path.insert(0, sys.argv[0].rpartition("/")[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""
NEVER = 0


class Command(NamedTuple):
    """What is run, the version in production before and after it, and why the history then says it moved."""

    words: tuple[str, ...]
    before: str
    after: str
    reason: str


WINE_SERVING = str(ROOT / "wine_serving" / "__main__.py")
COMMANDS = {
    "promote": Command((WINE_SERVING, "promote", "v1", "--reason", "tasted"), "v0", "v1", "tasted"),
    "rollback": Command((WINE_SERVING, "rollback", "--reason", "odd"), "v1", "v0", "rollback from v1: odd"),
    "carry-out": Command(("notebooks/what_follows.py", "carry-out"), "v0", "v1", "evaluation: every gate holds"),
}


@pytest.fixture(params=[*COMMANDS.values()], ids=[*COMMANDS])
def command(request: pytest.FixtureRequest) -> Command:
    """Each command that moves production."""
    given: Command = request.param
    return given


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    """Processes that have imported what the commands need, but for the checkout's own modules."""
    with Forks(
        "wine_serving.__main__", "wine_serving.registry.claims", "tests.serving.carrying_out", "nbconvert"
    ) as ready:
        yield ready


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout in which a verdict can be carried out."""
    place = tmp_path / "checkout"
    shutil.copytree(ROOT / "notebooks", place / "notebooks", ignore=shutil.ignore_patterns("*.ipynb", "__pycache__"))
    (place / "reports").mkdir()
    return place


def begin(registry: Registry, command: Command, place: Path, reports: Path) -> None:
    """v0 and v1, a verdict on v1 that is published and not carried out, and production as it is before the command."""
    (place / "wines").mkdir(parents=True)
    (place / "wines" / "DATASET_CARD.md").write_text("# Wines")
    registry.publish(place / "wines", DATASET, kind="dataset")
    for seed in (0, 1):
        tiny.write_bundle(place / f"model-{seed}", seed=seed)
        registry.publish(place / f"model-{seed}", MODEL, kind="model")
    promotion.by_hand(registry, "v0", "first")
    verdict = judged()
    if command.before == "v1":
        promotion.by_hand(registry, "v1", "better")
    else:
        verdict = promotion.by_verdict(registry, verdict, move=False)
    (reports / "verdict.json").write_text(verdict.model_dump_json())


@contextmanager
def running(command: Command, place: Path, rename: int, given: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """The command in a session of its own, killed before that rename."""
    words = [sys.executable, "-c", RUN, str(rename), *command.words]
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | given
    pipe = subprocess.PIPE
    with subprocess.Popen(
        words, cwd=place, env=environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as process:
        yield process


def check_only_what_happened_is_said(registry: Registry, command: Command, moves: int) -> bool:
    """Right after the kill; whether production has moved."""
    moved = registry.aliases(MODEL)[PRODUCTION] == command.after
    history = registry.history(MODEL)
    assert len(history) == moves + moved
    assert history[-1].version == (command.after if moved else command.before)
    assert moved or True not in said_of_v1(registry)
    return moved


def check_all_is_there(registry: Registry, command: Command, moves: int, reports: Path) -> None:
    """Once the command has come to its end."""
    assert check_only_what_happened_is_said(registry, command, moves)
    last = registry.history(MODEL)[-1]
    assert (last.previous, last.version, last.reason) == (command.before, command.after, command.reason)
    if "carry-out" in command.words:
        told = Verdict.read((reports / "verdict.json").read_bytes())
        assert (told.promoted, registry.record(f"{MODEL}:v1").evaluation) == (True, told.as_data())
        assert (reports / "index.html").exists()


def finish(command: Command, place: Path, given: dict[str, str], *, moved: bool) -> None:
    """Run it again, unless that would go back further."""
    if not (moved and "rollback" in command.words):
        with running(command, place, NEVER, given) as process:
            assert process.communicate(timeout=120)[1] == ""


def test_command_killed_before_any_write_in_a_folder_is_completed_by_the_next(
    command: Command, checkout: Path, forks: Forks, tmp_path: Path
) -> None:
    """Everything comes into being by a rename: it is killed before the first, the second, and so on."""
    template = FolderRegistry(tmp_path / "registry")
    begin(template, command, tmp_path / "models", checkout / "reports")
    moves = len(template.history(MODEL))
    for number in count(1):
        place = shutil.copytree(checkout, tmp_path / f"checkout-{number}")
        registry = FolderRegistry(shutil.copytree(template.root, tmp_path / f"registry-{number}"))
        given = os.environ | {"WINE_REGISTRY": f"folder:{registry.root}"}
        done = forks.run(RUN, str(number), *command.words, env=given, cwd=place)
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        moved = check_only_what_happened_is_said(registry, command, moves)
        if not (moved and "rollback" in command.words):  # again, unless that would go back further
            again = forks.run(RUN, str(NEVER), *command.words, env=given, cwd=place)
            assert (again.returncode, again.stderr) == (0, "")
        check_all_is_there(registry, command, moves, place / "reports")
    assert number > 2  # the history and the alias
    check_all_is_there(registry, command, moves, place / "reports")


@pytest.mark.delivery
def test_command_killed_before_any_change_in_wandb_is_completed_by_the_next(
    command: Command,
    checkout: Path,
    wandb_server: WandbServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The server kills who asks for a change, and does not make it."""
    monkeypatch.setattr(claims, "LASTS", timedelta(seconds=2))
    begin(WandbRegistry(wandb_server.place, tmp_path / "cache"), command, tmp_path / "models", checkout / "reports")
    registry = WandbRegistry(wandb_server.place, tmp_path / "cache")
    moves, kept = len(registry.history(MODEL)), copy.deepcopy(wandb_server.store)
    given = wandb_server.environment(tmp_path / "home")
    for number in count(1):
        wandb_server.store = copy.deepcopy(kept)
        place = shutil.copytree(checkout, tmp_path / f"checkout-{number}")
        with running(command, place, NEVER, given) as process:
            wandb_server.faults.change = killer = Killer(process, number)
            errors = process.communicate(timeout=120)[1]
        wandb_server.faults.change = None
        if process.returncode == 0:
            break
        assert killer.killed, errors
        moved = check_only_what_happened_is_said(registry, command, moves)
        finish(command, place, given, moved=moved)
        check_all_is_there(registry, command, moves, place / "reports")
    assert number > 4  # the claim, the reason, the alias, the reason for good
    check_all_is_there(registry, command, moves, place / "reports")
