"""W&B's defaults and login: tracked online only where the SDK itself would find a key."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.forked import Forks

KEY = "k" * 40
PREPARE = """
import os, sys
from wine_serving.registry.wandb_sdk import prepare_environment
prepare_environment()
print(os.environ.get("WANDB_MODE", ""), os.environ["WANDB_SILENT"], "wandb" in sys.modules)
"""
LOGIN = """
from wandb.sdk.lib import urls, wbauth
wbauth.write_netrc_auth(host=urls.DEFAULT_BASE_URL, api_key="k" * 40)
"""


Run = Callable[..., list[str]]


def given(home: Path, **variables: str) -> dict[str, str]:
    """The variables of a process with that home."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "WANDB_DIR": str(home)} | variables


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    """Processes that have imported the SDK."""
    with Forks("wandb", "wine_serving.registry.wandb_sdk") as ready:
        yield ready


@pytest.fixture
def run(forks: Forks, tmp_path: Path) -> Run:
    """What a process with that home prints."""

    def run(script: str, **variables: str) -> list[str]:
        done = forks.run(script, env=given(tmp_path, **variables))
        assert done.returncode == 0, done.stderr
        return done.stdout.split(" ")

    return run


MODES: dict[str, tuple[dict[str, str], str, str]] = {
    "nobody is logged in": ({}, "", "offline"),
    "a key": ({"WANDB_API_KEY": KEY}, "", ""),
    "a login of an earlier SDK": ({}, f"machine api.wandb.ai\n  login user\n  password {KEY}\n", ""),
    "a login elsewhere": ({}, f"machine example.org\n  login user\n  password {KEY}\n", "offline"),
    "a login without a key": ({}, "machine api.wandb.ai\n  login user\n", "offline"),
    "a login at a server of one's own": (
        {"WANDB_BASE_URL": "https://ml.corp:8443"},
        f"machine ml.corp:8443\n  login user\n  password {KEY}\n",
        "",
    ),
    "a login in a file of other programs": ({}, "machine imap.example.org port 993 login x password y\n", "offline"),
    "a login for whoever asks": ({}, "default login anonymous password me@example.org", "offline"),
    "one that nobody can read": ({}, "machine x\xed login y", "offline"),
    "a mode that needs no key": (
        {"WANDB_MODE": "offline"},
        "machine api.wandb.ai login user password short",
        "offline",
    ),
    "a mode of one's own": ({"WANDB_MODE": "disabled"}, "", "disabled"),
}


@pytest.mark.parametrize(("variables", "netrc", "mode"), MODES.values(), ids=MODES)
def test_tracking_is_offline_only_when_nobody_is_logged_in(
    run: Run, variables: dict[str, str], netrc: str, mode: str, tmp_path: Path
) -> None:
    """Without an account runs are recorded all the same; with one W&B's own settings hold."""
    (tmp_path / ".netrc").write_text(netrc, encoding="latin-1")
    assert run(PREPARE, **variables)[:2] == [mode, "true"]


BAD_LOGIN = "machine api.wandb.ai login user password short"
REFUSED: dict[str, tuple[dict[str, str], str, str]] = {
    "something that is no key": ({}, BAD_LOGIN, "has 5"),
    "a key that is cut": ({"WANDB_API_KEY": "short"}, "", "WANDB_API_KEY invalid"),
    "online without a key": ({"WANDB_MODE": "online"}, "", "WANDB_MODE=online cannot be used: there is no W&B key"),
    "online with a file that cannot be read": ({"WANDB_MODE": "online"}, "machine x port 9", "bad follower token"),
    "a misspelt mode": ({"WANDB_MODE": "ofline"}, "", "WANDB_MODE=ofline cannot be used: it must be one of online"),
    "a folder that is none": ({"WANDB_DIR": "/proc/nope"}, "", "WANDB_DIR=/proc/nope cannot be written"),
    "another variable of W&B's": ({"WANDB_INIT_TIMEOUT": "soon"}, "", "WANDB_INIT_TIMEOUT=soon cannot be used: Input"),
}


@pytest.mark.parametrize(("variables", "netrc", "sentence"), REFUSED.values(), ids=REFUSED)
def test_what_wandb_would_stumble_over_is_one_sentence(
    run: Run, variables: dict[str, str], netrc: str, sentence: str, tmp_path: Path
) -> None:
    """It is said before anything runs, by the variable's name."""
    (tmp_path / ".netrc").write_text(netrc)
    script = (
        "from wine_serving.errors import SettingsError" + PREPARE.replace("\nprep", "\ntry: prep").split("print")[0]
    )
    assert sentence in " ".join(run(f"{script}except SettingsError as error: print(error)", **variables))


def test_nothing_is_judged_where_no_run_is_tracked(run: Run, tmp_path: Path) -> None:
    """Not even a file of passwords that nobody can read."""
    (tmp_path / ".netrc").write_text(BAD_LOGIN)
    variables = {name: value for each, _, _ in REFUSED.values() for name, value in each.items()}
    assert run(PREPARE, **variables | {"WANDB_MODE": "disabled"})[0] == "disabled"


def test_login_by_the_sdk_is_recognised(run: Run) -> None:
    """Under whatever host this version of the SDK keeps its key."""
    run(LOGIN)
    assert run(PREPARE)[0] == ""


def test_where_no_key_can_lie_the_sdk_is_not_imported(tmp_path: Path) -> None:
    """It takes a second that whoever has no account need not wait."""
    command = [sys.executable, "-c", PREPARE]
    done = subprocess.run(command, env=given(tmp_path), check=True, capture_output=True, text=True)
    assert done.stdout == "offline true False\n"
