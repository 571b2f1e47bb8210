"""What the runner knows of W&B and a notebook does not: which execution a run belongs to, and its finished report."""

import os
import secrets
import sys
import time
from pathlib import Path

from wine_serving.errors import SettingsError
from wine_serving.machine import can_be_written, home, temporary_folder
from wine_serving.registry import open_registry, tracking
from wine_serving.registry.wandb_sdk import OFFLINE, explain, prepare_environment
from wine_serving.settings import Settings


def prepare() -> None:
    """Set the variables with which all notebooks of this execution are tracked."""
    temporary_folder()  # notebooks pack what they publish there
    prepare_environment()
    os.environ.setdefault("WANDB_RUN_GROUP", time.strftime("pipeline-%Y%m%d-%H%M%S"))


def begin() -> None:
    """Give the next notebook's run an id, by which its finished report finds it.

    Who starts the runner with one, as a sweep's agent does, means the first notebook's run.
    """
    os.environ.setdefault("WANDB_RUN_ID", secrets.token_hex(4))


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


def check_registry() -> None:
    """Ask the registry something, so that a wrong key or a dead server is said before a notebook starts."""
    settings, mode = Settings.from_environment(), os.environ.get("WANDB_MODE", "online")
    registry = open_registry(settings.registry)
    registry.aliases("wine-quality")
    registry.close()
    if settings.registry.startswith("wandb:") and mode in (*OFFLINE, "disabled"):
        raise SettingsError(
            f"WANDB_MODE={mode} cannot be used with WINE_REGISTRY={settings.registry}: unset one of them"
        )


if __name__ == "__main__":  # JupyterLab, whose kernels are this environment's and tracked as the runner's are
    from jupyterlab.labapp import main

    try:
        own = home()
        prepare_environment()
    except SettingsError as error:
        sys.exit(str(error))
    if not can_be_written(own):
        sys.exit(f"HOME={own} cannot be written, and JupyterLab keeps its settings there: let it name another folder")
    os.environ |= {"JUPYTER_PREFER_ENV_PATH": "1", "PYTHONUTF8": "1"}  # as run.py sets them
    settings = str(Path(__file__).parent / "templates" / "jupyter")  # notebooks name no kernel: the one there is starts
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join([os.environ.get("JUPYTER_CONFIG_PATH") or settings, settings])
    as_root = hasattr(os, "geteuid") and os.geteuid() == 0  # as in a container
    main([*sys.argv[1:], *(["--allow-root"] if as_root else [])])
