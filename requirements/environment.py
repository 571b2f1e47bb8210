"""Set up the environment that make uses: `.venv` with the locked packages, or what the active conda environment lacks.

    python3 requirements/environment.py                    # set up
    .venv/bin/python requirements/environment.py scale             # add what searches and bulk scoring take
    .venv/bin/python requirements/environment.py check-notebooks   # that they are as git keeps them

Only the standard library is needed, and any Python from 3.8 on can run it: the one that goes into `.venv` is looked for
here; PYTHON names another. An environment belongs to the folder that it was made in, as its programs and the project
are found there by absolute paths: one that was copied or moved is made anew.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements" / "dev.txt"
SCALE = ROOT / "requirements" / "scale.txt"
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
READY = VENV / ".ready"  # there once it is complete: the folder that it was made in
ASKED = VENV / ".python"  # the Python that was asked for by name
SUPPORTED = ("3.11", "3.12", "3.13", "3.14")
NAMES = ("python3", "python", *(f"python{version}" for version in reversed(SUPPORTED)))
STRIP = "-m nbstripout --keep-id --extra-keys 'metadata.kernelspec metadata.language_info'"


class Failed(Exception):
    """Set-up cannot go on: what is wrong, and what to do."""


def run(*command: object, **variables: str) -> bool:
    """Whether the command ended well, with `variables` laid over the environment."""
    words = [str(word) for word in command]
    return subprocess.run(words, cwd=ROOT, env={**os.environ, **variables}, check=False).returncode == 0


def output(*command: object) -> str:
    """What a command prints; nothing when it fails or is not there."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def find_python(asked: str | None) -> tuple[str, str]:
    """The name and version of the Python that was asked for, or of the first that will do."""
    versions = {name: output(name, "--version") for name in ([asked] if asked else NAMES)}
    for name, version in versions.items():
        if version.startswith(tuple(f"Python {each}." for each in SUPPORTED)):
            return name, version
    name, version = next(iter(versions.items()))
    raise Failed(
        f"Python 3.11 to 3.14 is needed, and {name} is {version.replace('Python ', '') or 'not there'}: "
        "install one of them, or name it: make PYTHON=python3.12 …"
    )


def install(python: Path | str, *what: object) -> None:
    """Install by uv where it is found, as it is much faster, else by pip: the same packages with the same hashes."""
    if uv := shutil.which("uv"):
        index = os.environ.get("UV_DEFAULT_INDEX") or output(python, "-m", "pip", "config", "get", "global.index-url")
        variables = {"UV_DEFAULT_INDEX": index} if index else {}  # uv does not read pip's settings
        if run(uv, "pip", "install", "--quiet", "--python", python, *what, **variables):
            return
        print("uv does not get the packages, so pip tries", flush=True)
    if not run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what):
        raise Failed("the packages cannot be installed: mend what pip says above, and run make again")


def install_project(python: Path | str) -> None:
    """Add the project itself, from this folder, and tell git how its notebooks are kept."""
    install(python, "--no-deps", "--no-build-isolation", "--editable", ROOT)
    settle_git(f'"{Path(python).as_posix()}"')


def settle_git(python: str) -> None:
    """Notebooks reach git without outputs, and are compared and merged cell by cell: settings of this clone alone."""
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        return
    settings = {
        "filter.nbstripout.clean": f"{python} {STRIP}",
        "filter.nbstripout.smudge": "cat",
        "filter.nbstripout.required": "true",
        "diff.jupyternotebook.command": f"{python} -m nbdime.vcs.git.diffdriver diff",
        "merge.jupyternotebook.driver": f"{python} -m nbdime.vcs.git.mergedriver merge %O %A %B %L %P",
    }
    for name, value in settings.items():
        run("git", "config", name, value)


def content(path: Path) -> str:
    """What a mark says; nothing when it is not there."""
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def set_up(asked: str | None) -> None:
    """Bring `.venv` to the lock. What was made for another folder or Python, or never finished, is thrown away."""
    if content(READY) != str(ROOT) or (asked and asked != content(ASKED)):
        name, version = find_python(asked)
        print(f"Setting up .venv with {version}: a minute or two, once", flush=True)
        if not run(name, "-m", "venv", "--clear", VENV):
            raise Failed(f"{name} cannot make .venv: install its venv (on Debian python3-venv), and run make again")
    install(VENV_PYTHON, "--no-deps", "--require-hashes", "--only-binary", ":all:", "--requirement", LOCK)
    install_project(VENV_PYTHON)
    if asked:
        ASKED.write_text(asked, encoding="utf-8")
    READY.write_text(str(ROOT), encoding="utf-8")


def add_scale() -> None:
    """Add what `make search` and `make score` take beside the lock, once for each state of it."""
    added = Path(sys.prefix, ".scale")
    if content(added) != content(SCALE):
        print("Adding Dask and Optuna: some seconds, once", flush=True)
        install(sys.executable, "--no-deps", "--require-hashes", "--only-binary", ":all:", "--requirement", SCALE)
        added.write_text(content(SCALE), encoding="utf-8")


def set_up_conda() -> None:
    """Add the project to the active conda environment, once, and nothing else."""
    find = "import importlib.metadata as m; print(m.distribution('wine-quality').read_text('direct_url.json'))"
    if ROOT.as_uri() not in output(sys.executable, "-c", find):
        install_project(sys.executable)


def check_notebooks() -> None:
    """Each is as the filter leaves it: without outputs, counts, and traces of the machine that ran it."""
    if not run(sys.executable, *shlex.split(STRIP), "--verify", *sorted((ROOT / "notebooks").glob("*.ipynb"))):
        raise Failed("notebooks hold what git does not keep: commit them again, now that the filter is set up")


if __name__ == "__main__":
    try:
        if sys.argv[1:] == ["check-notebooks"]:
            check_notebooks()
        elif sys.argv[1:] == ["scale"]:
            add_scale()
        elif os.environ.get("WINE_ENV") == "conda":
            set_up_conda()
        else:
            set_up(os.environ.get("PYTHON"))
    except Failed as failed:
        sys.exit(str(failed))
