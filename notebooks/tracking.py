"""What the runner knows of W&B and a notebook does not: who is logged in, and which execution a run belongs to.

python notebooks/tracking.py jupyterlab notebooks   # run a module in which notebooks are tracked as under make
"""

import netrc
import os
import secrets
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

from wine_serving.registry import current_commit, open_registry, tracking
from wine_serving.settings import ROOT, Settings
from wine_serving.wandb_errors import explain

DEFAULTS = {  # quiet, bounded, and this project's only; what the environment says comes first
    "WANDB_DIR": str(ROOT / "artifacts"),
    "WANDB_SILENT": "true",
    "WANDB_CONSOLE": "off",
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_DISABLE_GIT": "true",
    "WANDB_DISABLE_CODE": "true",
    "WANDB_INIT_TIMEOUT": "10",
    "WANDB_FINISH_TIMEOUT": "15",
    "WANDB_FINISH_TIMEOUT_RAISES": "true",
    "ORT_DISABLE_TELEMETRY": "1",  # onnxruntime keeps what runs here to itself, whichever notebook imports it first
}
HOSTS = ("api.wandb.ai", "api.forge.coreweave.com")  # where `wandb login` logs in to by default


def prepare() -> None:
    """Set the variables with which all notebooks of this execution are tracked, offline when there is no key."""
    for name, default in DEFAULTS.items():
        os.environ.setdefault(name, default)
    Path(os.environ["WANDB_DIR"]).mkdir(parents=True, exist_ok=True)
    if not (os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE") or has_login()):
        os.environ.setdefault("WANDB_MODE", "offline")
    os.environ.setdefault("WANDB_RUN_GROUP", time.strftime("pipeline-%Y%m%d-%H%M%S"))
    if commit := current_commit():
        os.environ.setdefault("WANDB_GIT_COMMIT", commit)


def begin() -> None:
    """Give the next notebook's run an id, by which its finished report finds it."""
    os.environ["WANDB_RUN_ID"] = secrets.token_hex(4)


def add_report(page: Path, failed: bool) -> None:
    """Add the finished page to the run that its notebook made, where runs go to W&B and are not only recorded."""
    run_id = os.environ.pop("WANDB_RUN_ID")  # whatever else this process makes at W&B is no part of that run
    if os.environ.get("WANDB_MODE", "online") != "online":
        return
    import wandb

    place = tracking(Settings.from_environment().registry)
    try:
        run = wandb.init(id=run_id, resume="allow", job_type=page.stem, **place)
        run.log({"report": wandb.Html(page.read_text(encoding="utf-8"), inject=False)})
        run.finish(exit_code=int(failed))
    except wandb.Error as error:
        raise explain(error, place["project"]) from None


def has_login() -> bool:
    """Whether `wandb login` has left a key on this machine."""
    server = os.environ.get("WANDB_BASE_URL")
    hosts = (urlsplit(server).netloc, urlsplit(server).hostname) if server else HOSTS
    for path in (os.environ.get("NETRC"), Path.home() / ".netrc", Path.home() / "_netrc"):
        if path and Path(path).is_file():
            return any(netrc.netrc(path).authenticators(str(host)) for host in hosts)
    return False


def check_registry() -> None:
    """Ask the registry something, so that a wrong key or a dead server is said before a notebook starts."""
    settings = Settings.from_environment()
    registry = open_registry(settings.registry)
    registry.aliases("wine-quality")
    registry.close()


if __name__ == "__main__":
    prepare()
    os.execv(sys.executable, [sys.executable, "-m", *sys.argv[1:]])  # noqa: S606 - make's own words
