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
KEEP = "requirements/notebooks.py"
KEPT = "keep-notebooks.py"  # its copy beside git's settings, for checkouts of commits that had none
BROKEN = "names what is not there: correct or unset it"


class Failed(Exception):
    """Set-up cannot go on: what is wrong, and what to do."""


def run(*command: object, **variables: str) -> bool:
    """Whether the command ended well, with `variables` laid over the environment."""
    words = [str(word) for word in command]
    return subprocess.run(words, cwd=ROOT, env={**os.environ, **variables}, check=False).returncode == 0


def complaint(*command: str) -> str:
    """The first line of what a command that fails says; nothing where it ends well."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False)
    return next(iter(done.stderr.splitlines()), "no reason") if done.returncode else ""


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
    by_uv = output("uv", "python", "find", f">={SUPPORTED[0]},<3.15")
    versions = {name: output(name, "--version") for name in ([asked] if asked else [*NAMES, *filter(None, [by_uv])])}
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
    ours = {"PIP_USER": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}  # whatever is set for other environments
    if not run(python, "-m", "pip", "install", "--quiet", *what, **ours):
        names = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
        stale = [f"{name} {BROKEN}" for name in names if os.environ.get(name) and not Path(os.environ[name]).exists()]
        remedy = "; ".join([*stale, "mend what pip says above, and run make again"])
        raise Failed(f"the packages cannot be installed: {remedy}")


def install_project(python: Path | str) -> None:
    """Add the project itself, from this folder, and tell git how its notebooks are kept."""
    install(python, "--no-deps", "--no-build-isolation", "--editable", ROOT)
    settle_git(Path(str(python).replace(f"{ROOT}{os.sep}", "")).as_posix())


def settle_git(python: str) -> None:
    """Notebooks reach git without outputs, and are compared and merged cell by cell: settings of this clone alone.

    All its worktrees share them, so each finds its own `python`. Where that is gone git goes on, and says what to type.
    Nothing here stops a set-up: in a checkout that belongs to another user git may refuse to keep them.
    """
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        return
    there, here = f'[ -x "{python}" ]', f'"{python}" -m nbdime.vcs.git'
    strip = (
        f'python="{python}"; {there} || python=python3; keep={KEEP}; '
        f'[ -f $keep ] || keep="$(git rev-parse --git-common-dir)/{KEPT}"; "$python" "$keep"'
    )
    gone = 'echo "this notebook is taken for plain text: make environment" >&2'
    settings = {
        "filter.nbstripout.clean": f'{strip} || {{ echo "outputs are not taken out: make environment" >&2; exit 1; }}',
        "filter.nbstripout.smudge": "cat",
        "filter.nbstripout.required": "false",
        "diff.jupyternotebook.command": (
            f'compare() {{ if {there}; then {here}.diffdriver diff "$@"; '
            f'else {gone}; diff -u "$2" "$5"; fi; :; }}; compare'
        ),
        "merge.jupyternotebook.driver": (
            f"if {there}; then {here}.mergedriver merge %O %A %B %L %P; else {gone}; git merge-file %A %O %B; fi"
        ),
    }
    refused = [said for name, value in settings.items() if (said := complaint("git", "config", name, value))]
    if not refused:
        shutil.copyfile(ROOT / KEEP, ROOT / output("git", "rev-parse", "--git-common-dir") / KEPT)
    else:
        trust = (
            f"in a checkout of another user's `git config --global --add safe.directory {ROOT}`, and make environment"
        )
        print(f"git does not keep how it is to treat notebooks here ({refused[0]}): {trust}", flush=True)


def content(path: Path) -> str:
    """What a mark says; nothing when it is not there."""
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def set_up(asked: str | None) -> None:
    """Bring `.venv` to the lock. What was made for another folder or Python, or never finished, is thrown away."""
    if content(READY) != str(ROOT) or (asked and asked != content(ASKED)):
        if not os.access(ROOT, os.W_OK):
            raise Failed(f"{ROOT} cannot be written, and .venv belongs there: let this user write, or take a copy")
        name, version = find_python(asked)
        print(f"Setting up .venv with {version}: a minute or two, once", flush=True)
        if not run(name, "-m", "venv", "--clear", VENV):
            remedy = "where it misses ensurepip, install its venv (on Debian python3-venv); mend it, and run make again"
            raise Failed(f"{name} cannot make .venv, as it says above: {remedy}")
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
    """Each is as git keeps it: without outputs, counts, and traces of the machine that ran it."""
    if not run(sys.executable, KEEP, *sorted((ROOT / "notebooks").glob("*.ipynb"))):
        raise Failed("these notebooks hold what git does not keep: commit them again, now that the filter is set up")


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
    except KeyboardInterrupt:
        sys.exit("stopped by Ctrl-C: run make again, and set-up goes on")
    except OSError as error:
        sys.exit(f"{error.filename or VENV}: {error.strerror or error}: mend that, and run make again")
