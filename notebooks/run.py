"""Run notebooks as the command line does it: check parameters, execute through papermill, render the report.

    python notebooks/run.py --profile quick 01_data 03_training -p level 0.8 -p 03_training.seed 7

All in one process, because importing papermill and nbconvert takes longer than either works.
"""

import argparse
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import annotations
import redaction
import tracking
import yaml
from parameters import Refused, assigned, checked, declared

from wine_serving import monitoring
from wine_serving.errors import SettingsError, WineServingError
from wine_serving.machine import replace_what_cannot_be_shown
from wine_serving.provenance import VERSION
from wine_serving.registry.files import REMEDIES
from wine_serving.verdict import MIME, Verdict

if TYPE_CHECKING:
    from nbformat import NotebookNode  # it takes a while, and a refused parameter need not wait for it

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
REPORTS = ROOT / "reports"
FOUND = ROOT / "artifacts" / "search" / "found.yaml"  # a profile that a search has written


def plan(names: list[str], profile: str, typed: dict[str, str], reports: Path) -> dict[Path, dict[str, Any]]:
    """Notebook → its parameters: the profile's, then those typed; all checked before anything runs."""
    paths = {name: NOTEBOOKS / f"{name}.ipynb" for name in names}
    if unknown := [name for name, path in paths.items() if not path.is_file()]:
        there = ", ".join(sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")))
        raise Refused(f"there is no notebook {', '.join(unknown)}; there are {there}")
    settings = settings_of(profile)
    planned = {}
    for path, given in assigned(typed, paths.values()).items():
        place = {"reports": os.path.relpath(reports, ROOT)} if "reports" in declared(path) else {}
        planned[path] = checked(path, settings.get(path.stem, {}) | place | given)
    return planned


def settings_of(profile: str) -> dict[str, Any]:
    """What a profile says: one of notebooks/profiles, or `found`, which a search has written."""
    if profile != FOUND.stem:
        return yaml.safe_load((NOTEBOOKS / "profiles" / f"{profile}.yaml").read_text(encoding="utf-8")) or {}
    if not FOUND.is_file():
        raise Refused("PROFILE=found is written by a search, and there is none: make search")
    found: dict[str, Any] = yaml.safe_load(FOUND.read_text(encoding="utf-8"))
    if (version := found.pop("version", None)) != VERSION:
        raise Refused(f"PROFILE=found is of version {version} of this project, which is {VERSION} now: make search")
    return found


def execute(notebook: Path, parameters: dict[str, Any], reports: Path, *, informs: bool) -> "NotebookNode | None":
    """Run one notebook into `reports` as .ipynb and .html, also when a cell fails; the executed one when none did."""
    import execution  # late: papermill and nbconvert cost seconds, and a refused parameter needs neither
    from pages import render

    executed, started = reports / notebook.name, time.perf_counter()
    os.environ["PAPERMILL_OUTPUT_PATH"] = str(executed)  # where the notebook finds what it has shown so far
    say(f"── {notebook.stem}")
    done, failure = None, None
    tracking.begin()
    try:
        done = execution.execute(notebook, parameters, executed, tell=lambda line: say(f"   {line}"))
    except execution.Stopped as stopped:
        failure = stopped
    page = render(executed)
    tracking.add_report(page, failed=failure is not None)
    say(f"   {time.perf_counter() - started:.0f} s, report: {page}")
    if failure:
        complain(f"{notebook.stem} stopped: {failure}{'; it only informs, what was decided stands' if informs else ''}")
        say_on_github(annotations.of_failure(notebook, executed, str(failure)))
    return done


def verdict_of(executed: "NotebookNode") -> Verdict | None:
    """The verdict that an executed notebook has come to, if that is what it does."""
    found = shown(executed, MIME)
    return Verdict.read(found[-1]) if found else None


def shown(executed: "NotebookNode", kind: str) -> list[Any]:
    """What the cells of an executed notebook have shown of one kind."""
    outputs = [output for cell in executed.cells for output in cell.get("outputs", [])]
    return [output["data"][kind] for output in outputs if kind in output.get("data", {})]


def outcome(verdict: Verdict, reports: Path) -> str:
    """The verdict, and where to read more of it, as a person at the terminal wants it."""
    return "\n".join(
        [*verdict.told(), f"Report: {reports / '04_evaluation.html'}", f"Front page: {reports / 'index.html'}"]
    )


def say(text: object) -> None:
    """Tell the person at the terminal."""
    print(redaction.redacted(str(text)), flush=True)


def say_on_github(lines: list[str]) -> None:
    """What GitHub shows beside a run, where this is one."""
    for line in lines:
        say(line)


def complain(text: object) -> None:
    """Tell what went wrong."""
    print(redaction.redacted(str(text)), file=sys.stderr, flush=True)


def without_parameters(words: list[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """The words but for each `-p NAME VALUE`, and those: a value may look like anything, also like an option."""
    left, found = [], []
    while words:
        if words[0] == "-p" and len(words) > 2:
            found.append((words[1], words[2]))
            words = words[3:]
        else:
            left.append(words[0])
            words = words[1:]
    return left, found


def as_utf8(word: str) -> str:
    """What was typed, also where this process takes it for ASCII, as with LC_ALL=C."""
    return os.fsencode(word).decode("utf-8", "surrogateescape")


def main(arguments: list[str] | None = None) -> int:
    """Run the named notebooks in order; 0 when all ran, 1 when one failed, 2 when a parameter was refused."""
    replace_what_cannot_be_shown()
    parser = argparse.ArgumentParser(prog="run.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("notebooks", nargs="+", help="names without .ipynb, in order")
    parser.add_argument("--profile", default="full", help="a file of parameters in notebooks/profiles")
    parser.add_argument(
        "-p",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="one parameter; NOTEBOOK.NAME where several notebooks mean different things by a name",
    )
    parser.add_argument("--reports", type=Path, default=REPORTS, help="where reports are written")
    parser.add_argument("--afterwards", help="a notebook that only informs: it may fail")
    parser.add_argument("--typed", default="", help="further -p NAME VALUE in one text, as make's PARAMS holds them")
    words, typed = without_parameters([*(sys.argv[1:] if arguments is None else arguments)])
    given = parser.parse_args(words)
    try:
        words, further = without_parameters(shlex.split(given.typed))
        parser.parse_args([*given.notebooks, *words], given)
    except ValueError as error:
        complain(f"PARAMS={given.typed} cannot be read: {error}")
        return 2
    profiles = sorted([FOUND.stem, *(path.stem for path in (NOTEBOOKS / "profiles").glob("*.yaml"))])
    if given.profile not in profiles:
        complain(f"PROFILE={given.profile} is unknown: it must be {', '.join(profiles[:-1])} or {profiles[-1]}")
        return 2
    try:
        names = [*given.notebooks, *filter(None, [given.afterwards])]
        meant = {name: as_utf8(value) for name, value in [*typed, *further]}
        todo = plan(names, given.profile, meant, given.reports)
    except Refused as refused:
        complain(refused)
        return 2
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # this environment's kernel, not one of the user's
    os.environ["PYTHONUTF8"] = "1"  # what packages read of their own is UTF-8, wherever they forget to say so
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"  # whatever is set here: reports have figures
    try:
        tracking.prepare()
        tracking.check_registry()
        with reports_on_disk(given.reports):
            given.reports.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=given.reports).close()
            return carry_out(todo, given.reports, given.afterwards)
    except WineServingError as error:
        complain(error)
        return 1
    except KeyboardInterrupt:
        complain("Stopped by Ctrl-C: what was published stays, the notebook that ran has published nothing more")
        return 130


@contextmanager
def reports_on_disk(reports: Path) -> Iterator[None]:
    """SettingsError for what the disk refuses: what is full or may not be written, and what to do."""
    try:
        yield
    except OSError as error:
        place = str(error.filename or reports)
        if error.errno not in REMEDIES and not place.startswith(str(reports)):
            raise
        remedy = REMEDIES.get(error.errno or 0, "see what stands there")
        elsewhere = 'have reports written elsewhere: PARAMS="--reports FOLDER"'
        raise SettingsError(f"{place}: {error.strerror}; {remedy}, or {elsewhere}") from None


def carry_out(todo: dict[Path, dict[str, Any]], reports: Path, afterwards: str | None = None) -> int:
    """Run the notebooks, up to one that fails, and write the front page. 0 when all ran that must, else 1."""
    from front_page import write_front_page  # late, as above

    verdict, failed = None, False
    for notebook, parameters in todo.items():
        executed = execute(notebook, parameters, reports, informs=notebook.stem == afterwards)
        if executed is None:
            failed = notebook.stem != afterwards
            break
        verdict = verdict_of(executed) or verdict
        for look in shown(executed, monitoring.MIME):
            say("\n".join(monitoring.Monitoring.read(look).told()))
    write_front_page(reports)
    if verdict and not failed:
        say(outcome(verdict, reports))
        say_on_github(annotations.of_verdict(verdict))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
