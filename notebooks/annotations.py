"""GitHub's own signs: lines that a runner of GitHub Actions shows beside a run and at the file that they are about."""

import os
from pathlib import Path

import nbformat

from wine_serving.verdict import Verdict


def of_verdict(verdict: Verdict) -> list[str]:
    """A notice with the verdict; elsewhere than on such a runner nothing."""
    return _on_github(f"::notice title=Verdict: {verdict.verdict}::{_data('; '.join(verdict.reasons))}")


def of_failure(notebook: Path, executed: Path, message: str) -> list[str]:
    """An error at the line of the notebook's file where the cell begins that failed."""
    place = f"file=notebooks/{notebook.name}"
    if line := _line_of(notebook, executed):
        place += f",line={line}"
    return _on_github(f"::error {place},title={notebook.stem} stopped::{_data(message)}")


def _line_of(notebook: Path, executed: Path) -> int | None:
    """Where in its file the cell begins that raised, if one did and the file names it."""
    failed = [
        cell["id"]
        for cell in nbformat.read(executed, 4).cells
        if any(output.output_type == "error" for output in cell.get("outputs", []))
    ]
    lines = notebook.read_text(encoding="utf-8").splitlines()
    return next((number for number, line in enumerate(lines, 1) if failed and f'"id": "{failed[0]}"' in line), None)


def _on_github(line: str) -> list[str]:
    return [line] if os.environ.get("GITHUB_ACTIONS") == "true" else []


def _data(text: str) -> str:
    """As GitHub reads it: one line, whatever a text holds."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
