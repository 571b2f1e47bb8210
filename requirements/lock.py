"""Write the locks anew from pyproject.toml: one for everything, and smaller ones that agree with it.

python requirements/lock.py [--upgrade]
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCKS = {  # the lock → the extras that it holds
    "dev": ("serving", "wandb", "ui", "notebooks", "dev"),
    "api": ("serving",),
    "api-wandb": ("serving", "wandb"),
    "ui": ("ui",),
    "scale": ("serving", "scale"),
}
COMPILE = (
    *("uv", "pip", "compile", "pyproject.toml", "--universal", "--generate-hashes", "--python-version", "3.11"),
    *("--no-header", "--no-emit-index-url", "--no-annotate", "--quiet"),
)


def index() -> dict[str, str]:
    """The index that pip's settings name, which uv does not read: whoever has one of their own means it here, too."""
    command = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    named = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    url = os.environ.get("UV_DEFAULT_INDEX") or named
    return {"UV_DEFAULT_INDEX": url} if url else {}


def main(flags: list[str]) -> None:
    """Write each lock; the smaller ones take their versions from the first."""
    for name, extras in LOCKS.items():
        words = [f"--extra={extra}" for extra in extras] + [f"--output-file=requirements/{name}.txt"]
        constraint = [] if name == "dev" else ["--constraint=requirements/dev.txt"]
        command = [sys.executable, "-m", *COMPILE, *words, *constraint, *flags]
        subprocess.run(command, cwd=ROOT, check=True, env=os.environ | index())


if __name__ == "__main__":
    main(sys.argv[1:])
