"""Run notebooks as the command line does it: check parameters, execute through papermill, render the report.

    python notebooks/run.py --profile quick 01_data 03_training -p seed 7

All in one process, because importing papermill and nbconvert takes longer than either works.
"""

import argparse
import ast
import logging
import os
import re
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Optional

import nbformat
import tracking
import yaml
from pydantic import Field, TypeAdapter, ValidationError

from wine_serving.errors import WineServingError
from wine_serving.verdict import Verdict

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
REPORTS = ROOT / "reports"
VOCABULARY = {"Annotated": Annotated, "Field": Field, "Literal": Literal, "Optional": Optional}  # of annotations
SECRET_NAME = re.compile(r"(^|_)(api_?key|token|secret|password|credentials?)($|_)", re.IGNORECASE)
SECRET_VALUE = re.compile(
    r"^([0-9a-f]{40}|gh[pousr]_\w{20,}|github_pat_\w+|sk-\w{20,}|AKIA\w{16}|wandb_v1_\w+|AIza[\w-]{30,})$"
)


class Refused(Exception):
    """A parameter that the notebook does not have, or a value that it does not take."""


class Parameter(NamedTuple):
    """A parameter as its notebook declares it: `annotation` is the source text, `adapter` checks values."""

    annotation: str
    default: Any
    help: str
    adapter: TypeAdapter[Any]


def declared(notebook: Path) -> dict[str, Parameter]:
    """The parameters of a notebook: from its one `parameters` cell, with the types that its `types` cell names."""
    tagged = {
        tag: [
            cell.source for cell in nbformat.read(notebook, 4).cells if tag in cell.get("metadata", {}).get("tags", [])
        ]
        for tag in ("parameters", "types")
    }
    if len(tagged["parameters"]) != 1:
        raise Refused(f"{notebook.name} has {len(tagged['parameters'])} cells tagged `parameters`: it must have one")
    types: dict[str, str] = {
        node.targets[0].id: ast.unparse(node.value)
        for source in tagged["types"]
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    source = tagged["parameters"][0]
    return {
        node.target.id: _parameter(node, types, source.splitlines()[node.end_lineno - 1][node.end_col_offset :])
        for node in ast.parse(source).body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value and node.end_lineno
    }


def _parameter(node: ast.AnnAssign, types: dict[str, str], comment: str) -> Parameter:
    annotation = types.get(name := ast.unparse(node.annotation), name)
    adapter: TypeAdapter[Any] = TypeAdapter(eval(annotation, dict(VOCABULARY)))  # noqa: S307 - our own notebook's words
    default = ast.literal_eval(node.value or ast.Constant(None))
    return Parameter(annotation, default, comment.strip(" #"), adapter)


def checked(notebook: Path, given: dict[str, Any]) -> dict[str, Any]:
    """The given parameters, or Refused: an unknown name, a wrong type, an impossible value, or a secret."""
    known = declared(notebook)
    for name, value in given.items():
        if SECRET_NAME.search(name) or (isinstance(value, str) and SECRET_VALUE.match(value)):
            raise Refused(f"{name} looks like a secret: parameters are kept in reports; use an environment variable")
        if name not in known:
            raise Refused(f"{notebook.stem} has no parameter {name}; it has {', '.join(known)}")
        try:
            known[name].adapter.validate_python(value, strict=True)
        except ValidationError as error:
            reason = error.errors(include_url=False)[0]["msg"]
            raise Refused(
                f"{notebook.stem}: {name}={value!r} is refused: {reason} "
                f"({name}: {known[name].annotation} = {known[name].default!r}, {known[name].help})"
            ) from None
    return given


def plan(names: list[str], profile: str, overrides: dict[str, Any], reports: Path) -> dict[Path, dict[str, Any]]:
    """Notebook → its parameters: the profile's, then those given; all checked before anything runs."""
    paths = {name: NOTEBOOKS / f"{name}.ipynb" for name in names}
    if unknown := [name for name, path in paths.items() if not path.is_file()]:
        there = ", ".join(sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")))
        raise Refused(f"there is no notebook {', '.join(unknown)}; there are {there}")
    settings = yaml.safe_load((NOTEBOOKS / "profiles" / f"{profile}.yaml").read_text(encoding="utf-8")) or {}
    takers = {name: set(declared(path)) for name, path in paths.items()}
    for name, value in overrides.items():
        if not any(name in taken for taken in takers.values()):
            checked(next(iter(paths.values())), {name: value})  # no notebook has it: refused, naming what there is
    given = {"reports": os.path.relpath(reports, ROOT), "carry_out": False} | overrides  # follow_up does, with the page
    return {
        path: checked(
            path,
            settings.get(name, {}) | {key: value for key, value in given.items() if key in takers[name]},
        )
        for name, path in paths.items()
    }


def execute(notebook: Path, parameters: dict[str, Any], reports: Path) -> bool:
    """Run one notebook into `reports` as .ipynb and .html, also when a cell fails; True when none did."""
    import papermill  # late: these two imports cost seconds, and a refused parameter needs neither
    from papermill.exceptions import PapermillExecutionError
    from report import render
    from traitlets.config import Config

    logging.getLogger("papermill").setLevel(logging.ERROR)  # it warns about annotations that we have checked ourselves
    executed, started = reports / notebook.name, time.perf_counter()
    print(f"── {notebook.stem}", flush=True)
    failure = None
    tracking.begin()
    try:
        papermill.execute_notebook(
            notebook,
            executed,
            parameters,
            kernel_name="python3",
            cwd=ROOT,
            progress_bar=sys.stderr.isatty(),
            config=Config({"KernelManager": {"transport_encryption": "auto"}}),
        )
    except PapermillExecutionError as error:
        failure = f"{error.ename}: {error.evalue}"
    page = render(executed)
    tracking.add_report(page, failed=failure is not None)
    print(f"   {time.perf_counter() - started:.0f} s, report: {page}", flush=True)
    if failure:
        print(f"{notebook.stem} stopped: {failure}", file=sys.stderr)
    return failure is None


def follow_up(notebook: Path, reports: Path) -> None:
    """What needs the finished report: the verdict is carried out with it, and the front page is written anew."""
    from report import publish_evaluation, write_front_page

    if notebook.stem == "04_evaluation":
        publish_evaluation(reports)
    write_front_page(reports)


def outcome(reports: Path) -> str:
    """The verdict, and where to read more of it, as a person at the terminal wants it."""
    told = Verdict.read((reports / "verdict.json").read_bytes()).told()
    return "\n".join([*told, f"Report: {reports / '04_evaluation.html'}", f"Front page: {reports / 'index.html'}"])


def value(text: str) -> Any:
    """A parameter's value as papermill reads it from a command line."""
    return yaml.safe_load(text)


def main(arguments: list[str] | None = None) -> int:
    """Run the named notebooks in order; 0 when all ran, 1 when one failed, 2 when a parameter was refused."""
    parser = argparse.ArgumentParser(prog="run.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("notebooks", nargs="+", help="names without .ipynb, in order")
    parser.add_argument("--profile", default="full", help="a file of parameters in notebooks/profiles")
    parser.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help="one parameter")
    parser.add_argument("--reports", type=Path, default=REPORTS, help="where reports are written")
    given = parser.parse_args(arguments)
    profiles = sorted(path.stem for path in (NOTEBOOKS / "profiles").glob("*.yaml"))
    if given.profile not in profiles:
        print(f"PROFILE={given.profile} is unknown: it must be {' or '.join(profiles)}", file=sys.stderr)
        return 2
    try:
        todo = plan(given.notebooks, given.profile, {name: value(text) for name, text in given.p}, given.reports)
    except Refused as refused:
        print(refused, file=sys.stderr)
        return 2
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # this environment's kernel, not one of the user's
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"  # whatever is set here: reports have figures
    tracking.prepare()
    try:
        tracking.check_registry()
    except WineServingError as error:
        print(error, file=sys.stderr)
        return 1
    given.reports.mkdir(parents=True, exist_ok=True)
    try:
        for notebook, parameters in todo.items():
            if not execute(notebook, parameters, given.reports):
                return 1
            follow_up(notebook, given.reports)
    except WineServingError as error:
        print(error, file=sys.stderr)
        return 1
    if "04_evaluation" in given.notebooks:
        print(outcome(given.reports))
    return 0


if __name__ == "__main__":
    sys.exit(main())
