"""Who did what with which code: the commit, the user, the project's version."""

import getpass
import os
import subprocess

from wine_serving.settings import ROOT

VERSION = "2.0.0"  # the project's; pyproject.toml reads it here


def current_commit() -> str | None:
    """The checked-out commit, with `+changes` when files differ from it; None outside a git checkout.

    A ZIP that was unpacked inside another repository is none of that one's commits.
    """
    if not (ROOT / ".git").exists():
        return os.environ.get("GITHUB_SHA")
    command = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+changes"]
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return os.environ.get("GITHUB_SHA")


def current_user() -> str:
    """Who is doing this: the GitHub actor in a workflow, else the login name."""
    try:
        return os.environ.get("GITHUB_ACTOR") or getpass.getuser()
    except (OSError, KeyError):  # a container's numeric user has no name
        return f"uid {os.getuid()}"
