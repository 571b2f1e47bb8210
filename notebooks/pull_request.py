"""What a pull request changes: the commit that it is based on is trained beside it, and a comment tells both apart.

The base is unpacked and set up as it was, and trained with the same profile on the same tables; what it makes is
production in a registry that holds nothing else, whatever its gates say. A pipeline that is run in that registry
(WINE_REGISTRY=folder:artifacts/against/registry) judges what is checked out here against it, on the same test wines.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Final

import what_follows
from changes import as_nbdime_shows, changed_cells, changed_parameters, seconds
from forest import drawn

from wine_serving.errors import WineServingError
from wine_serving.registry import DATASET, MODEL, PRODUCTION
from wine_serving.registry.folder import FolderRegistry
from wine_serving.verdict import Metric, Verdict

ROOT: Final = Path(__file__).resolve().parents[1]
AGAINST: Final = ROOT / "artifacts" / "against"
BASE, REGISTRY = AGAINST / "base", AGAINST / "registry"
LONGEST: Final = 20_000  # characters of a difference that is shown line by line: GitHub takes 65,536 in all
ZERO: Final = Metric(value=0, low=0, high=0)
OURS: Final = ("GITHUB_ACTIONS", "MAKEFLAGS", "MAKELEVEL", "WINE_ENV", "PARAMS")  # what is said to this checkout alone


def train_base(commit: str, profile: str) -> None:
    """Unpack a commit, run its pipeline, and let the model that it makes stand as production."""
    shutil.rmtree(AGAINST, ignore_errors=True)
    BASE.mkdir(parents=True)
    packed = git("archive", git("rev-parse", "--verify", "--end-of-options", f"{commit}^{{commit}}").decode().strip())
    with tarfile.open(fileobj=BytesIO(packed)) as archive:
        archive.extractall(BASE, filter="data")
    kept = ROOT / "artifacts" / "registry" / DATASET
    if kept.is_dir():  # the same tables: a dataset takes those that the one before it was made from
        shutil.copytree(kept, REGISTRY / DATASET)
    environment = {name: value for name, value in os.environ.items() if name not in OURS}
    environment["WINE_REGISTRY"] = f"folder:{REGISTRY}"
    subprocess.run(["make", "pipeline", f"PROFILE={profile}"], cwd=BASE, env=environment, check=True)
    shutil.copy(BASE / "reports" / "04_evaluation.html", AGAINST / "base_evaluation.html")
    registry = FolderRegistry(REGISTRY)
    if PRODUCTION not in registry.aliases(MODEL):
        base = registry.record(f"{MODEL}:candidate").version
        registry.move_alias(MODEL, PRODUCTION, base, reason="what a pull request is based on", by="pull_request.py")


def git(*words: str) -> bytes:
    """What git prints."""
    return subprocess.run(["git", *words], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout


def comment(verdict: Verdict | None, base: Path, head: Path, profile: str, links: Mapping[str, str]) -> str:
    """What a reviewer wants to know, the verdict first; without one, what differs all the same."""
    heading, _, rest = what_follows.summary(verdict).partition("\n\n")
    parts = [heading, rest]
    if verdict:
        here = f"Production stands here for the base of this pull request, trained alike (PROFILE={profile})."
        parts = [heading, here if verdict.production else "", differences(verdict), rest]
    if base.is_dir():
        parts += ["### What changed", *changed(base / "notebooks", head / "notebooks", profile)]
        parts += ["### Seconds a notebook", timed(seconds(base / "reports"), seconds(head / "reports"))]
    else:
        parts += ["The base of this pull request could not be trained; the log says why."]
    parts += [" · ".join(f"[{name}]({address})" for name, address in links.items() if address)]
    return "\n\n".join(filter(None, parts))


def differences(verdict: Verdict) -> str:
    """The paired differences in RMSE, by slice, as a plot in text; of one and the same model they are zero."""
    wines = {part: each["wines"] for part, each in verdict.slices.items() if isinstance(each["wines"], int)}
    ours, theirs = verdict.candidate.version, verdict.production.version if verdict.production else None
    if verdict.verdict == "unchanged":
        return _plot(f"{ours} is the very same model as the base", dict.fromkeys(wines, ZERO), wines)
    if not verdict.difference:
        return ""
    other = f"the base's {theirs}" if verdict.difference.other == "production" else "a straight line"
    return _plot(
        f"RMSE of {ours} minus that of {other}, on the same wines",
        verdict.difference.slices,
        wines | verdict.difference.wines,
    )


def _plot(title: str, slices: Mapping[str, Metric], wines: Mapping[str, int]) -> str:
    return "\n".join(["```text", title, *drawn(slices, wines), "```"]) if slices else ""


def changed(before: Path, after: Path, profile: str) -> list[str]:
    """Parameters and cells that differ, and the cells line by line, folded away."""
    parameters, cells = [*changed_parameters(before, after, profile)], [*changed_cells(before, after)]
    if not parameters and not cells:
        return ["No parameter and no cell of a notebook."]
    lines = [f"- {_code(each)}" for each in [*parameters, *cells]]
    shown = as_nbdime_shows(before, after)
    if len(shown) > LONGEST:
        shown = f"{shown[:LONGEST]}\n… and {len(shown) - LONGEST} characters more"
    fence = _fence(shown)
    folded = [
        "<details><summary>Cells, line by line</summary>",
        "",
        f"{fence}diff",
        shown.rstrip(),
        fence,
        "</details>",
    ]
    return ["\n".join(lines), *(["\n".join(folded)] if cells else [])]


def timed(before: Mapping[str, float], after: Mapping[str, float]) -> str:
    """How long each notebook took on the base and here."""
    rows = [
        f"| {name} | {_seconds(before.get(name))} | {_seconds(after.get(name))} |"
        for name in dict.fromkeys([*before, *after])
    ]
    return "\n".join(["| notebook | base | this |", "|---|---:|---:|", *rows])


def _seconds(taken: float | None) -> str:
    return "not run" if taken is None else f"{taken:.1f}"


def _code(text: str) -> str:
    """Text that Markdown leaves as it is, whatever it holds."""
    line = " ".join(text.split())
    fence = _fence(line, shortest=1)
    return f"{fence} {line} {fence}"


def _fence(text: str, shortest: int = 3) -> str:
    return "`" * max(shortest, 1 + max(map(len, re.findall("`+", text)), default=0))


def main(command: str, verdict: Verdict | None) -> int:
    """Run one command of `what_follows.py`."""
    profile = os.environ.get("PROFILE") or "full"
    if command == "comment":
        links = {"This report": os.environ.get("REPORT", ""), "The base's report": os.environ.get("BASE_REPORT", "")}
        print(comment(verdict, BASE, ROOT, profile, links))
        return 0
    try:
        train_base(os.environ.get("BASE") or "HEAD^1", profile)
    except (subprocess.CalledProcessError, OSError, WineServingError) as error:
        print(f"The base was not trained: {error}; what is here can be judged without it", file=sys.stderr)
        return 1
    return 0
