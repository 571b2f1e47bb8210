"""The API where the registry is W&B: it serves what lies here at once, and what W&B sends in the end."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests import servers, tiny
from tests.conftest import ROOT
from tests.servers import Server
from tests.stand_ins.wandb_server.app import WandbServer
from wine_serving.registry import MODEL, PRODUCTION
from wine_serving.registry.copies import export
from wine_serving.registry.wandb import WandbRegistry

WINE = tiny.as_wines(tiny.made_up_wines(1))[0]


@pytest.fixture
def project(wandb_server: WandbServer, tiny_bundle: Path, tmp_path: Path) -> WandbRegistry:
    """A W&B project whose production is the small bundle."""
    registry = WandbRegistry(wandb_server.place, tmp_path / "publisher")
    registry.publish(tiny_bundle, MODEL, kind="model", aliases=[PRODUCTION])
    return registry


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A place like that in an image: the package, and nothing that may be written."""
    place = tmp_path / "app"
    shutil.copytree(ROOT / "wine_serving", place / "wine_serving", ignore=shutil.ignore_patterns("__pycache__"))
    return place


ONLY_HOME = 'mount --bind "$0" "$0" && mount -o remount,bind,ro / && exec "$@"'


def serving(server: WandbServer, place: Path, tmp_path: Path, *before: str, **variables: str) -> Server:
    """The API in that place, not started yet, with a home that takes its temporary files; `before` starts it."""
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    given = {name: value for name, value in server.environment(home).items() if not name.endswith("_DIR")}
    port = servers.free_port()
    command = [sys.executable, "-m", "uvicorn", "wine_serving.app:app", "--host", "127.0.0.1", "--port", str(port)]
    variables = {"HOME": str(home), "TMPDIR": str(home)} | given | variables
    unset = ("env", *(f"--unset={name}" for name in os.environ if name.startswith("WANDB_") and name not in given))
    return Server([*before, *unset, *command], "/live", tmp_path / "log", port, place, **variables)


def health(server: Server, done: Callable[[dict[str, str]], bool]) -> dict[str, str]:
    """What it says once that is so."""
    deadline = time.monotonic() + servers.PATIENCE
    with httpx.Client(verify=False, timeout=10) as client:  # noqa: S501 - to read certificates costs more than to ask
        while time.monotonic() < deadline:
            said: dict[str, str] = client.get(f"{server.address}/health").json()
            if done(said):
                return said
            time.sleep(0.1)
    raise AssertionError(f"{said}: {server.log.read_text()}")


def is_ok(said: dict[str, str]) -> bool:
    return said["status"] == "ok"


def memory(server: Server) -> int:
    """MB that the process keeps."""
    assert server.process
    pages = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20


def test_version_comes_from_a_slow_wandb_in_the_end(
    project: WandbRegistry, wandb_server: WandbServer, image: Path, tmp_path: Path
) -> None:
    """Each answer takes two fifths of what one waits for it; nothing is written but temporary files."""
    wandb_server.faults.slow = 0.8
    only_home = ("unshare", "-m", "sh", "-c", ONLY_HOME, str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    alone = subprocess.run([*only_home, "true"], check=False, capture_output=True).returncode == 0
    before = only_home if alone else ()  # only an administrator can take the disk away from a process
    with serving(wandb_server, image, tmp_path, *before, WANDB_HTTP_TIMEOUT="2") as server:
        assert health(server, is_ok)["model_version"] == "v0"
        assert server.post("/predict", json=WINE).status_code == 200
        told = server.get("/model").json()
    assert told["record"]["digest"] == project.record(f"{MODEL}:v0").digest
    wandb_server.faults.errors["ArtifactMembershipByName"] = "out of order"
    with serving(wandb_server, image, tmp_path, *before, WANDB_HTTP_TIMEOUT="2") as server:  # once more, from its copy
        assert server.post("/predict", json=WINE).status_code == 200
        assert server.get("/health").json()["status"] == "degraded"
    assert (told["aliases"], told["promotion"]["version"]) == (["latest", "production"], "v0")
    assert not alone or {path.name for path in (tmp_path / "home").iterdir()} == {"wine-quality-cache"}


def test_baked_copy_is_served_while_wandb_is_away_and_looked_after_in_the_background(
    project: WandbRegistry, wandb_server: WandbServer, image: Path, tmp_path: Path
) -> None:
    """Degraded, with the reason, until W&B answers again."""
    export(project, [f"{MODEL}:{PRODUCTION}"], image / "registry", "reference.json")
    wandb_server.faults.errors["ArtifactMembershipByName"] = "out of order"
    with serving(wandb_server, image, tmp_path) as server:
        assert server.post("/predict", json=WINE).status_code == 200
        said = health(server, lambda said: "out of order" in (said["reason"] or ""))
        assert (said["status"], said["model_version"]) == ("degraded", "v0")
        wandb_server.faults.errors.clear()
        assert health(server, is_ok) == {"status": "ok", "model_version": "v0", "reason": None}
        told = server.get("/model").json()
    assert told["aliases"] == ["latest", "production"]
    assert told["record"]["origin"] == f"wandb:{project.place}/{MODEL}:v0"
    assert told["record"]["run"]["url"]


def test_what_was_promoted_since_the_copy_was_made_replaces_it_at_the_first_answer(
    project: WandbRegistry, wandb_server: WandbServer, image: Path, tmp_path: Path
) -> None:
    """As if W&B had been there at the start; later promotions exchange nothing."""
    export(project, [f"{MODEL}:{PRODUCTION}"], image / "registry", "reference.json")
    tiny.write_bundle(tmp_path / "next", seed=1)
    project.publish(tmp_path / "next", MODEL, kind="model", aliases=[PRODUCTION])
    with serving(wandb_server, image, tmp_path) as server:
        assert health(server, is_ok)["model_version"] == "v1"


OUTSIDE = {"connect", "getaddrinfo", "gethostbyname", "sendto"}  # what a socket of Python's is asked by who asks others
ALONE = """
import os, sys
import uvicorn

def note(event, arguments):
    if event.startswith(("socket.", "subprocess.", "os.posix_spawn", "os.exec", "os.fork")):
        with open(os.environ["NOTED"], "a") as noted:
            print(event, file=noted)

sys.addaudithook(note)
uvicorn.run("wine_serving.app:app", host="127.0.0.1", port=int(sys.argv[1]))
"""


def test_released_api_asks_nobody(
    project: WandbRegistry, wandb_server: WandbServer, image: Path, tmp_path: Path
) -> None:
    """With a key and a W&B that would answer: what lies in its image is verified and served, and no socket goes out."""
    export(project, [f"{MODEL}:{PRODUCTION}"], image / "registry", "reference.json")
    wandb_server.operations.clear()
    port, noted = servers.free_port(), tmp_path / "noted"
    variables = wandb_server.environment(tmp_path) | {"WINE_REGISTRY": "folder:registry", "NOTED": str(noted)}
    with Server(
        [sys.executable, "-c", ALONE, str(port)], "/live", tmp_path / "log", port, image, **variables
    ) as server:
        assert server.post("/predict", json=WINE).status_code == 200
        assert is_ok(server.get("/health").json())
        told = server.get("/model").json()["record"]
    asked = noted.read_text().split()
    assert "socket.bind" in asked  # its own
    assert not [event for event in asked if event.partition(".")[2] in OUTSIDE or not event.startswith("socket.")]
    assert wandb_server.operations == []
    assert (told["origin"], told["digest"]) == (f"wandb:{project.place}/{MODEL}:v0", told["digest"])
    assert told["run"]["url"].startswith("http")


def test_released_api_serves_no_other_bytes(
    project: WandbRegistry, wandb_server: WandbServer, image: Path, tmp_path: Path
) -> None:
    """Verified when it starts, by digest, although the image was when it was built."""
    export(project, [f"{MODEL}:{PRODUCTION}"], image / "registry", "reference.json")
    model = image / "registry" / MODEL / "v0" / "model.onnx"
    model.write_bytes(b"\0" + model.read_bytes()[1:])
    with serving(wandb_server, image, tmp_path, WINE_REGISTRY="folder:registry") as server:
        said = server.get("/health")
        assert said.status_code == 503
        assert "are not those published as wine-quality:v0" in said.json()["reason"]


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="asks Linux for the memory of a process")
def test_serving_process_keeps_no_memory_of_the_sdk(
    project: WandbRegistry, wandb_server: WandbServer, image: Path, tmp_path: Path
) -> None:
    """It is as large as one that serves from a folder, and it has no process beside it."""
    export(project, [f"{MODEL}:{PRODUCTION}"], image / "registry", "reference.json")
    with serving(wandb_server, image, tmp_path, WINE_REGISTRY="folder:registry") as server:
        health(server, is_ok)
        alone = memory(server)
        record = server.get("/model").json()["record"]
    assert record["origin"] == f"wandb:{project.place}/{MODEL}:v0"  # an image without W&B says it, too
    with serving(wandb_server, image, tmp_path) as server:
        health(server, is_ok)
        assert memory(server) < alone + 15
        assert server.process
        assert Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text() == ""
