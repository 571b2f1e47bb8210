"""What differs between the notebooks of two checkouts: cells, parameters, and how long they took."""

import ast
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import nbformat
import yaml
from nbdime.diffing.notebooks import diff_notebooks
from nbdime.prettyprint import PrettyPrintConfig, pretty_print_notebook_diff
from nbformat import NotebookNode

EMPTY: Final = nbformat.v4.new_notebook()


def notebooks(*folders: Path) -> list[str]:
    """The names of all notebooks in some folders."""
    return sorted({path.name for folder in folders for path in folder.glob("*.ipynb")})


def changed_cells(before: Path, after: Path) -> Iterator[str]:
    """A line for each cell that was added, removed or edited, by its section and its first line."""
    for name in notebooks(before, after):
        old, new = read(before / name), read(after / name)
        for change in diff_notebooks(old, new):
            for each in change.get("diff", []) if change["key"] == "cells" else []:
                yield from (f"{name}: {told}" for told in _told(each, old))


def as_nbdime_shows(before: Path, after: Path) -> str:
    """The same line by line."""
    shown = io.StringIO()
    for name in notebooks(before, after):
        old, new = read(before / name), read(after / name)
        pretty_print_notebook_diff(
            f"before/{name}",
            f"after/{name}",
            old,
            diff_notebooks(old, new),
            PrettyPrintConfig(out=shown, use_color=False),
        )
    return shown.getvalue()


def changed_parameters(before: Path, after: Path, profile: str) -> Iterator[str]:
    """A line for each parameter with another default, or with another value in the profile that both were run with."""
    for name in notebooks(before, after):
        old, new = (_values(folder / name, profile) for folder in (before, after))
        for parameter in dict.fromkeys([*old, *new]):
            was, now = (each.get(parameter, "not there") for each in (old, new))
            if was != now:
                yield f"{Path(name).stem}.{parameter}: {was} → {now}"


def seconds(reports: Path) -> dict[str, float]:
    """How long each notebook took, of those that were executed into a folder, up to the cell that failed."""
    executed = {path.stem: nbformat.read(path, 4) for path in sorted(reports.glob("*.ipynb"))}
    cells = {name: [cell.metadata.get("papermill", {}) for cell in each.cells] for name, each in executed.items()}
    return {name: sum(cell.get("duration") or 0 for cell in each) for name, each in cells.items()}


def read(notebook: Path) -> NotebookNode:
    """A notebook, or an empty one where there is none."""
    found: NotebookNode = nbformat.read(notebook, 4) if notebook.exists() else EMPTY
    return found


def _told(change: Mapping[str, Any], old: NotebookNode) -> list[str]:
    """What nbdime says of a place among the cells, in words."""
    place = change["key"]
    match change["op"]:
        case "addrange":
            return [f"added {_called(cell, old.cells[:place])}" for cell in change["valuelist"]]
        case "removerange":
            return [
                f"removed {_called(cell, old.cells[:place])}" for cell in old.cells[place : place + change["length"]]
            ]
        case _:
            return [f"edited {_called(old.cells[place], old.cells[:place])}"]


def _called(cell: Mapping[str, Any], before: list[NotebookNode]) -> str:
    headings = [line for each in before if each.cell_type == "markdown" for line in each.source.splitlines()]
    section = next((line.lstrip("# ") for line in reversed(headings) if line.startswith("#")), "its head")
    kind = "code" if cell["cell_type"] == "code" else "prose"
    return f"{kind} in “{section}”: {next(iter(cell['source'].splitlines()), ''):.80}"


def _values(notebook: Path, profile: str) -> dict[str, str]:
    """What a notebook runs with: what its cell declares, as it is written there, and the profile's values over it."""
    tagged = [cell.source for cell in read(notebook).cells if "parameters" in cell.metadata.get("tags", [])]
    declared = [node for source in tagged for node in ast.parse(source).body if isinstance(node, ast.AnnAssign)]
    values = {ast.unparse(node.target): ast.unparse(node.value) for node in declared if node.value}
    settings = notebook.parent / "profiles" / f"{profile}.yaml"
    given = yaml.safe_load(settings.read_text(encoding="utf-8")) if settings.exists() else {}
    return values | {name: repr(value) for name, value in ((given or {}).get(notebook.stem) or {}).items()}
