"""The API as the page sees it: given up in time, told from other services, and asked again about good wines."""

import socket
import sys
from pathlib import Path

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
