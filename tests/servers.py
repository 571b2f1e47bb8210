"""Real servers as processes of their own, on loopback, while a test needs them, and an API that all may ask."""

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import pytest

from tests.conftest import ROOT
from wine_serving.registry.folder import FolderRegistry

UNREAD = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # loopback is asked by HTTP: no certificates are read for each client
PATIENCE = 60.0  # seconds until a start counts as failed; an ordinary one takes one or two


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """A server process; `alive` is the path that answers 200 as soon as it runs."""

    def __init__(
        self, command: list[str], alive: str, log: Path, port: int, cwd: Path = ROOT, **variables: str
    ) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.log = log
        self.output: Path | None = None  # where its standard output goes, if not into the log
        self._cwd = cwd
        self.command, self._alive, self._variables = command, alive, variables
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start, and return when it answers."""
        given = {name: value for name, value in os.environ.items() if not name.startswith("WINE_")}
        with self.log.open("ab") as log, (self.output or self.log).open("ab") as output:
            self.process = subprocess.Popen(
                self.command, cwd=self._cwd, env=given | self._variables, stdout=output, stderr=log
            )
        deadline = time.monotonic() + PATIENCE
        with self.client() as client:
            while time.monotonic() < deadline and self.process.poll() is None:
                try:
                    if client.get(self._alive).status_code == 200:
                        return self
                except httpx.TransportError:
                    time.sleep(0.05)
        raise AssertionError(f"{self.command} did not start: {self.log.read_text()}")

    def client(self, timeout: float = 5.0) -> httpx.Client:
        """Who asks it more than once."""
        return httpx.Client(base_url=self.address, verify=UNREAD, timeout=timeout)

    def get(self, path: str) -> httpx.Response:
        """Ask it once, by a connection of its own."""
        with self.client() as client:
            return client.get(path)

    def post(self, path: str, json: Any) -> httpx.Response:
        """The same, with something to answer."""
        with self.client() as client:
            return client.post(path, json=json)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; returns the exit code."""
        assert self.process
        self.process.send_signal(how)
        return self.process.wait(20)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        if self.process and self.process.poll() is None:
            self.stop()


def api(log: Path, port: int | None = None, /, *options: str, **variables: str) -> Server:
    """The API, not started yet; `options` are uvicorn's."""
    port = port or free_port()
    command = [sys.executable, "-m", "uvicorn", "wine_serving.app:app", "--host", "127.0.0.1", "--port", str(port)]
    return Server([*command, "--no-access-log", *options], "/live", log, port, ROOT, **variables)


def ui(log: Path, **variables: str) -> Server:
    """The page, not started yet."""
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", "wine_ui/app.py", "--server.address", "127.0.0.1"]
    options = ["--server.port", str(port), "--server.headless", "true", "--browser.gatherUsageStats", "false"]
    base = "/".join(["", *filter(None, variables.get("STREAMLIT_SERVER_BASE_URL_PATH", "").split("/"))])
    return Server([*command, *options], f"{base}/_stcore/health", log, port, ROOT, **variables)


@pytest.fixture(scope="session")
def server(served_registry: FolderRegistry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running API with the small bundle in production."""
    log = tmp_path_factory.mktemp("api") / "log"
    variables = {"WINE_REGISTRY": f"folder:{served_registry.root}", "GOOGLE_CLOUD_PROJECT": "cellar"}
    with api(log, **variables) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    """A connection to it."""
    with server.client() as connected:
        yield connected
