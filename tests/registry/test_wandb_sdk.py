"""W&B's defaults and login: tracked online only where the SDK itself would find a key."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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


def run(script: str, home: Path, **variables: str) -> list[str]:
    """What a process with that home prints."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "WANDB_DIR": str(home)} | variables
    command = [sys.executable, "-c", script]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.split(" ")


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
    "something that is no key: the first run says so": ({}, "machine api.wandb.ai\n login user\n password short\n", ""),
    "a mode of one's own": ({"WANDB_MODE": "disabled"}, "", "disabled"),
}


@pytest.mark.parametrize(("variables", "netrc", "mode"), MODES.values(), ids=MODES)
def test_tracking_is_offline_only_when_nobody_is_logged_in(
    variables: dict[str, str], netrc: str, mode: str, tmp_path: Path
) -> None:
    """Without an account runs are recorded all the same; with one W&B's own settings hold."""
    (tmp_path / ".netrc").write_text(netrc)
    assert run(PREPARE, tmp_path, **variables)[:2] == [mode, "true"]


def test_login_by_the_sdk_is_recognised(tmp_path: Path) -> None:
    """Under whatever host this version of the SDK keeps its key."""
    run(LOGIN, tmp_path)
    assert run(PREPARE, tmp_path)[0] == ""


def test_where_no_key_can_lie_the_sdk_is_not_imported(tmp_path: Path) -> None:
    """It takes a second that whoever has no account need not wait."""
    assert run(PREPARE, tmp_path) == ["offline", "true", "False\n"]
