"""The API as the page sees it: given up in time, told from other services, and asked again about good wines."""

import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pandas as pd
import pytest

from tests import servers, tiny
from tests.ui.visitor import client_of, opened, text
from wine_ui.client import Unreachable


def test_service_that_never_answers_is_given_up() -> None:
    """After the time-out, with a sentence."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with client_of(address, 0.2) as client, pytest.raises(Unreachable, match="is not answering in time"):
            client.schema()


def test_another_service_at_the_address_is_said(tmp_path: Path) -> None:
    """A page of somebody else is not taken for an answer."""
    command = [sys.executable, "-m", "http.server", str(port := servers.free_port()), "--bind", "127.0.0.1"]
    with (
        servers.Server(command, "/README.md", tmp_path / "log", port) as other,
        client_of(other.address) as client,
        pytest.raises(Unreachable),
    ):
        client.schema()


SOMEBODY_ELSE = {
    "an empty object": (200, "application/json", b"{}"),
    "a list": (200, "application/json", b"[1]"),
    "a proxy's page": (200, "text/html", b"<html>Sign in</html>"),
    "a proxy's apology": (502, "text/html", b"<html>Bad gateway</html>"),
    "another service's refusal": (500, "application/json", b'"no"'),
}


@pytest.mark.parametrize(("status", "kind", "body"), SOMEBODY_ELSE.values(), ids=SOMEBODY_ELSE)
def test_what_is_no_answer_of_the_service_is_one_calm_sentence(
    status: int, kind: str, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever answers in its place."""

    class Somebody(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Somebody) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("WINE_API_URL", f"http://127.0.0.1:{server.server_port}")
        page = opened()
        server.shutdown()
    assert not page.exception
    (told,) = [each.value for each in page.error]
    assert told.startswith("**Something else than the wine service is answering.** This page goes on by itself")


AWAY = {
    "a proxy": {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"},
    "a SOCKS proxy": {"ALL_PROXY": "socks5://127.0.0.1:9"},
    "certificates that are gone": {"SSL_CERT_FILE": "/nope.pem"},
    "a list of exceptions that httpx cannot read": {"NO_PROXY": "fe80::/10,[::1]"},
}


@pytest.mark.parametrize("variables", AWAY.values(), ids=AWAY)
def test_this_machine_is_asked_directly(api: str, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever leads to the world outside."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with client_of(api) as client:
        assert client.schema()["fields"]


def test_broken_way_to_another_machine_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """By the variable, in the log; a visitor is told no variables."""
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    monkeypatch.setenv("WINE_API_URL", "http://api.example.org")
    assert "This page is not set up yet" in text(opened())
    assert "ALL_PROXY" in caplog.text


def test_bad_rows_among_many_are_all_found(api: str) -> None:
    """More bad rows than one answer lists: the good ones are scored all the same, in order."""
    wines = tiny.as_wines(tiny.made_up_wines(400))
    bad = {row: dict(wine) | {"ph": 9.0} for row, wine in enumerate(wines) if row % 2}
    with client_of(api) as client:
        answers = client.predict_each([bad.get(row, wine) for row, wine in enumerate(wines)])
    assert [isinstance(answer, list) for answer in answers] == [row in bad for row in range(400)]
    assert pd.Series([answer["quality"] for answer in answers if not isinstance(answer, list)]).between(0, 10).all()
