"""A command beside a W&B of this machine, whose production is the model in artifacts/image.

python -m tests.stand_ins.wandb_server COMMAND…   WINE_REGISTRY, WANDB_BASE_URL and WANDB_API_KEY lead there
"""

import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.conftest import ROOT
from tests.stand_ins.wandb_server.app import WandbServer
from tests.stand_ins.wandb_server.fixtures import serve
from wine_serving.registry import MODEL, PRODUCTION
from wine_serving.registry.wandb import WandbRegistry

EXPORT = ROOT / "artifacts" / "image"


def promote(place: str, home: Path) -> None:
    """Let what artifacts/image carries be what the project at `place` has in production."""
    release = json.loads((EXPORT / "release.json").read_text())
    with closing(WandbRegistry(place, home / "cache")) as registry:
        registry.publish(EXPORT / MODEL / release["version"], MODEL, kind="model", aliases=[PRODUCTION])


if __name__ == "__main__":
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder, serve(WandbServer()) as server:
        os.environ.update(server.environment(Path(folder)))
        promote(server.place, Path(folder))
        sys.exit(subprocess.run(sys.argv[1:], check=False).returncode)
