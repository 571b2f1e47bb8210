"""The `wandb_server` fixture: one server for the whole test run, a project of its own for each test."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest
import uvicorn
from wandb.apis.public.artifacts import _ArtifactConnectionGeneric
from wandb.sdk.artifacts._generated import ArtifactFragment

from tests.stand_ins.wandb_server.app import WandbServer

_numbers = count(1)
# The SDK makes this class anew for each list of versions, unless somebody holds it; under pytest that takes a while, as
# pydantic looks for the module of every frame.
_held = _ArtifactConnectionGeneric[ArtifactFragment]


@contextmanager
def serve(server: WandbServer) -> Iterator[WandbServer]:
    """The server, answering on a free port of 127.0.0.1."""
    listening = socket.create_server(("127.0.0.1", 0))
    server.store.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    uvicorn_server = uvicorn.Server(uvicorn.Config(server.app, log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=uvicorn_server.run, args=([listening],), daemon=True)
    thread.start()
    yield server
    server.faults.hang.clear()
    uvicorn_server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="session")
def running_wandb_server() -> Iterator[WandbServer]:
    """One server for all tests."""
    with serve(WandbServer()) as server:
        yield server


@pytest.fixture(scope="session")
def wandb_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the SDK of this process keeps its files; it reads the environment once, so all tests share it."""
    return tmp_path_factory.mktemp("wandb")


@pytest.fixture
def wandb_server(
    running_wandb_server: WandbServer,
    wandb_home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[WandbServer]:
    """The server with a new empty project, and the environment that points the SDK at it.

    The test fails when the SDK sent something that the server does not know.
    """
    server = running_wandb_server
    server.start_anew(f"wines-{next(_numbers)}")
    for name, value in server.environment(wandb_home).items():
        monkeypatch.setenv(name, value)
    yield server
    server.faults.hang.clear()
    assert not server.unknown, "the SDK sent what tests/stand_ins/wandb_server does not know:\n" + "\n".join(
        server.unknown
    )
