"""What the page says of monitoring: the newest look at the model that answers, and when none came in time."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tests.serving.test_monitoring import FOUND
from tests.ui.visitor import TIMEOUT, text
from wine_ui import last_look
from wine_ui.settings import Settings

NOW = datetime.now(UTC)


def look(days: float, **changed: Any) -> dict[str, Any]:
    """A look so many days ago."""
    return FOUND.as_data() | {"at": (NOW - timedelta(days=days)).isoformat(), "answer": "as_promoted"} | changed


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of published reports, which the page asks for."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("WINE_REPORTS_URL", f"http://127.0.0.1:{server.server_port}")
        yield tmp_path
        server.shutdown()


def shown(monitoring: dict[str, Any] | None) -> str:
    """What can be read where the API tells that."""

    def show(monitoring: dict[str, object] | None) -> None:
        from wine_ui import last_look

        last_look.show({"model_version": "v3", "monitoring": monitoring})

    page = AppTest.from_function(show, args=(monitoring,), default_timeout=TIMEOUT).run()
    assert not page.exception
    return text(page)


def test_last_look_is_told_with_its_date_and_called_overdue_after_nine_days() -> None:
    """The answer in words, what was looked at, and that a look is missing."""
    read = shown(look(8.9))
    assert "**Yes, as far as can be told.**" in read
    assert f"{NOW - timedelta(days=8.9):%d %B %Y}: 200 wines and 0 grades" in read
    assert "overdue" not in read
    assert "9 days ago, so the next look is overdue" in shown(look(9.1))
    assert "Nobody has looked yet." in shown(None)


def test_what_was_published_since_the_release_is_newer(site: Path) -> None:
    """A released API knows what was known then; a look at another version says nothing of this one."""
    (site / "monitor.json").write_text(json.dumps(look(1, answer="worse", sentence="Tasters say less.")))
    assert "**No, it has become worse.** Tasters say less." in shown(look(20))
    assert "**Yes" in shown(look(0.5))


NOT_FOR_THIS_MODEL = {
    "of another version": json.dumps(look(1, answer="worse", production={"version": "v2", "dataset": "d:v0"})),
    "simulated": json.dumps(look(1, answer="worse", simulated=True)),
    "without a time zone": json.dumps(look(1, at="2026-11-01T00:00:00")),
    "of another shape": '{"at": "2026-11-01T00:00:00Z"}',
    "a list": "[]",
    "no JSON": "<html>",
}


@pytest.mark.parametrize("content", NOT_FOR_THIS_MODEL.values(), ids=list(NOT_FOR_THIS_MODEL))
def test_a_file_that_says_nothing_of_this_model_is_passed_over(site: Path, content: str) -> None:
    """Then the API's own word stands."""
    (site / "monitor.json").write_text(content)
    told = look(2)
    assert last_look.newest("v3", [told, last_look.published(Settings.from_environment())]) is told
